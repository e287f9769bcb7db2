//! A fetch over many partitions: reads, and waits for more when there is too little.

use std::sync::Arc;
use std::time::Instant;

use drave_protocol::ids::TopicIdPartition;

use super::error::FetchError;
use super::partition::{FollowerId, Partition};
use super::purgatory::{WaitFor, Waiter};
use super::read::{FetchPartition, Fetched, Isolation};
use super::replicas::Replicas;

/// Who reads.
#[derive(Clone, Copy, Debug)]
pub enum Reader {
    Consumer { isolation: Isolation },
    Follower(FollowerId),
}

#[derive(Clone, Debug)]
pub struct Fetch {
    pub reader: Reader,
    /// When to answer with whatever there is.
    pub deadline: Instant,
    /// Bytes to wait for.
    pub min_bytes: usize,
    /// Bytes after which no further partition is read.
    pub max_bytes: usize,
    pub partitions: Vec<FetchPartition>,
}

#[derive(Debug)]
pub struct FetchedPartition {
    pub partition: TopicIdPartition,
    pub result: Result<Fetched, FetchError>,
}

/// Leaves every partition it entered, also when the fetch is dropped half-way.
struct Entered<'a> {
    waiter: Arc<Waiter>,
    partitions: &'a [Option<Arc<Partition>>],
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        for partition in self.partitions.iter().flatten() {
            partition.leave(&self.waiter);
        }
    }
}

impl Replicas {
    /// Answers at once when something diverges, fails, or `min_bytes` are there, and when a follower's log is
    /// to start later; else at the deadline.
    ///
    /// Cancellation: safe at any await; nothing is half done.
    pub async fn fetch(&self, fetch: Fetch) -> Vec<FetchedPartition> {
        let partitions: Vec<Option<Arc<Partition>>> = fetch
            .partitions
            .iter()
            .map(|it| self.partition(it.partition))
            .collect();
        let (answer, enough) = self.read_once(&fetch, &partitions);
        if enough || self.clock().now() >= fetch.deadline {
            return answer;
        }
        let what = match fetch.reader {
            Reader::Consumer { .. } => WaitFor::HighWatermark,
            Reader::Follower(_) => WaitFor::Append,
        };
        let entered = Entered {
            waiter: Arc::default(),
            partitions: &partitions,
        };
        for partition in partitions.iter().flatten() {
            partition.enter(what, &entered.waiter);
        }
        loop {
            // Read after entering: what moved between the first look and the entry is not missed.
            let (answer, enough) = self.read_once(&fetch, &partitions);
            if enough {
                return answer;
            }
            let woken = entered.waiter.woken();
            if tokio::time::timeout_at(fetch.deadline.into(), woken)
                .await
                .is_err()
            {
                return self.read_once(&fetch, &partitions).0;
            }
        }
    }

    fn read_once(
        &self,
        fetch: &Fetch,
        partitions: &[Option<Arc<Partition>>],
    ) -> (Vec<FetchedPartition>, bool) {
        let mut left = fetch.max_bytes;
        let mut n_bytes = 0;
        let mut answers_now = false;
        let mut answer = Vec::with_capacity(partitions.len());
        for (asked, partition) in fetch.partitions.iter().zip(partitions) {
            let asked = FetchPartition {
                max_bytes: asked.max_bytes.min(left),
                ..*asked
            };
            let mut result = match partition {
                Some(partition) => self.read_partition(fetch.reader, partition, &asked),
                None => Err(FetchError::UnknownPartition(asked.partition)),
            };
            match &mut result {
                Ok(fetched) => {
                    if n_bytes > 0 && fetched.n_bytes() > left {
                        // A batch comes whole, but only the first of an answer may be too large for it.
                        fetched.records = None;
                    }
                    n_bytes += fetched.n_bytes();
                    left = left.saturating_sub(fetched.n_bytes());
                    answers_now |= fetched.has_news;
                }
                Err(_) => answers_now = true,
            }
            answer.push(FetchedPartition {
                partition: asked.partition,
                result,
            });
        }
        (answer, answers_now || n_bytes >= fetch.min_bytes)
    }

    fn read_partition(
        &self,
        reader: Reader,
        partition: &Arc<Partition>,
        asked: &FetchPartition,
    ) -> Result<Fetched, FetchError> {
        let now = self.clock().now();
        match reader {
            // No lease is asked for: what is committed stays so whoever leads by now, and a survivor
            // without a quorum goes on serving it.
            Reader::Consumer { isolation } => partition.read_as_consumer(asked, isolation),
            Reader::Follower(follower) => {
                let eligible = self.is_eligible(follower);
                let fetched = partition.read_as_follower(asked, (follower, eligible), now)?;
                Ok(self.paced(partition, follower.node, fetched))
            }
        }
    }
}
