//! What does not hold, by kind, with the first of each told in full; and the counts.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::oracle::event::Acks;

/// Told in full per kind; more are counted.
const TOLD_MAX: usize = 10;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $name:literal;)*) => {
        /// A way in which a history can be wrong. Names are Jepsen's where it has one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Kind { $($(#[doc = $doc])+ $kind,)* }

        impl Kind {
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$kind => concat!($($doc),+),)* }
            }
        }
    };
}

kinds! {
    /// Acked with `acks=all`, and not kept.
    LostWrite = "lost-write";
    /// An offset held two things, as acks and readings tell.
    InconsistentOffset = "inconsistent-offset";
    /// An idempotent producer's record is kept twice.
    Duplicate = "duplicate";
    /// A producer's records are kept in another order than sent.
    NonmonotonicSend = "nonmonotonic-send";
    /// Sent after another record was acked, and kept before it.
    RealTimeOrder = "real-time-order";
    /// Read by a consumer, and not kept.
    DirtyRead = "dirty-read";
    /// A consumer went over an offset without being given it.
    PollSkip = "poll-skip";
    /// A consumer was given an offset again, or an earlier one.
    NonmonotonicPoll = "nonmonotonic-poll";
    /// Kept, and not given to a consumer that waited for it.
    Unseen = "unseen";
    /// The high watermark, the last stable offset or the log start fell.
    WatermarkFell = "watermark-fell";
    /// A consumer was given what lies above the high watermark it was told with it.
    ReadAboveWatermark = "read-above-watermark";
    /// Two leaders of one epoch.
    TwoLeaders = "two-leaders";
    /// The leader epoch of kept batches fell.
    EpochFell = "epoch-fell";
    /// Kept, and never sent by anybody.
    Phantom = "phantom";
    /// A checksum does not fit, or the bytes are none of ours.
    Corrupt = "corrupt";
    /// Replicas at rest differ in their bytes.
    ReplicasDiffer = "replicas-differ";
    /// A node ended by itself, did not stop when asked to, or did not come back from a cut of the power.
    NodeDied = "node-died";
    /// When all faults were gone, something did not go on within its time.
    NotHealed = "not-healed";
}

/// One violation, told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    pub kind: Kind,
    pub what: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub n_sent: u64,
    /// Acked with `acks=all`, the one ack that lasts.
    pub n_acked: u64,
    /// Acked by the leader alone.
    pub n_acked_by_leader: u64,
    pub n_read: u64,
    pub n_kept: u64,
    /// Acked by the leader alone and not kept: a leader that dies may take them with it.
    pub n_lost_by_leader: u64,
    /// Kept more than once, of producers that are not idempotent: retries whose first try went through.
    pub n_repeated: u64,
    pub counts: BTreeMap<Kind, u64>,
    pub told: Vec<Violation>,
}

impl Verdict {
    pub fn is_clean(&self) -> bool {
        self.counts.is_empty()
    }

    pub fn count(&self, kind: Kind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or_default()
    }

    pub fn add(&mut self, kind: Kind, n: u64, what: String) {
        *self.counts.entry(kind).or_default() += n;
        if self.told.iter().filter(|it| it.kind == kind).count() < TOLD_MAX {
            self.told.push(Violation { kind, what });
        }
    }

    pub(super) fn acked(&mut self, acks: Acks, n: u64) {
        match acks {
            Acks::All => self.n_acked += n,
            Acks::Leader => self.n_acked_by_leader += n,
            Acks::None => {}
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.what)
    }
}
