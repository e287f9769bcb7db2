//! The groups of one partition of `__consumer_offsets`, and what they committed.
//!
//! | file | what it is |
//! |---|---|
//! | `consumer/` | groups the coordinator assigns (KIP-848) |
//! | `assignor/` | how it does |

pub mod assignor;
pub mod consumer;
