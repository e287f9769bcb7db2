//! The log as its users see it, on a disk that can lose power.
//!
//! Whether these tests would notice is tested too. `log/src/planted.rs` is the one table of faults that can
//! be planted, and `planted.rs` here plants each of this crate's for the test that must find it:
//!
//! | fault | what it breaks | found by |
//! |---|---|---|
//! | `no-file-sync` | files are never synced | `crash_at_every_write`, `compaction_crash` |
//! | `no-folder-sync` | folders are never synced | `crash_at_every_write`, `compaction_crash` |
//! | `torn-tail-kept` | recovery cuts nothing off | `crash_at_every_write` |
//! | `index-trusted-blindly` | nobody looks whether the log agrees with an index | `recovery` (damaged indexes) |
//! | `window-of-four` | a producer's fifth last batch is forgotten | `producers` (crashes) |
//!
//! One way, for tests and for whole processes: `DRAVE_PLANT=no-file-sync cargo test -p drave-log` plants it
//! everywhere, in the machine's files as in the faulty ones (tests then fail, as they should); in a test
//! `let _planted = plant(Fault::NoFileSync);` does so for its thread until it is dropped.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "tests stop at the first surprise, and know their files' names"
)]

mod append_and_read;
mod begins_within;
mod blocks_ahead;
mod codecs_by_kafka;
mod compacted;
mod compacted_transactions;
mod compaction;
mod compaction_crash;
mod compaction_model;
mod crash_at_every_write;
mod disk_trouble;
mod holes;
mod inspect;
mod invariants;
mod life;
mod log_directory;
mod model;
mod open_files;
mod planted;
mod producer_life;
mod producers;
mod producers_of_kafka;
mod read_by_kafka;
mod recovery;
mod retention;
mod rolls;
mod scrub;
mod seeds;
mod slices;
mod support;
mod time_index;
mod truncation;
mod written_by_kafka;
