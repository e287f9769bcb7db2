//! `.txnindex` files, entry by entry.

use std::path::Path;

use drave_protocol::ids::{Offset, ProducerId};

use crate::error::LogError;
use crate::fs::FileSystem;
use crate::inspect::entries::{Entries, Rest, number};
use crate::producer_state::AbortedTransaction;

const ENTRY_BYTES: usize = 34;

/// One entry, and where in the index it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionEntry {
    pub position: u64,
    pub version: i16,
    pub aborted: AbortedTransaction,
}

#[derive(Debug)]
pub struct TransactionEntries {
    entries: Entries<ENTRY_BYTES>,
}

impl TransactionEntries {
    pub fn open(fs: &dyn FileSystem, path: &Path) -> Result<Self, LogError> {
        let entries = Entries::open(fs, path)?;
        Ok(Self { entries })
    }

    pub(super) fn path(&self) -> &Path {
        self.entries.path()
    }

    pub(super) fn end_position(&self) -> u64 {
        self.entries.position()
    }

    pub(super) fn rest(&mut self) -> Result<Rest, LogError> {
        self.entries.rest()
    }

    pub(super) fn entry(&mut self) -> Result<Option<TransactionEntry>, LogError> {
        let found = self.entries.next()?;
        Ok(found.map(|(position, bytes)| TransactionEntry {
            position,
            version: i16::from_be_bytes(number(&bytes, 0)),
            aborted: AbortedTransaction {
                producer_id: ProducerId(i64::from_be_bytes(number(&bytes, 2))),
                first_offset: Offset(i64::from_be_bytes(number(&bytes, 10))),
                last_offset: Offset(i64::from_be_bytes(number(&bytes, 18))),
                last_stable_offset: Offset(i64::from_be_bytes(number(&bytes, 26))),
            },
        }))
    }
}

impl Iterator for TransactionEntries {
    type Item = Result<TransactionEntry, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.entry().transpose()
    }
}
