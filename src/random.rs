//! The one door to randomness: ids, jitter and placement draw from here, so a seed repeats a run.

use std::fmt;
use std::sync::Arc;

use drave_protocol::ids::Uuid;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

/// A cheap handle; clones draw from the same stream.
#[derive(Clone)]
pub struct Random {
    stream: Arc<Mutex<StdRng>>,
}

impl Random {
    /// Seeded by the operating system.
    pub fn system() -> Self {
        Self {
            stream: Arc::new(Mutex::new(StdRng::from_os_rng())),
        }
    }

    pub fn seeded(seed: u64) -> Self {
        Self {
            stream: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
        }
    }

    pub fn u64(&self) -> u64 {
        self.stream.lock().next_u64()
    }

    pub fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.stream.lock().fill_bytes(&mut bytes);
        Uuid::from_random(bytes)
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_stream() {
        assert_eq!(Random::seeded(7).u64(), Random::seeded(7).u64());
        assert_ne!(Random::seeded(7).uuid(), Random::seeded(8).uuid());
    }
}
