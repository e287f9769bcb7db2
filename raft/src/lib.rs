//! What a drave cluster agrees on: openraft, sled and bincode behind one small face.
//!
//! Every node opens one [`MetadataRaft`]. It recovers what the disk holds, forms a cluster or joins
//! one, and from then on offers the agreed [`image::MetadataImage`], a way to follow its changes,
//! and to the leader a way to propose records. No openraft type leaves this crate.
//!
//! Invariants: what `propose` answered with an offset survives any crash of a minority of voters;
//! a vote is durable before it is sent; the log and the vote live in our own write-ahead file, sled
//! holds only what can be rebuilt.

mod backend;
mod codec;
#[cfg(test)]
mod codec_test;
pub mod config;
#[doc(hidden)]
pub mod conformance;
mod disk;
mod forming;
pub mod history;
pub mod image;
mod leading;
mod log_store;
#[cfg(test)]
mod log_store_test;
mod membership;
mod memory_log;
mod metadata_raft;
#[cfg(test)]
mod metadata_raft_test;
mod network;
mod node;
mod open;
pub mod peer;
mod propose;
pub mod record;
mod snapshot;
#[cfg(test)]
mod snapshot_test;
mod state_machine;
pub mod status;
mod stored;
mod subscription;
mod succession;
mod tasks;
mod types;
mod wal;

pub use config::{Bootstrap, ConfigError, Deps, RaftConfig, Remembered};
pub use history::{Entity, History, HistoryRecord, HistoryStatus};
pub use membership::MembershipError;
pub use metadata_raft::{MetadataRaft, PeerConnection};
pub use open::OpenError;
pub use peer::{CallError, ConnectionId, Peer, PeerAnswer, PeerCall, PeerHandler, PeerId, Probe};
pub use propose::{PROPOSAL_BYTES_MAX, ProposeError, RECORDS_PER_PROPOSAL_MAX};
pub use snapshot::SnapshotError;
pub use status::{Leadership, MemberStatus, QuorumRole, QuorumStatus};
pub use subscription::{MetadataSubscription, MetadataUpdate};
pub use wal::WalError;
