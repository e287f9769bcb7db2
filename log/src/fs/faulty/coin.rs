//! The toss of a coin that a crash is.

use crate::fs::faulty::CrashLoss;

/// Decides what of the unsynced survives; the same seed decides the same.
#[derive(Debug)]
pub(super) enum Coin {
    Keep,
    Lose,
    Toss(u64),
}

impl Coin {
    pub(super) fn of(loss: CrashLoss) -> Self {
        match loss {
            CrashLoss::Nothing => Self::Keep,
            CrashLoss::EverythingUnsynced => Self::Lose,
            CrashLoss::ByChance { seed } => Self::Toss(seed),
        }
    }

    pub(super) fn keeps(&mut self) -> bool {
        match self {
            Self::Keep => true,
            Self::Lose => false,
            Self::Toss(state) => {
                // SplitMix64: every seed gives a good stream.
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut mixed = *state;
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                (mixed ^ (mixed >> 31)) & 1 == 1
            }
        }
    }
}
