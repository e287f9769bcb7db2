//! Other people's clients and tools as judges: what each of them can do with a cluster of ours.
//!
//! Each client has a program in its own language that carries out the scenarios of one table against three
//! real processes, and says how each went. What was written is then read back here, by nobody's client.
//! `make compat` writes what came out into `docs/conformance.md`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    clippy::doc_markdown,
    clippy::too_many_lines,
    reason = "a test stops at what it did not expect, and is no part of a node"
)]

mod support;

mod compat {
    mod clients;
    mod grid;
    mod judge;
    mod kcat;
    mod program;
    mod runtimes;
    mod rust;
    mod scenarios;
    mod tools;
}
