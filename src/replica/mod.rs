//! Replication of partitions: leaders, followers, and those who wait on them.
//!
//! | file | what it is |
//! |---|---|
//! | `leader`, `follower`, `truncation`, `nearest` | the rules, pure |
//! | `partition`, `following`, `read`, `syncing`, `failing` | one partition here: log, role, readers, behind one lock |
//! | `replicas`, `fetch`, `deletion` | all partitions, and the doors handlers use |
//! | `reconcile`, `claims`, `opening` | image to roles, and what of it is believed; partition to log |
//! | `homes`, `space`, `roster` | log directories; room on their disks; which replica lies where |
//! | `offline`, `scrub` | replicas that cannot be used; bytes that rotted |
//! | `fetcher/` | fetching as a follower, one loop per leading broker |
//! | `flusher`, `isr_change`, `checkpoints`, `retention`, `cleaner`, `producers` | the loops: sync, propose, remember, forget, compact |
//! | `throttle` | the pace of replicas that are copied elsewhere |
//! | `steady_clock` | the wall clock as records are judged by it |
//! | `reigning` | the door of those who keep their state in a log, and lead by it in one epoch |
//! | `rights` | who may act: a leader by its lease, a follower by the image |
//! | `solo`, `view` | one replica without the loops, and a look at it, for simulation |
//! | `purgatory`, `entered`, `signals`, `unsynced` | who waits; what partitions tell the loops |
//! | `status`, `error` | what people and clients are told |

mod checkpoints;
mod claims;
mod cleaner;
mod deletion;
mod entered;
pub mod error;
mod failing;
pub mod fetch;
mod fetcher;
mod flusher;
mod follower;
mod following;
pub mod homes;
mod isr_change;
mod leader;
mod log_config;
mod nearest;
pub mod offline;
mod opening;
pub mod partition;
mod producers;
pub mod purgatory;
pub mod read;
mod reconcile;
mod reigning;
pub mod replicas;
mod retention;
mod rights;
pub mod roster;
mod scrub;
mod signals;
pub mod solo;
mod space;
pub mod status;
mod steady_clock;
mod syncing;
mod throttle;
mod truncation;
mod unsynced;
mod view;

pub use self::deletion::{DeleteBefore, Deletion};
pub use self::error::{AppendError, DeletionError, FetchError};
pub use self::fetch::{Reader, ReadsFrom, Watching};
pub use self::partition::{Acks, Appended, FollowerId};
pub use self::purgatory::{CommitTicket, Watch};
pub use self::read::{FetchPartition, Fetched, Isolation, ListedOffset, OffsetQuery};
pub use self::reigning::Extent;
pub use self::replicas::{Deps, Replicas};
pub use self::status::{FollowerStatus, ReplicaRole, ReplicaStatus};

#[cfg(test)]
mod leader_test;
