//! One loop for each partition led here: it takes what is asked in turn, records what is decided, and answers
//! when that is committed.
//!
//! | file | what it is |
//! |---|---|
//! | `slot` | a loop, as those see it who ask |
//! | `running` | the loop |
//! | `loading` | a log into a shard |
//! | `round` | what is decided together is one batch |

pub(super) mod loading;
mod round;
pub(super) mod running;
#[cfg(test)]
mod running_test;
pub(super) mod slot;
