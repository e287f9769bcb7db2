//! APIs that touch records; answered by the leader of each partition.

pub(crate) mod delete_records;
pub(crate) mod fetch;
#[cfg(test)]
mod fetch_test;
mod fetching;
mod leader_hints;
pub(crate) mod list_offsets;
pub(crate) mod naming;
pub(crate) mod offset_for_leader_epoch;
pub(crate) mod produce;
#[cfg(test)]
mod produce_test;
