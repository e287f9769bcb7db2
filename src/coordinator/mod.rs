//! Group coordinators: who is in a group, who reads what, and how far they got.
//!
//! | file | what it is |
//! |---|---|
//! | `decision`, `error` | what a shard answers: records, answers, deadlines; refusals |
//! | `group/` | the groups of one partition: decisions, and what replaying records brings about |
//! | `records/` | what is agreed on, as it lies in the log |
//! | `writer` | the log as a coordinator sees it |
//!
//! Invariants: what a group agreed on changes by replaying records only; nothing is answered before the
//! records it rests on are committed; a shard whose partition is led in another epoch answers nothing.

pub mod decision;
pub mod error;
pub mod group;
pub mod records;
pub mod writer;

pub use self::decision::{Decision, TimerChange, TimerKey, TimerKind};
pub use self::error::GroupError;
