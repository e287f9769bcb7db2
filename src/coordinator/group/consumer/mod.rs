//! Consumer groups (KIP-848): members say what they read and what they have, the group says what they may.
//!
//! | file | what it is |
//! |---|---|
//! | `group`, `member` | the group as it is recorded |
//! | `heartbeat`, `leave` | what members say; who is not heard of |
//! | `draft` | a decision in the making |
//! | `target` | who shall read what: by the assignors |
//! | `reconcile` | a member's way from what it has to what it shall have |
//! | `committing` | whose commits count |
//! | `regex`, `topics`, `view` | the topics a subscription stands for, of those there are |
//! | `classic_member`, `migration`, `wire` | members of the classic protocol; from one protocol to the other |
//! | `describe` | for tools |
//!
//! A group's life is three numbers that only rise: the group's epoch, when what it reads or who is in it
//! changes; the assignment's, when it is decided who shall read what; each member's, when it has come there.

mod classic_member;
mod committing;
mod describe;
mod draft;
mod group;
mod heartbeat;
mod leave;
mod member;
mod migration;
#[cfg(test)]
mod model_test;
mod reconcile;
mod regex;
mod target;
mod topics;
mod view;
mod wire;

pub use self::classic_member::{ClassicIdentity, ClassicJoin, ClassicJoined};
pub use self::describe::{DescribedConsumer, DescribedConsumerGroup};
pub use self::draft::{Settings, Surroundings};
pub use self::group::{ConsumerGroup, State};
pub use self::heartbeat::{Heard, Heartbeat};
pub use self::member::{Held, Member};
pub use self::migration::{Migrant, Upgraded};
pub use self::topics::{Topic, Topics};
pub(super) use self::wire::assigned as read_assignment;
