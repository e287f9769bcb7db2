//! A partition's replication under a seeded scheduler, and the invariants it must keep.
//!
//! - `history` — facts. `oracle`, `invariants` — facts in, violations out; they know no simulator.
//! - `swarm` — what a seed draws: cluster, load, faults and their rates. `chance` — its dice.
//! - `world` — virtual time, network, quorum and disks around the real state machines.
//! - `run` — one seed, or many.
//!
//! What is real and what is not is in `docs/simulation.md`.
#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::needless_pass_by_value,
    clippy::similar_names,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test: it may fail loudly, and its numbers are its own"
)]

pub mod chance;
pub mod history;
pub mod invariants;
pub mod oracle;
pub mod run;
pub mod swarm;
pub mod world;
