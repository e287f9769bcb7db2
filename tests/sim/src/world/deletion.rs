//! Records are deleted, up to any offset that is committed: a batch may be cut in half.

use std::sync::Arc;

use drave::replica::DeleteBefore;
use drave_protocol::ids::Offset;

use crate::history::Fact;

use super::World;
use super::event::{Event, ToBroker};
use super::network::{CLIENTS, place};

const WITHIN_US: u64 = 5_000_000;

/// One that a leader took, until everybody let go who lives or may lead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deletion {
    to: Offset,
    deadline: u64,
}

impl World {
    /// Somebody asks for it; mostly who leads, and mostly for what is committed.
    pub(crate) fn ask_to_delete(&mut self, anybody: usize) {
        let leader = self.quorum.partition().and_then(|it| it.leader);
        let broker = match leader {
            Some(leader) if self.chance.permille(900) => leader.0 as usize - 1,
            _ => anybody,
        };
        let known = self.oracle.known();
        let (from, upto) = (known.deleted_to.0, known.true_high_watermark().0);
        let before = if self.chance.permille(150) {
            DeleteBefore::HighWatermark
        } else {
            let offset = self.chance.between(from as u64, upto as u64 + 2);
            DeleteBefore::Offset(Offset(offset as i64))
        };
        let life = self.brokers_life(broker);
        let what = ToBroker::Delete { before };
        let event = Event::Broker { broker, life, what };
        self.send((CLIENTS, place(broker)), 0, event);
    }

    pub(crate) fn delete(&mut self, broker: usize, before: DeleteBefore) {
        let (now, deadline) = (self.instant(broker + 1), self.now + WITHIN_US);
        let delay = self.chance.between(0, self.brokers[broker].sync_us);
        let (Some(life), Some(process)) = (self.life(broker), self.process(broker)) else {
            return;
        };
        let Ok(to) = process.solo.delete_before(before, now) else {
            return;
        };
        process.deletions.push(Deletion { to, deadline });
        self.tell(&Fact::DeletionTaken { to });
        let what = ToBroker::NoteLogStart;
        self.after(1 + delay, Event::Broker { broker, life, what });
    }

    pub(crate) fn note_log_start(&mut self, broker: usize) {
        if let Some(process) = self.process(broker) {
            process.solo.note_log_start();
        }
    }

    pub(crate) fn answer_deletions(&mut self, broker: usize) {
        let now = self.now;
        let applied = match self.process(broker) {
            Some(process) if !process.deletions.is_empty() => process.applied,
            _ => return,
        };
        let image = Arc::clone(self.quorum.image(applied));
        let Some(process) = self.process(broker) else {
            return;
        };
        let low_watermark = process.solo.low_watermark(&image);
        let mut deletions = std::mem::take(&mut process.deletions);
        deletions.retain(|it| now < it.deadline && low_watermark.is_some());
        let (done, waiting) = deletions
            .into_iter()
            .partition(|it| low_watermark >= Some(it.to));
        process.deletions = waiting;
        let done: Vec<Deletion> = done;
        for Deletion { to, .. } in done {
            self.tell(&Fact::Deleted { to });
        }
    }
}
