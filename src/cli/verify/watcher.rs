//! Looks on: who leads at which epoch, as every broker tells, and where each partition ends.

use std::sync::Arc;
use std::time::Duration;

use drave_client::raw::{self, Isolation, Target};
use drave_client::{ClientError, Leaders, Pool, metadata};
use drave_protocol::ids::Offset;
use tokio::sync::watch;

use crate::cli::verify::history::History;
use crate::clock::Clock;
use crate::oracle::event::Event;

const LOOK_EVERY: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(1);
/// Its marks are a reader's: they may not fall.
const WATCHER: u32 = 1_000;

#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) topic: String,
    pub(super) brokers: Vec<String>,
    pub(super) n_partitions: i32,
    pub(super) history: Arc<History>,
    pub(super) clock: Clock,
    pub(super) stop: watch::Receiver<bool>,
}

impl Watcher {
    /// Asks one broker, all the time.
    pub(super) async fn watch_leaders(self, broker: String) {
        let pool = Pool::new("drave-verify-watcher", PATIENCE);
        let look = async {
            loop {
                // A broker that does not answer tells nothing, which is no fault of its word.
                drop(self.ask(&pool, &broker).await);
                self.clock.sleep_until(self.clock.now() + LOOK_EVERY).await;
            }
        };
        let mut stop = self.stop.clone();
        tokio::select! {
            () = look => {}
            _ = stop.wait_for(|it| *it) => {}
        }
    }

    /// Asks leaders for the ends of their partitions, all the time.
    pub(super) async fn watch_ends(self) {
        let leaders = Leaders::new(
            "drave-verify-ends",
            &self.brokers.join(","),
            &self.topic,
            PATIENCE,
        );
        let look = async {
            loop {
                for partition in 0..self.n_partitions {
                    drop(self.ask_end(&leaders, partition).await);
                }
                self.clock.sleep_until(self.clock.now() + LOOK_EVERY).await;
            }
        };
        let mut stop = self.stop.clone();
        tokio::select! {
            () = look => {}
            _ = stop.wait_for(|it| *it) => {}
        }
    }

    async fn ask(&self, pool: &Pool, broker: &str) -> Result<(), ClientError> {
        let connection = pool.connection(broker).await?;
        let topics = [self.topic.clone()];
        let request = metadata::request(Some(&topics));
        let cluster = metadata::translate(connection.send(&request, PATIENCE).await?);
        for partition in cluster.topics.iter().flat_map(|it| &it.partitions) {
            if let Some(leader) = partition.leader {
                self.history.saw(&Event::Led {
                    partition: partition.partition,
                    epoch: partition.leader_epoch.0,
                    leader: leader.0,
                });
            }
        }
        Ok(())
    }

    async fn ask_end(&self, leaders: &Leaders, partition: i32) -> Result<(), ClientError> {
        let (leader, connection) = leaders.connect(partition).await?;
        let target = Target {
            topic: self.topic.clone(),
            topic_id: leader.topic_id,
            partition,
        };
        let uncommitted =
            raw::latest_offset(&connection, &target, Isolation::ReadUncommitted, PATIENCE);
        let committed =
            raw::latest_offset(&connection, &target, Isolation::ReadCommitted, PATIENCE);
        // One after the other, so that each is told in the order it was asked.
        let told = match uncommitted.await {
            Ok(high_watermark) => committed.await.map(|it| (high_watermark, it)),
            Err(error) => Err(error),
        };
        match told {
            Ok((high_watermark, last_stable_offset)) => {
                self.saw(partition, high_watermark, last_stable_offset);
                Ok(())
            }
            Err(error) => {
                leaders.distrust(partition, &leader);
                Err(error)
            }
        }
    }

    fn saw(&self, partition: i32, high_watermark: Offset, last_stable_offset: Offset) {
        self.history.saw(&Event::Marks {
            reader: WATCHER,
            partition,
            high_watermark: high_watermark.0,
            last_stable_offset: last_stable_offset.0,
            log_start_offset: -1,
        });
    }
}
