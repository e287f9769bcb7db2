//! The log beside the limit of the machine it runs on: what the same bytes cost without a log.
//!
//! `make bench-log`, or `make bench-log QUICK=1`; `make bench-log ONLY=append` runs one part. Figures come and
//! go with a machine's other load, so each limit is measured in turns with what it limits, and the ratio is what
//! counts: [`contest`] says how. That is also why this is no bench of criterion or divan, which measure one thing
//! after the other.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    missing_debug_implementations,
    reason = "a bench reads the clock, goes to files past the door to see what it costs, prints, and stops at \
              the first surprise"
)]

mod append;
mod blocks;
mod compaction;
mod contest;
mod opening;
mod place;
mod read;
mod sample;
mod synced;

use std::env;

type Part = fn(Extent);

/// How much of each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Quick,
    Whole,
}

impl Extent {
    pub(crate) fn pick<T>(self, quick: T, whole: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Whole => whole,
        }
    }
}

fn main() {
    if opening::is_writer() {
        return opening::write_until_killed();
    }
    // Cargo adds a flag of its own.
    let only: Vec<String> = env::args()
        .skip(1)
        .filter(|it| !it.starts_with('-'))
        .collect();
    let extent = match env::var("QUICK").as_deref() {
        Ok("" | "0") | Err(_) => Extent::Whole,
        Ok(_) => Extent::Quick,
    };
    let parts: [(&str, Part); 6] = [
        ("append", append::run),
        ("synced", synced::run),
        ("read", read::run),
        ("blocks", blocks::run),
        ("compaction", compaction::run),
        ("opening", opening::run),
    ];
    for (name, run) in parts {
        if only.is_empty() || only.iter().any(|it| it == name) {
            println!("\n{name}");
            run(extent);
        }
    }
}
