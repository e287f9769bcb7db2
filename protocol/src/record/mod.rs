//! Record batches, magic 2: the bytes a producer sends, the log stores and a consumer gets.
//!
//! One layout on wire and disk, so nothing here copies or re-encodes records: [`batch`] reads and
//! patches headers in place, [`record`] walks the records of an uncompressed batch, [`builder`]
//! makes new batches. Magic 0 and 1 are refused, as in Kafka 4.

pub mod attributes;
pub mod batch;
pub mod builder;
#[allow(
    clippy::module_inception,
    reason = "a record is what the folder is named after"
)]
pub mod record;
pub mod varint;
