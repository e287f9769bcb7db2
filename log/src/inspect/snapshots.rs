//! `.snapshot` files: what is known of producers below an offset, entry by entry.

use std::path::Path;

use drave_protocol::ids::{Offset, ProducerId};

use crate::error::LogError;
use crate::fs::FileSystem;
use crate::inspect::entries::number;
use crate::inspect::text;
use crate::producer_state::{ProducerStates, SnapshotError, WINDOW};

const HEADER_BYTES: usize = 10;
const ENTRY_BYTES: usize = 46;

/// One entry as it lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotEntry {
    pub producer_id: ProducerId,
    pub producer_epoch: i16,
    pub last_sequence: i32,
    pub last_offset: Offset,
    pub offset_delta: i32,
    pub timestamp_ms: i64,
    pub coordinator_epoch: i32,
    pub transaction_start: Option<Offset>,
}

/// A file read: its entries, and what they mean if they mean anything.
#[derive(Debug)]
pub struct Snapshot {
    pub entries: Vec<SnapshotEntry>,
    pub states: Result<ProducerStates, SnapshotError>,
}

impl Snapshot {
    pub fn read(fs: &dyn FileSystem, path: &Path) -> Result<Self, LogError> {
        let bytes = text::small_file(fs, path)?;
        let after_header = bytes.get(HEADER_BYTES..).unwrap_or_default();
        let entries = after_header.chunks_exact(ENTRY_BYTES).map(entry).collect();
        let states = ProducerStates::from_snapshot(&bytes, WINDOW);
        Ok(Self { entries, states })
    }
}

fn entry(bytes: &[u8]) -> SnapshotEntry {
    let transaction_start = i64::from_be_bytes(number(bytes, 38));
    SnapshotEntry {
        producer_id: ProducerId(i64::from_be_bytes(number(bytes, 0))),
        producer_epoch: i16::from_be_bytes(number(bytes, 8)),
        last_sequence: i32::from_be_bytes(number(bytes, 10)),
        last_offset: Offset(i64::from_be_bytes(number(bytes, 14))),
        offset_delta: i32::from_be_bytes(number(bytes, 22)),
        timestamp_ms: i64::from_be_bytes(number(bytes, 26)),
        coordinator_epoch: i32::from_be_bytes(number(bytes, 34)),
        transaction_start: (transaction_start >= 0).then_some(Offset(transaction_start)),
    }
}
