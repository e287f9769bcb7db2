//! One connection, and a pool of them: frames, versions, correlation ids; no topics, no records.

pub mod connection;
#[cfg(test)]
mod connection_test;
mod line;
pub mod pool;
mod versions;
