//! The groups of one partition of `__consumer_offsets`, and what they committed.
//!
//! | file | what it is |
//! |---|---|
//! | `shard` | all of them: replay, deadlines, and who is there |
//! | `classic/` | groups whose members assign each other |
//! | `consumer/`, `consumers` | groups the coordinator assigns (KIP-848), and they among the others |
//! | `assignor/` | how it does |
//! | `membership` | what members of classic groups ask |
//! | `offsets`, `committing`, `expiry` | committed offsets: kept; committed, fetched, deleted; forgotten |
//! | `listing` | groups, for tools |
//! | `status` | groups, for people |
//! | `context` | what a decision may look at besides |

pub mod assignor;
pub mod classic;
mod committing;
pub mod consumer;
mod consumers;
pub mod context;
mod expiry;
mod listing;
mod membership;
mod offsets;
#[cfg(test)]
pub(crate) mod scene;
mod shard;
#[cfg(test)]
mod shard_test;
mod status;

pub use self::committing::{
    Commit, CommitPartition, CommitTopic, FetchOffsets, FetchedTopic, Outcomes,
};
pub use self::listing::{DescribedGroup, ListFilter, Listed};
pub use self::offsets::Committed;
pub use self::shard::{Group, GroupShard};
pub use self::status::{
    Assignment, GroupDescription, GroupMemberStatus, GroupStatus, OffsetStatus,
};
