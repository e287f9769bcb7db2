//! The log as its users see it, on a disk that can lose power.

mod append_and_read;
mod crash_at_every_write;
mod disk_trouble;
mod life;
mod log_directory;
mod model;
mod recovery;
mod support;
mod truncation;
