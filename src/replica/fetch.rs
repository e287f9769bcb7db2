//! Reading partitions, and hearing of it when there is more to read.

use std::sync::{Arc, Weak};

use drave_protocol::ids::{NodeId, Offset, TopicIdPartition};

use super::error::FetchError;
use super::nearest::{Candidate, nearest};
use super::partition::{FollowerId, Partition};
use super::purgatory::{WaitFor, Watch};
use super::read::{FetchPartition, Fetched, Isolation};
use super::replicas::Replicas;

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    Consumer {
        isolation: Isolation,
        from: ReadsFrom,
    },
    /// `is_eligible`: registered with this epoch, neither fenced nor shutting down.
    Follower { id: FollowerId, is_eligible: bool },
}

/// Which replicas may answer a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadsFrom {
    Leader,
    /// A client that can be sent to a follower, and back.
    AnyReplica,
}

/// A partition that tells a watch of its changes, until this is dropped.
#[derive(Debug)]
pub struct Watching {
    partition: Weak<Partition>,
    watch: Arc<Watch>,
    place: u32,
}

impl Watching {
    pub(super) fn enter(
        partition: &Arc<Partition>,
        what: WaitFor,
        (watch, place): (&Arc<Watch>, u32),
    ) -> Self {
        partition.lock().watchers.enter(what, (watch, place));
        Self {
            partition: Arc::downgrade(partition),
            watch: Arc::clone(watch),
            place,
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(partition) = self.partition.upgrade() {
            partition.lock().watchers.leave(&self.watch, self.place);
        }
    }
}

impl Replicas {
    /// Marks `place` in `watch` from now on, whenever there may be news for `reader`. What happened before
    /// is not marked: read after this. `None` where there is no such partition here.
    pub fn watch(
        &self,
        partition: TopicIdPartition,
        reader: Reader,
        (watch, place): (&Arc<Watch>, u32),
    ) -> Option<Watching> {
        let what = match reader {
            Reader::Consumer { .. } => WaitFor::HighWatermark,
            Reader::Follower { .. } if self.serves_consumers_nearby() => {
                WaitFor::AppendOrHighWatermark
            }
            Reader::Follower { .. } => WaitFor::Append,
        };
        let partition = self.partition(partition)?;
        let watching = Watching::enter(&partition, what, (watch, place));
        // What waited for the disk while nobody waited for it.
        partition.note_appended(self.clock().now());
        Some(watching)
    }

    /// What there is for `reader` now.
    pub fn read(&self, reader: Reader, asked: &FetchPartition) -> Result<Fetched, FetchError> {
        let partition = self.known(asked.partition)?;
        match reader {
            // No lease is asked for: what is committed stays so whoever leads by now, and a survivor
            // without a quorum goes on serving it.
            Reader::Consumer { isolation, from } => {
                partition.read_as_consumer(asked, isolation, from)
            }
            // Asked again at each look: one that registered anew while its old fetch waits holds who knows
            // what by now.
            Reader::Follower { id, .. } if !self.is_registered(id) => {
                Err(FetchError::NotAReplica {
                    partition: partition.name().clone(),
                    follower: id.node,
                })
            }
            Reader::Follower { id, is_eligible } => {
                let now = self.clock().now();
                let fetched = partition.read_as_follower(asked, (id, is_eligible), now)?;
                Ok(self.paced(&partition, id.node, fetched))
            }
        }
    }

    /// The follower a consumer in `rack` is better served by, where we lead and there is one. `rack_of` knows
    /// the brokers such a consumer can reach.
    pub fn nearest_replica<'a>(
        &self,
        asked: &FetchPartition,
        rack: &str,
        rack_of: impl Fn(NodeId) -> Option<&'a str>,
    ) -> Option<NodeId> {
        if rack.is_empty() || !self.serves_consumers_nearby() {
            return None;
        }
        let partition = self.partition(asked.partition)?;
        partition.nearest_replica(asked.fetch_offset, rack, rack_of)
    }
}

impl Partition {
    fn nearest_replica<'a>(
        &self,
        offset: Offset,
        rack: &str,
        rack_of: impl Fn(NodeId) -> Option<&'a str>,
    ) -> Option<NodeId> {
        let state = self.lock();
        let leader = state.leading(self.name()).ok()?;
        let in_sync = leader
            .followers()
            .iter()
            .filter(|(node, _)| leader.isr().contains(node));
        let holders = in_sync.filter_map(|(node, it)| {
            let log_end_offset = it.log_end_offset.filter(|end| *end >= offset)?;
            it.log_start_offset.filter(|start| *start <= offset)?;
            Some(Candidate {
                node: *node,
                rack: rack_of(*node),
                log_end_offset,
                last_caught_up: it.last_caught_up,
            })
        });
        nearest(rack, rack_of(leader.node()), holders)
    }
}
