//! This node's relations with the cluster: what it knows, what it asks, and how it proves it lives.
//!
//! - `administration` — what administrators ask of the controller, as those requests carry it.
//! - `rpc` — the requests nodes send each other over the peer port, and their bytes.
//! - `view` — questions about the agreed image, asked alike by every door.
//! - `operations` — what operators ask of it.
//! - `metadata` — a handle on the newest image, with a notification when it changes.
//! - `controller_link` — typed calls to the active controller.
//! - `registration` — this broker's half of liveness, pure: register, heartbeat, lease.
//! - `producer_ids` — ids for idempotent producers, from blocks of the controller.
//! - `liveness` — its loop. `lease` — what it grants, read at every append.
//!
//! Nothing here decides anything for the cluster: decisions are `controller/`'s alone.

pub mod administration;
pub mod controller_link;
pub mod lease;
pub mod liveness;
pub mod metadata;
pub mod operations;
pub mod producer_ids;
pub mod registration;
pub mod rpc;
pub mod view;

pub use self::controller_link::{ControllerLink, LinkError};
pub use self::lease::BrokerLease;
pub use self::liveness::{Liveness, LivenessHandle};
pub use self::metadata::{Metadata, MetadataFeed};
pub use self::producer_ids::ProducerIds;
pub use self::view::ClusterView;
