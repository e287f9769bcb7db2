//! What is to happen, by time and then by the order it was planned in.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::event::Event;

#[derive(Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Planned>,
    n_planned: u64,
}

struct Planned {
    at: u64,
    number: u64,
    event: Event,
}

impl Queue {
    pub(crate) fn push(&mut self, at: u64, event: Event) {
        self.n_planned += 1;
        let number = self.n_planned;
        self.heap.push(Planned { at, number, event });
    }

    pub(crate) fn pop_until(&mut self, end: u64) -> Option<(u64, Event)> {
        if self.heap.peek()?.at > end {
            return None;
        }
        let planned = self.heap.pop()?;
        Some((planned.at, planned.event))
    }
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    /// The earliest is the greatest: it is popped first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}
