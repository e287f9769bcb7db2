//! The log as its users see it, on a disk that can lose power.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "tests stop at the first surprise, and know their files' names"
)]

mod append_and_read;
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
