//! What may happen to a log, as data: [`Op`]. [`Model`] says what the log must then hold, and
//! [`Living`] does it to a log on a disk that can fail.

mod living;
mod model;
mod moment;

use drave_protocol::record::attributes::Compression;
use proptest::prelude::*;

pub(crate) use living::{Living, partition};
pub(crate) use model::{Model, Stored};
pub(crate) use moment::Moment;

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Append(Recipe),
    Follow(Vec<Recipe>),
    /// As from a leader whose log was compacted: offsets are missing before the batch.
    FollowAfterHole {
        missing: i64,
        recipe: Recipe,
    },
    /// A producer's transaction ends, by the broker's own control batch.
    End {
        producer: i64,
        is_aborted: bool,
    },
    NewEpoch,
    Sync,
    /// Writes recovery point and log start to the log directory's checkpoints.
    Checkpoint,
    /// To this percentage of the log.
    Truncate {
        percent: i64,
    },
    /// Deletes records up to this percentage of the log.
    AdvanceStart {
        percent: i64,
    },
    Reset {
        ahead: i64,
    },
    Roll,
    /// The clock goes on: segments and records grow old.
    Wait {
        ms: i64,
    },
    /// Old segments go, up to this percentage of the log.
    Retain {
        percent: i64,
    },
}

/// One batch to be made.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// Bytes of each record's value, more or less.
    pub(crate) sizes: Vec<usize>,
    pub(crate) codec: Compression,
    pub(crate) by: By,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    Anyone,
    Producer(i64),
    /// In a transaction, opened here or before.
    Transaction(i64),
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let sizes = proptest::collection::vec(0..120_usize, 1..4);
    let codec = prop_oneof![
        8 => Just(Compression::None),
        1 => Just(Compression::Gzip),
        1 => Just(Compression::Snappy),
        1 => Just(Compression::Lz4),
        1 => Just(Compression::Zstd),
    ];
    let by = prop_oneof![
        3 => Just(By::Anyone),
        3 => producer().prop_map(By::Producer),
        1 => producer().prop_map(By::Transaction),
    ];
    (sizes, codec, by).prop_map(|(sizes, codec, by)| Recipe { sizes, codec, by })
}

fn producer() -> std::ops::Range<i64> {
    0..3
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let end = (producer(), any::<bool>());
    prop_oneof![
        12 => recipe().prop_map(Op::Append),
        4 => proptest::collection::vec(recipe(), 1..4).prop_map(Op::Follow),
        2 => end.prop_map(|(producer, is_aborted)| Op::End { producer, is_aborted }),
        2 => Just(Op::NewEpoch),
        6 => Just(Op::Sync),
        2 => Just(Op::Checkpoint),
        2 => (40..110_i64).prop_map(|percent| Op::Truncate { percent }),
        1 => (0..80_i64).prop_map(|percent| Op::AdvanceStart { percent }),
        1 => (0..50_i64).prop_map(|ahead| Op::Reset { ahead }),
        1 => Just(Op::Roll),
        2 => (0..30_000_i64).prop_map(|ms| Op::Wait { ms }),
        1 => (0..=100_i64).prop_map(|percent| Op::Retain { percent }),
    ]
}

/// As [`op`], in a log that may get holes.
pub(crate) fn op_with_holes() -> impl Strategy<Value = Op> {
    let after_hole =
        (1..9_i64, recipe()).prop_map(|(missing, recipe)| Op::FollowAfterHole { missing, recipe });
    prop_oneof![8 => op(), 1 => after_hole]
}
