//! The members of the cluster: who votes, which brokers are gone, which are to be emptied.

pub(crate) mod describe_quorum;
pub(crate) mod drain_broker;
pub(crate) mod raft_voters;
pub(crate) mod unregister_broker;
