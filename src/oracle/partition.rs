//! What one partition holds: an offset has one value, for ever, whoever tells of it.

use std::collections::BTreeMap;

use crate::oracle::event::{Item, Lane};
use crate::oracle::verdict::{Kind, Verdict};

#[derive(Debug, Default)]
pub(super) struct Partition {
    told: Vec<Option<Told>>,
    kept: Vec<Item>,
    kept_from: Option<i64>,
    leader_by_epoch: BTreeMap<i32, i32>,
    /// Above every offset that was acked with `acks=all`.
    acked_below: i64,
    /// The newest epoch read, and where.
    epoch_read: Option<(i32, i64)>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    item: Item,
    was_read: bool,
}

impl Partition {
    pub(super) fn acked_below(&self) -> i64 {
        self.acked_below
    }

    pub(super) fn end(&self) -> i64 {
        self.kept_from.unwrap_or_default() + length(&self.kept)
    }

    pub(super) fn acked(
        &mut self,
        lane: Lane,
        first: u64,
        n: u32,
        offset: i64,
        verdict: &mut Verdict,
    ) {
        for at in 0..n {
            let told = Told {
                item: Item::Record(lane.producer, first + u64::from(at)),
                was_read: false,
            };
            self.tell(lane.partition, offset + i64::from(at), told, verdict);
        }
        self.acked_below = self.acked_below.max(offset + i64::from(n));
    }

    pub(super) fn read(
        &mut self,
        number: i32,
        base: i64,
        epoch: i32,
        items: &[Item],
        verdict: &mut Verdict,
    ) {
        for (item, offset) in items.iter().zip(base..) {
            let told = Told {
                item: *item,
                was_read: true,
            };
            self.tell(number, offset, told, verdict);
            if let Item::Stranger { .. } = item {
                verdict.add(Kind::Corrupt, 1, format!("{number} at {offset} is {item}"));
            }
        }
        if let Some((newest, at)) = self.epoch_read
            && epoch < newest
            && at < base
        {
            let what =
                format!("{number} at {base} is of epoch {epoch}, {at} before it of {newest}");
            verdict.add(Kind::EpochFell, 1, what);
        }
        if self.epoch_read.is_none_or(|(newest, _)| epoch > newest) {
            self.epoch_read = Some((epoch, base));
        }
    }

    pub(super) fn led(&mut self, number: i32, epoch: i32, leader: i32, verdict: &mut Verdict) {
        let known = *self.leader_by_epoch.entry(epoch).or_insert(leader);
        if known != leader {
            let what = format!("{number} was led by {known} and by {leader} at epoch {epoch}");
            verdict.add(Kind::TwoLeaders, 1, what);
        }
    }

    pub(super) fn keep(&mut self, number: i32, base: i64, items: &[Item], verdict: &mut Verdict) {
        let from = *self.kept_from.get_or_insert(base);
        let expected = from + length(&self.kept);
        if base != expected {
            let what = format!("the last reading of {number} wanted {expected} and got {base}");
            verdict.add(Kind::PollSkip, (base - expected).unsigned_abs(), what);
            return;
        }
        self.kept.extend_from_slice(items);
    }

    /// Holds what was told against what is kept.
    pub(super) fn close(&self, number: i32, verdict: &mut Verdict) {
        verdict.n_kept += self.kept.iter().map(|_| 1).sum::<u64>();
        let from = self.kept_from.unwrap_or_default();
        for (told, offset) in self.told.iter().zip(0_i64..) {
            let Some(told) = told else { continue };
            let place = usize::try_from(offset - from).ok();
            match place.and_then(|it| self.kept.get(it)) {
                Some(kept) if *kept == told.item => {}
                Some(kept) => {
                    let what = format!("{number} at {offset} was {} and is {kept}", told.item);
                    verdict.add(Kind::InconsistentOffset, 1, what.clone());
                    if told.was_read {
                        verdict.add(Kind::DirtyRead, 1, what);
                    }
                }
                // Below the log start it may have been deleted, which nobody here asks for.
                None if told.was_read => {
                    let what =
                        format!("{number} at {offset} was read as {} and is gone", told.item);
                    verdict.add(Kind::DirtyRead, 1, what);
                }
                // An acked record that is nowhere is told as lost, by its lane.
                None => {}
            }
        }
    }

    /// By producer: number and offset of each of its records, by offset.
    pub(super) fn where_kept(
        &self,
        number: i32,
        verdict: &mut Verdict,
    ) -> BTreeMap<u32, Vec<(u64, i64)>> {
        let mut by_producer: BTreeMap<u32, Vec<(u64, i64)>> = BTreeMap::new();
        for (item, offset) in self.kept.iter().zip(self.kept_from.unwrap_or_default()..) {
            match item {
                Item::Record(producer, record) => {
                    let places = by_producer.entry(*producer).or_default();
                    places.push((*record, offset));
                }
                Item::Marker(()) => {}
                Item::Stranger { .. } => {
                    verdict.add(
                        Kind::Corrupt,
                        1,
                        format!("{number} keeps at {offset} {item}"),
                    );
                }
            }
        }
        by_producer
    }

    fn tell(&mut self, number: i32, offset: i64, told: Told, verdict: &mut Verdict) {
        let Ok(place) = usize::try_from(offset) else {
            let what = format!("{number}: {} was acked at {offset}", told.item);
            verdict.add(Kind::InconsistentOffset, 1, what);
            return;
        };
        if self.told.len() <= place {
            self.told.resize(place + 1, None);
        }
        let Some(before) = self.told.get_mut(place) else {
            return;
        };
        match before {
            Some(before) if before.item == told.item => before.was_read |= told.was_read,
            Some(before) => {
                let what = format!(
                    "{number} at {offset} was {} and then {}",
                    before.item, told.item
                );
                verdict.add(Kind::InconsistentOffset, 1, what);
            }
            None => *before = Some(told),
        }
    }
}

fn length(items: &[Item]) -> i64 {
    i64::try_from(items.len()).unwrap_or(i64::MAX)
}
