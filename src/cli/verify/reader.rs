//! One consumer of one partition: from the first offset on, each answer from where the last one ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use drave_client::raw::{self, FetchFrom, Fetched, Isolation, Target};
use drave_client::{ClientError, Leader, Leaders};
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{LeaderEpoch, Offset};
use tokio::sync::watch;

use crate::cli::verify::history::History;
use crate::cli::verify::payload;
use crate::cli::verify::writer::told;
use crate::clock::Clock;
use crate::oracle::event::Event;

const WAIT: Duration = Duration::from_millis(100);
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) number: u32,
    pub(super) partition: i32,
    pub(super) isolation: Isolation,
    pub(super) leaders: Arc<Leaders>,
    pub(super) history: Arc<History>,
    pub(super) clock: Clock,
    pub(super) stop: watch::Receiver<bool>,
    /// The next offset, for whoever waits for it.
    pub(super) position: Arc<AtomicI64>,
}

impl Reader {
    pub(super) async fn run(mut self) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = self.read() => {}
            // Cancellation: what was not recorded was not read.
            _ = stop.wait_for(|it| *it) => {}
        }
    }

    async fn read(&mut self) {
        loop {
            if !self.fetch().await {
                self.clock.sleep_until(self.clock.now() + PAUSE).await;
            }
        }
    }

    /// Whether to go on at once.
    async fn fetch(&mut self) -> bool {
        let position = self.position.load(Ordering::Relaxed);
        let (leader, answer) =
            match fetch(&self.leaders, self.partition, position, self.isolation).await {
                Ok(answered) => answered,
                Err(error) => {
                    self.history.failed(&format!("fetch: {}", told(&error)));
                    return false;
                }
            };
        if answer.code != ErrorCode::None {
            self.history.failed(&format!("fetch: {}", answer.code));
            if answer.code != ErrorCode::OffsetNotAvailable {
                self.leaders.distrust(self.partition, &leader);
            }
            return false;
        }
        self.history.saw(&Event::Marks {
            reader: self.number,
            partition: self.partition,
            high_watermark: answer.high_watermark.0,
            last_stable_offset: answer.last_stable_offset.0,
            log_start_offset: answer.log_start_offset.0,
        });
        for run in payload::runs(&answer.records, position) {
            let next = run.base + i64::try_from(run.items.len()).unwrap_or(i64::MAX);
            self.history.saw(&Event::Read {
                reader: self.number,
                partition: self.partition,
                base: run.base,
                epoch: run.epoch,
                items: run.items,
            });
            self.position.store(next, Ordering::Relaxed);
        }
        true
    }
}

/// One fetch of whoever leads.
pub(super) async fn fetch(
    leaders: &Leaders,
    partition: i32,
    position: i64,
    isolation: Isolation,
) -> Result<(Leader, Fetched), ClientError> {
    let (leader, connection) = leaders.connect(partition).await?;
    let target = Target {
        topic: leaders.topic().to_owned(),
        topic_id: leader.topic_id,
        partition,
    };
    let from = FetchFrom {
        offset: Offset(position),
        // One of the two kinds of readers tells its epoch, as new clients do, the other does not.
        leader_epoch: match isolation {
            Isolation::ReadCommitted => leader.epoch,
            Isolation::ReadUncommitted => LeaderEpoch::UNKNOWN,
        },
        isolation,
        wait: WAIT,
    };
    let answer = raw::fetch(&connection, &target, from, ANSWER_PATIENCE).await;
    match answer {
        Ok(answer) => Ok((leader, answer)),
        Err(error) => {
            leaders.distrust(partition, &leader);
            Err(error)
        }
    }
}
