//! The one source of chance in a run: the same seed draws the same.

/// `SplitMix64`: small, and every seed gives a good stream.
#[derive(Clone, Debug)]
pub struct Chance(u64);

pub fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(mixed(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)))
    }

    pub fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// From `low` to below `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        if high <= low {
            return low;
        }
        low + self.u64() % (high - low)
    }

    pub fn below(&mut self, n: usize) -> usize {
        let n = n.max(1) as u64;
        (self.u64() % n) as usize
    }

    /// True in so many of a thousand cases.
    pub fn permille(&mut self, n: u64) -> bool {
        self.u64() % 1000 < n
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let at = self.below(all.len());
        &all[at]
    }
}
