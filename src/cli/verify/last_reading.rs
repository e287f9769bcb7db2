//! The last reading, when all is quiet: what every partition keeps, from its start to its end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::bail;
use drave_client::Leaders;
use drave_client::raw::Isolation;
use drave_protocol::error_code::ErrorCode;

use crate::cli::verify::{payload, reader};
use crate::clock::Clock;
use crate::oracle::event::Event;

const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Where each partition ends that could be read.
    pub(super) ends: BTreeMap<i32, i64>,
    /// Why the others could not: what was acked there is as good as lost.
    pub(super) unread: Vec<String>,
}

/// Tells each partition as `Kept`. One that cannot be read takes nothing from the time of the others.
pub(super) async fn read_all(
    bootstrap: &str,
    topic: &str,
    n_partitions: i32,
    deadline: Instant,
    clock: &Clock,
    mut tell: impl FnMut(Event),
) -> Read {
    let leaders = Leaders::new("drave-verify-last", bootstrap, topic, PATIENCE);
    let mut all = Read::default();
    for partition in 0..n_partitions {
        let deadline = deadline.max(clock.now() + PATIENCE);
        match read(&leaders, partition, deadline, clock, &mut tell).await {
            Ok(end) => {
                all.ends.insert(partition, end);
            }
            Err(error) => all.unread.push(error.to_string()),
        }
    }
    all
}

async fn read(
    leaders: &Leaders,
    partition: i32,
    deadline: Instant,
    clock: &Clock,
    tell: &mut impl FnMut(Event),
) -> anyhow::Result<i64> {
    let mut position = 0;
    let mut last_error = String::new();
    while clock.now() < deadline {
        match reader::fetch(leaders, partition, position, Isolation::ReadUncommitted).await {
            Ok((_, answer)) if answer.code == ErrorCode::None => {
                for run in payload::runs(&answer.records, position) {
                    position = run.base + i64::try_from(run.items.len())?;
                    tell(Event::Kept {
                        partition,
                        base: run.base,
                        items: run.items,
                    });
                }
                if position >= answer.high_watermark.0 {
                    return Ok(position);
                }
                continue;
            }
            Ok((leader, answer)) => {
                last_error = answer.code.to_string();
                leaders.distrust(partition, &leader);
            }
            Err(error) => last_error = error.to_string(),
        }
        clock.sleep_until(clock.now() + PAUSE).await;
    }
    bail!("partition {partition} could not be read past {position}: {last_error}")
}
