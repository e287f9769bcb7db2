//! Reads a partition from its start to its high watermark and holds it against what was acked.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{Offset, TopicId, TopicPartition};
use drave_protocol::record::{batch, record};
use drave_protocol::schema::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use drave_protocol::wire::Records;

use crate::cli::drill::writer::{Ack, Route};
use crate::clock::Clock;

const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// The verdict on one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Audit {
    pub(super) acked: usize,
    /// Acked, and not found at the offset that was acked.
    pub(super) lost: usize,
    /// Found more than once: retries whose first try had gone through.
    pub(super) repeated: usize,
    /// First appearances after a larger number's.
    pub(super) out_of_order: usize,
}

impl Audit {
    pub(super) fn is_clean(&self) -> bool {
        self.lost == 0 && self.out_of_order == 0
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            acked,
            lost,
            repeated,
            out_of_order,
        } = self;
        write!(
            f,
            "{acked} acked: {lost} lost, {repeated} repeated, {out_of_order} out of order"
        )
    }
}

pub(super) async fn run(
    bootstrap: &str,
    partition: &TopicPartition,
    acks: &[Ack],
    deadline: Instant,
    clock: &Clock,
) -> anyhow::Result<Audit> {
    let upto = acks.last().map_or(Offset::ZERO, |it| it.offset + 1);
    let found = read(bootstrap, partition, upto, deadline, clock).await?;
    Ok(judge(acks, &found))
}

fn judge(acks: &[Ack], found: &BTreeMap<Offset, u64>) -> Audit {
    let is_lost = |it: &&Ack| found.get(&it.offset) != Some(&it.number);
    let mut audit = Audit {
        acked: acks.len(),
        lost: acks.iter().filter(is_lost).count(),
        ..Audit::default()
    };
    let mut next = 0;
    for number in found.values() {
        // Numbers are written in order, each until it is acked.
        match number.cmp(&next) {
            std::cmp::Ordering::Equal => next += 1,
            std::cmp::Ordering::Less if *number + 1 == next => audit.repeated += 1,
            std::cmp::Ordering::Less | std::cmp::Ordering::Greater => audit.out_of_order += 1,
        }
    }
    audit
}

async fn read(
    bootstrap: &str,
    partition: &TopicPartition,
    upto: Offset,
    deadline: Instant,
    clock: &Clock,
) -> anyhow::Result<BTreeMap<Offset, u64>> {
    let mut route = Route::new(bootstrap, partition);
    let mut found = BTreeMap::new();
    let mut from = Offset::ZERO;
    while from < upto {
        if clock.now() >= deadline {
            bail!("{partition} could be read only up to {from} of {upto}");
        }
        let fetched = fetch(&mut route, from).await;
        match fetched {
            Some(records) if !records.is_empty() => from = decode(&records, from, &mut found)?,
            Some(_) | None => {
                route.forget_leader();
                clock.sleep_until(clock.now() + RETRY_PAUSE).await;
            }
        }
    }
    Ok(found)
}

async fn fetch(route: &mut Route, from: Offset) -> Option<Bytes> {
    let leader = route.leader().await?;
    let connection = route.pool.connection(&leader.address).await.ok()?;
    let request = request(&route.partition, leader.topic_id, from);
    let response = connection.fetch(request, FETCH_TIMEOUT).await.ok()?;
    let partition: &PartitionData = response.responses.first()?.partitions.first()?;
    let is_good = ErrorCode::from_number(partition.error_code) == ErrorCode::None;
    let records = partition.records.clone().filter(|_| is_good);
    records.map(Records::into_bytes)
}

fn request(partition: &TopicPartition, topic_id: TopicId, from: Offset) -> FetchRequest {
    let wanted = FetchPartition {
        partition: partition.partition,
        fetch_offset: from.0,
        partition_max_bytes: 1_048_576,
        ..FetchPartition::default()
    };
    FetchRequest {
        max_wait_ms: 100,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: partition.topic.clone(),
            topic_id,
            partitions: vec![wanted],
        }],
        ..FetchRequest::default()
    }
}

/// Adds the numbers from `from` on; returns where to go on.
fn decode(
    records: &[u8],
    from: Offset,
    found: &mut BTreeMap<Offset, u64>,
) -> anyhow::Result<Offset> {
    let mut next = from;
    for item in batch::iter(records) {
        // A fetch may end in a batch cut short; it comes whole with the next.
        let Ok((_, header, bytes)) = item else { break };
        ensure!(
            batch::verify_crc(bytes),
            "the batch at {} is corrupt",
            header.base_offset
        );
        for view in record::iter(bytes)? {
            let view = view?;
            let text = view.value.and_then(|it| std::str::from_utf8(it).ok());
            let number = text.and_then(|it| it.parse().ok());
            let offset = view.offset(&header);
            found.insert(
                offset,
                number.with_context(|| format!("the record at {offset} is not ours"))?,
            );
        }
        next = next.max(header.next_offset());
    }
    ensure!(next > from, "nothing whole could be read at {from}");
    Ok(next)
}

#[cfg(test)]
mod tests {
    use drave_protocol::ids::{LeaderEpoch, NodeId};

    use super::*;

    fn acks(offsets: &[i64]) -> Vec<Ack> {
        let clock = Clock::system();
        let ack = |(number, offset): (u64, &i64)| Ack {
            number,
            offset: Offset(*offset),
            leader: NodeId(1),
            leader_epoch: LeaderEpoch(0),
            at: clock.now(),
        };
        (0..).zip(offsets).map(ack).collect()
    }

    fn log(numbers: &[u64]) -> BTreeMap<Offset, u64> {
        (0..).map(Offset).zip(numbers.iter().copied()).collect()
    }

    #[test]
    fn a_retry_that_went_through_twice_is_repeated_and_nothing_else() {
        let audit = judge(&acks(&[0, 2, 3]), &log(&[0, 1, 1, 2]));
        assert_eq!((audit.lost, audit.repeated, audit.out_of_order), (0, 1, 0));
        assert!(audit.is_clean());
    }

    #[test]
    fn aacked_record_that_is_not_at_its_offset_is_lost() {
        let audit = judge(&acks(&[0, 1, 2]), &log(&[0, 2]));
        assert_eq!(audit.lost, 2);
        assert!(!audit.is_clean());
    }

    #[test]
    fn a_number_out_of_its_turn_is_out_of_order() {
        assert_eq!(judge(&[], &log(&[0, 2, 1])).out_of_order, 1);
    }
}
