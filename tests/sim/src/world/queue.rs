//! What is to happen, by time and then by the order it was planned in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::event::Event;

/// Events lie still while their places in the order are moved about.
#[derive(Default)]
pub(crate) struct Queue {
    order: BinaryHeap<Reverse<Place>>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
    n_planned: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at: u64,
    number: u64,
    slot: usize,
}

impl Queue {
    pub(crate) fn push(&mut self, at: u64, event: Event) {
        self.n_planned += 1;
        let number = self.n_planned;
        let slot = self.free.pop().unwrap_or(self.events.len());
        if slot == self.events.len() {
            self.events.push(None);
        }
        self.events[slot] = Some(event);
        self.order.push(Reverse(Place { at, number, slot }));
    }

    pub(crate) fn pop_until(&mut self, end: u64) -> Option<(u64, Event)> {
        if self.order.peek()?.0.at > end {
            return None;
        }
        let Reverse(place) = self.order.pop()?;
        self.free.push(place.slot);
        Some((place.at, self.events[place.slot].take()?))
    }
}
