//! What a node tells about itself: logs as data, metrics declared once.
//!
//! - [`fields`] the vocabulary of log fields
//! - [`log`] where log lines go; the only process-wide thing, and only `cli` sets it
//! - [`metrics`] the table of metrics, one set per node; [`instrument`] counters, gauges, histograms
//! - [`process`] what the operating system says of this process

pub mod fields;
pub mod instrument;
pub mod log;
pub mod metrics;
pub mod process;

pub use self::metrics::Metrics;
