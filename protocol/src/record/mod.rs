//! Record batches, magic 2: the bytes a producer sends, the log stores and a consumer gets.
//!
//! One layout on wire and disk, so what is stored as it came is never re-encoded: [`batch`] reads
//! and patches headers in place, [`reader`] walks the records of any batch, [`rebuild`] makes a
//! batch of some or all records of another, [`builder`] makes new ones, [`compression`] packs and
//! unpacks. Magic 0 and 1 are refused, as in Kafka 4.

pub mod attributes;
pub mod batch;
pub mod builder;
pub mod checksum;
pub mod compression;
pub mod reader;
pub mod rebuild;
#[allow(
    clippy::module_inception,
    reason = "a record is what the folder is named after"
)]
pub mod record;
pub mod varint;
