//! One fetch session (KIP-227), pure: what a reader asked for, what it was told, and what to look at next.
//!
//! Invariants: a partition is due from when it is asked for or marked until it was looked at; one with
//! records, with trouble, or left out for want of room stays due for the next request; an idle one costs
//! nothing. Who got records comes last the next time, so nobody starves. The answer to a request in a session
//! tells of a partition only what is new.

use std::collections::BTreeMap;
use std::sync::Arc;

use drave_protocol::ids::{Offset, TopicId, TopicIdPartition};
use drave_protocol::schema::fetch::FetchPartition;

use crate::replica::Reader;
use crate::server::handlers::data::naming::TopicsBy;

/// A partition as the reader calls it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Called {
    pub(crate) topic: CalledTopic,
    pub(crate) partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CalledTopic {
    Name(Arc<str>),
    Id(TopicId),
}

/// Who reads, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) reader: Reader,
    pub(crate) rack: String,
}

/// One partition of a session. `W` ends its being watched when it is dropped.
#[derive(Debug)]
pub(crate) struct Entry<W> {
    pub(crate) called: Called,
    pub(crate) asked: FetchPartition,
    /// `None` until it is looked up, and again after trouble.
    pub(crate) partition: Option<TopicIdPartition>,
    pub(crate) watching: Option<W>,
    told: Option<Numbers>,
    turn: u64,
}

/// What a reader is told of a partition beside records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) high_watermark: Offset,
    pub(crate) log_start_offset: Offset,
}

/// What a look at a partition came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) n_bytes: usize,
    /// `None`: trouble, or something more pressing than numbers.
    pub(crate) numbers: Option<Numbers>,
    /// Whether it was looked at with no room left for records.
    pub(crate) was_skipped: bool,
    /// Whether only a change makes it worth another look.
    pub(crate) is_settled: bool,
}

/// What one request found: whether it told all, or only what is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    All,
    News,
}

/// Whether a session serves the one who now reads in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Accepted,
    /// It is somebody else's.
    Refused,
}

#[derive(Debug)]
pub(crate) struct Session<W> {
    by: TopicsBy,
    who: Who,
    /// What the next request must say; rises with each.
    epoch: i32,
    entries: Vec<Option<Entry<W>>>,
    free: Vec<u32>,
    places: BTreeMap<Called, u32>,
    /// Places by turn.
    due: BTreeMap<u64, u32>,
    next_turn: u64,
}

/// The session epoch after `epoch`: it never comes back to 0, which opens a session.
pub(crate) const fn epoch_after(epoch: i32) -> i32 {
    match epoch {
        i32::MAX => 1,
        it => it + 1,
    }
}

impl<W> Session<W> {
    pub(crate) fn new(by: TopicsBy, who: Who) -> Self {
        Self {
            by,
            who,
            epoch: 1,
            entries: Vec::new(),
            free: Vec::new(),
            places: BTreeMap::new(),
            due: BTreeMap::new(),
            next_turn: 0,
        }
    }

    pub(crate) fn epoch(&self) -> i32 {
        self.epoch
    }

    pub(crate) fn by(&self) -> TopicsBy {
        self.by
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Begins the request after the one before.
    pub(crate) fn advance_epoch(&mut self) {
        self.epoch = epoch_after(self.epoch);
    }

    /// A reader that now sees more, or less, is to look at everything again.
    pub(crate) fn claim(&mut self, who: Who) -> Claim {
        if who == self.who {
            return Claim::Accepted;
        }
        let is_same_one = match (&self.who.reader, &who.reader) {
            (Reader::Consumer { .. }, Reader::Consumer { .. }) => true,
            (Reader::Follower { id, .. }, Reader::Follower { id: now, .. }) => id.node == now.node,
            (Reader::Consumer { .. }, Reader::Follower { .. })
            | (Reader::Follower { .. }, Reader::Consumer { .. }) => false,
        };
        if !is_same_one {
            return Claim::Refused;
        }
        self.who = who;
        for place in self.places.values().copied().collect::<Vec<u32>>() {
            self.mark(place);
        }
        Claim::Accepted
    }

    /// Asks for a partition, for the first time or from a new position.
    pub(crate) fn ask(&mut self, called: Called, asked: FetchPartition) {
        if let Some(place) = self.places.get(&called).copied() {
            if let Some(entry) = self.entry_mut(place) {
                entry.asked = asked;
            }
            self.mark(place);
            return;
        }
        let entry = Entry {
            called: called.clone(),
            asked,
            partition: None,
            watching: None,
            told: None,
            turn: self.take_turn(),
        };
        let place = self.place(entry);
        self.places.insert(called, place);
        self.mark(place);
    }

    fn place(&mut self, entry: Entry<W>) -> u32 {
        if let Some(place) = self.free.pop()
            && let Some(slot) = slot_mut(&mut self.entries, place)
        {
            *slot = Some(entry);
            return place;
        }
        let place =
            u32::try_from(self.entries.len()).expect("fewer partitions than a frame has bytes");
        self.entries.push(Some(entry));
        place
    }

    pub(crate) fn forget(&mut self, called: &Called) {
        let Some(place) = self.places.remove(called) else {
            return;
        };
        let entry = slot_mut(&mut self.entries, place).and_then(Option::take);
        if let Some(entry) = entry {
            self.due.remove(&entry.turn);
            self.free.push(place);
        }
    }

    /// The partition there may have news. Of one that was forgotten it is not heard any more.
    pub(crate) fn mark(&mut self, place: u32) {
        if let Some(turn) = self.entry(place).map(|it| it.turn) {
            self.due.insert(turn, place);
        }
    }

    /// What is to be looked at, in its order.
    pub(crate) fn due(&self) -> Vec<u32> {
        self.due.values().copied().collect()
    }

    pub(crate) fn entry(&self, place: u32) -> Option<&Entry<W>> {
        let index = usize::try_from(place).ok()?;
        self.entries.get(index)?.as_ref()
    }

    pub(crate) fn entry_mut(&mut self, place: u32) -> Option<&mut Entry<W>> {
        slot_mut(&mut self.entries, place)?.as_mut()
    }

    /// The numbers the reader was last told of the partition there.
    pub(crate) fn told(&self, place: u32) -> Option<Numbers> {
        self.entry(place)?.told
    }

    /// The request that looked at `place` is answered. Returns whether it is in the answer.
    pub(crate) fn settle(&mut self, place: u32, outcome: Outcome, telling: Telling) -> bool {
        let turn = if outcome.n_bytes > 0 {
            Some(self.take_turn())
        } else {
            None
        };
        let Some(entry) = self.entry_mut(place) else {
            return false;
        };
        let is_news = outcome.n_bytes > 0
            || outcome.numbers.is_none()
            || outcome.numbers != entry.told
            || telling == Telling::All;
        // Once the trouble is over, that is news again.
        entry.told = outcome.numbers;
        if outcome.numbers.is_none() {
            entry.partition = None;
            entry.watching = None;
        }
        let before = entry.turn;
        entry.turn = turn.unwrap_or(before);
        let turn = entry.turn;
        self.due.remove(&before);
        let stays_due = outcome.n_bytes > 0
            || outcome.numbers.is_none()
            || outcome.was_skipped
            || !outcome.is_settled;
        if stays_due {
            self.due.insert(turn, place);
        }
        is_news
    }

    fn take_turn(&mut self) -> u64 {
        self.next_turn += 1;
        self.next_turn
    }
}

fn slot_mut<W>(entries: &mut [Option<Entry<W>>], place: u32) -> Option<&mut Option<Entry<W>>> {
    entries.get_mut(usize::try_from(place).ok()?)
}

#[cfg(test)]
#[path = "fetch_session_test.rs"]
mod tests;
