//! Famous ways to lose records, one story each: real nodes, real cuts. `docs/faults.md` lists all of them,
//! those that are told elsewhere included.
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

mod faults {
    mod asymmetric_cuts;
    mod cut_off_controller;
    mod cut_off_leader;
    mod half_open;
    mod last_replica;
    mod late_answers;
    mod net;
    mod slow_line;
    mod stale_fetch;
    mod stale_watermark;
    mod stop_cut_short;
    mod taken_out_and_put_back;
}
