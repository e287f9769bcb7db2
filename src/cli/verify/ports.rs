//! Ports for nodes that keep theirs across restarts, and for the wires between them.
//!
//! Drawn from below the range the system gives to outgoing connections, then asked for by binding them:
//! one from that range could be lost to any client while its node is down.

use std::collections::BTreeSet;
use std::net::TcpListener;

use anyhow::bail;

use crate::random::Random;

const LOWEST: u64 = 15_000;
const HIGHEST: u64 = 32_000;
const TRIES: usize = 1_000;

/// Hands out each port once.
#[derive(Debug)]
pub(super) struct Ports {
    random: Random,
    taken: BTreeSet<u16>,
}

impl Ports {
    pub(super) fn new() -> Self {
        Self {
            // Not the run's seed: two runs of one seed must not want the same ports.
            random: Random::system(),
            taken: BTreeSet::new(),
        }
    }

    /// A port of this machine nobody listens on.
    pub(super) fn free(&mut self) -> anyhow::Result<u16> {
        for _ in 0..TRIES {
            let drawn = LOWEST + self.random.u64() % (HIGHEST - LOWEST);
            let port = u16::try_from(drawn)?;
            if TcpListener::bind(("127.0.0.1", port)).is_ok() && self.taken.insert(port) {
                return Ok(port);
            }
        }
        bail!("no free port between {LOWEST} and {HIGHEST} after {TRIES} tries")
    }
}
