//! Kafka's `<offset>.snapshot`, version 1: what is known of all producers below an offset.
//!
//! ```text
//!  0 version i16 | 2 crc u32 of all that follows | 6 count i32 | 10 entries of 46 bytes
//!  0 producer id i64 | 8 epoch i16 | 10 last sequence i32 | 14 last offset i64 | 22 offset delta i32
//! 26 timestamp i64 | 34 coordinator epoch i32 | 38 first offset of the open transaction i64, or -1
//! ```
//! Kafka writes the last batch of each id, and so forgets four of five when it starts again. Here an
//! id has an entry for each remembered batch, oldest first. Kafka's reader takes the last entry of
//! an id, and thereby what it would have written itself; and its files read here as what they say.

use bytes::{Buf, BufMut};
use drave_protocol::ids::{Offset, ProducerId};
use drave_protocol::record::batch::crc32c;
use thiserror::Error;

use crate::producer_state::ProducerStates;
use crate::producer_state::producer::{Producer, Remembered};
use crate::producer_state::sequence::Sequence;

const VERSION: i16 = 1;
const HEADER_BYTES: usize = 10;
const CHECKED_FROM: usize = 6;
const ENTRY_BYTES: usize = 46;
const NO_OFFSET: i64 = -1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    #[error("{0} bytes are no producer snapshot")]
    Short(usize),
    #[error("version {0} is not known, only 1 is")]
    Version(i16),
    #[error("the checksum is wrong")]
    Checksum,
    #[error("{count} entries do not take {n_bytes} bytes")]
    Count { count: i32, n_bytes: usize },
}

impl ProducerStates {
    pub fn to_snapshot(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.by_id.len() * ENTRY_BYTES);
        bytes.put_slice(&[0; HEADER_BYTES]);
        for (id, producer) in &self.by_id {
            put_producer(&mut bytes, *id, producer);
        }
        let n_entries = (bytes.len() - HEADER_BYTES) / ENTRY_BYTES;
        // The number of ids is bounded, far below this.
        let count = i32::try_from(n_entries).unwrap_or(i32::MAX);
        let mut counted = bytes.split_off(CHECKED_FROM);
        if let Some(place) = counted.first_chunk_mut() {
            *place = count.to_be_bytes();
        }
        bytes.clear();
        bytes.put_i16(VERSION);
        bytes.put_u32(crc32c(&counted));
        bytes.put_slice(&counted);
        bytes
    }

    /// What a snapshot says, remembering the last `window` batches of each producer.
    pub fn from_snapshot(mut bytes: &[u8], window: usize) -> Result<Self, SnapshotError> {
        if bytes.len() < HEADER_BYTES {
            return Err(SnapshotError::Short(bytes.len()));
        }
        let version = bytes.get_i16();
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        if bytes.get_u32() != crc32c(bytes) {
            return Err(SnapshotError::Checksum);
        }
        let count = bytes.get_i32();
        let n_bytes = bytes.len();
        if usize::try_from(count).ok().map(|it| it * ENTRY_BYTES) != Some(n_bytes) {
            return Err(SnapshotError::Count { count, n_bytes });
        }
        let mut states = Self::remembering(window);
        while bytes.has_remaining() {
            states.take_entry(&mut bytes);
        }
        Ok(states)
    }

    fn take_entry(&mut self, bytes: &mut &[u8]) {
        let id = ProducerId(bytes.get_i64());
        let epoch = bytes.get_i16();
        let last_sequence = Sequence(bytes.get_i32());
        let last_offset = Offset(bytes.get_i64());
        let offset_delta = bytes.get_i32();
        let timestamp = bytes.get_i64();
        let coordinator_epoch = bytes.get_i32();
        let transaction_start = Some(bytes.get_i64()).filter(|it| *it >= 0).map(Offset);

        let producer = self.by_id.entry(id);
        let producer = producer.or_insert_with(|| Producer::new(epoch));
        producer.enter_epoch(epoch);
        let known = producer.batches.last().map(|it| it.last_offset);
        if last_offset.0 >= 0 && known != Some(last_offset) {
            let batch = Remembered {
                last_sequence,
                offset_delta,
                last_offset,
                timestamp,
            };
            producer.remember(batch, self.window);
        }
        producer.last_timestamp = timestamp;
        // Nobody remembers when it was heard; its own time is the best guess.
        producer.active_ms = timestamp;
        producer.coordinator_epoch = coordinator_epoch;
        producer.transaction_start = transaction_start;
        if let Some(first_offset) = transaction_start {
            self.transactions.begin(id, first_offset);
        }
    }
}

fn put_producer(bytes: &mut Vec<u8>, id: ProducerId, producer: &Producer) {
    let nothing = Remembered {
        last_sequence: Sequence::NONE,
        offset_delta: 0,
        last_offset: Offset(NO_OFFSET),
        timestamp: producer.last_timestamp,
    };
    let last = producer.batches.last().copied().unwrap_or(nothing);
    for batch in &producer.batches {
        put_entry(bytes, id, producer, batch);
    }
    // The end of a transaction is younger than the last batch: one more entry says so.
    if producer.batches.is_empty() || last.timestamp != producer.last_timestamp {
        let timestamp = producer.last_timestamp;
        put_entry(bytes, id, producer, &Remembered { timestamp, ..last });
    }
}

fn put_entry(bytes: &mut Vec<u8>, id: ProducerId, producer: &Producer, batch: &Remembered) {
    bytes.put_i64(id.0);
    bytes.put_i16(producer.epoch);
    bytes.put_i32(batch.last_sequence.0);
    bytes.put_i64(batch.last_offset.0);
    bytes.put_i32(batch.offset_delta);
    bytes.put_i64(batch.timestamp);
    bytes.put_i32(producer.coordinator_epoch);
    let transaction_start = producer.transaction_start;
    bytes.put_i64(transaction_start.map_or(NO_OFFSET, |it| it.0));
}

#[cfg(test)]
#[path = "snapshot_test.rs"]
mod tests;
