//! Who hears whom, and how long it takes. Messages of one connection keep their order; those of
//! different ones do not.

use std::collections::BTreeMap;

use super::World;
use super::event::Event;

/// The controllers and the quorum are 0, broker `b` is `b + 1`, clients are the last.
pub(crate) const CONTROLLER: usize = 0;
pub(crate) const CLIENTS: usize = 6;
const N: usize = 7;

#[derive(Default)]
pub(crate) struct Network {
    blocked: [[u32; N]; N],
    /// When the last message of a connection arrives, by direction.
    last: BTreeMap<(u64, usize), u64>,
    held: Vec<Held>,
}

struct Held {
    way: (usize, usize),
    event: Event,
}

pub(crate) fn place(broker: usize) -> usize {
    broker + 1
}

impl World {
    pub(crate) fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.network.blocked[from][to] > 0
    }

    pub(crate) fn latency(&mut self) -> u64 {
        let high = self.swarm.latency_us;
        let usual = 50 + self.chance.between(0, high);
        if !self.is_healing && self.chance.permille(self.swarm.slow_permille) {
            return usual + self.chance.between(10_000, 2_500_000);
        }
        usual
    }

    /// Over a connection; `event` happens there when it arrives, if it does.
    pub(crate) fn send(&mut self, (from, to): (usize, usize), connection: u64, event: Event) {
        if self.is_blocked(from, to) {
            // TCP sends it again until the connection is given up.
            if self.chance.permille(500) {
                let way = (from, to);
                self.network.held.push(Held { way, event });
            }
            return;
        }
        let is_lossy = from != CLIENTS && !self.is_healing;
        if is_lossy && self.chance.permille(self.swarm.lost_permille / 10) {
            return;
        }
        let mut at = self.now + self.latency();
        if connection != 0 {
            let last = self.network.last.entry((connection, to)).or_insert(0);
            at = at.max(*last + 1);
            *last = at;
        }
        self.queue.push(at, event);
    }

    pub(crate) fn block(&mut self, from: usize, to: usize) {
        self.network.blocked[from][to] += 1;
    }

    pub(crate) fn unblock(&mut self, from: usize, to: usize) {
        let blocked = &mut self.network.blocked[from][to];
        *blocked = blocked.saturating_sub(1);
        self.release();
    }

    pub(crate) fn unblock_all(&mut self) {
        self.network.blocked = [[0; N]; N];
        self.release();
    }

    fn release(&mut self) {
        let held = std::mem::take(&mut self.network.held);
        for it in held {
            if self.is_blocked(it.way.0, it.way.1) {
                self.network.held.push(it);
            } else {
                let delay = self.latency();
                self.after(delay, it.event);
            }
        }
        self.catch_up_all();
    }
}
