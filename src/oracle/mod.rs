//! What must hold of a history of writes and reads, judged from outside: events in, violations out.
//!
//! - [`event`] what writers and readers saw · [`verdict`] what does not hold, and the counts
//! - [`partition`] what one offset holds, for ever · [`lane`] what one writer was promised in one partition
//! - [`reader`] how one reader goes forward
//!
//! Promises: an event is judged by the events before it alone, so the same history has the same verdict
//! whether it is judged while it happens or read from a file; memory grows by some 60 bytes a record.
//! Who feeds it is no matter: a live cluster's clients, a simulation, a file.

pub mod event;
mod lane;
#[cfg(test)]
mod oracle_test;
mod partition;
mod reader;
pub mod verdict;

use std::collections::BTreeMap;

use crate::oracle::event::{Acks, Event, Item, Lane, Promise};
use crate::oracle::lane::Writes;
use crate::oracle::partition::Partition;
use crate::oracle::reader::Reader;
use crate::oracle::verdict::{Kind, Verdict};

/// Judges a history event by event.
#[derive(Debug, Default)]
pub struct Oracle {
    promises: BTreeMap<u32, Promise>,
    lanes: BTreeMap<Lane, Writes>,
    partitions: BTreeMap<i32, Partition>,
    readers: BTreeMap<(u32, i32), Reader>,
    verdict: Verdict,
}

impl Oracle {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn see(&mut self, event: &Event) {
        match event {
            Event::Producer { producer, promise } => {
                self.promises.insert(*producer, *promise);
            }
            Event::Sent { lane, first, n } => self.sent(*lane, *first, *n),
            Event::Acked {
                lane,
                first,
                n,
                offset,
            } => self.acked(*lane, *first, *n, *offset),
            Event::Read {
                reader,
                partition,
                base,
                epoch,
                items,
            } => self.read((*reader, *partition), *base, *epoch, items),
            Event::Marks {
                reader,
                partition,
                high_watermark,
                last_stable_offset,
                log_start_offset,
            } => {
                let reader = self.readers.entry((*reader, *partition)).or_default();
                let marks = [*high_watermark, *last_stable_offset, *log_start_offset];
                reader.saw_marks(*partition, marks, &mut self.verdict);
            }
            Event::Led {
                partition,
                epoch,
                leader,
            } => {
                let of = self.partitions.entry(*partition).or_default();
                of.led(*partition, *epoch, *leader, &mut self.verdict);
            }
            Event::Kept {
                partition,
                base,
                items,
            } => {
                let of = self.partitions.entry(*partition).or_default();
                of.keep(*partition, *base, items, &mut self.verdict);
            }
        }
    }

    /// What was found so far; only what needs the last reading is missing from it.
    pub fn so_far(&self) -> &Verdict {
        &self.verdict
    }

    /// The last word, once every partition was read from its start to its end as `Kept`.
    pub fn close(mut self) -> Verdict {
        for (number, partition) in &self.partitions {
            partition.close(*number, &mut self.verdict);
            let mut found = partition.where_kept(*number, &mut self.verdict);
            for (lane, writes) in &self.lanes {
                if lane.partition == *number {
                    let promise = self.promises.get(&lane.producer).copied();
                    let kept = found.remove(&lane.producer).unwrap_or_default();
                    writes.close(*lane, promise.unwrap_or_default(), &kept, &mut self.verdict);
                }
            }
            for (producer, kept) in found {
                let what = format!("{number} holds records of {producer}, who wrote none there");
                let n = kept.iter().map(|_| 1).sum();
                self.verdict.add(Kind::Phantom, n, what);
            }
        }
        for ((reader, number), state) in &self.readers {
            let end = self.partitions.get(number).map_or(0, Partition::end);
            state.close(*reader, *number, end, &mut self.verdict);
        }
        self.verdict
    }

    fn sent(&mut self, lane: Lane, first: u64, n: u32) {
        let partition = self.partitions.entry(lane.partition).or_default();
        let writes = self.lanes.entry(lane).or_default();
        writes.sent(first, n, partition.acked_below());
        self.verdict.n_sent += u64::from(n);
    }

    fn acked(&mut self, lane: Lane, first: u64, n: u32, offset: Option<i64>) {
        let promise = self
            .promises
            .get(&lane.producer)
            .copied()
            .unwrap_or_default();
        let partition = self.partitions.entry(lane.partition).or_default();
        let writes = self.lanes.entry(lane).or_default();
        let floor = writes.acked(first, n, offset);
        self.verdict.acked(promise.acks, u64::from(n));
        // Only what every replica has is a promise about an offset.
        let (Acks::All, Some(offset)) = (promise.acks, offset) else {
            return;
        };
        if offset < floor {
            let what = format!(
                "{lane} record {first} was sent when {} was acked already, and got offset {offset}",
                floor - 1
            );
            self.verdict.add(Kind::RealTimeOrder, u64::from(n), what);
        }
        partition.acked(lane, first, n, offset, &mut self.verdict);
    }

    fn read(&mut self, (reader, number): (u32, i32), base: i64, epoch: i32, items: &[Item]) {
        let state = self.readers.entry((reader, number)).or_default();
        let n = i64::try_from(items.len()).unwrap_or(i64::MAX);
        state.read((reader, number), base, n, &mut self.verdict);
        let partition = self.partitions.entry(number).or_default();
        partition.read(number, base, epoch, items, &mut self.verdict);
        self.verdict.n_read += items.iter().map(|_| 1).sum::<u64>();
    }
}
