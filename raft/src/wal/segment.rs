//! The bytes of one write-ahead segment. Little-endian.
//!
//! ```text
//! header  48  magic 8 | format u32 | 0 u32 | number u64 | salt u64 | first_sequence u64 | crc u32 | 0 u32
//! frame   24  magic u32 | length u32 | sequence u64 | crc u32 | 0 u32, then `length` bytes of
//!             operations, then zeros to a multiple of 8
//! zeros to the end of the file
//! ```
//!
//! Invariants: one frame is one write followed by one sync, so a frame that is whole proves every
//! earlier one was durable; sequences rise by one, through segments too; the salt, drawn for each
//! segment, is part of every checksum, so no payload can pass for a frame.
#![allow(
    clippy::indexing_slicing,
    reason = "bounds are checked before each slice; tested with every torn tail"
)]

use crate::backend::EncodedEntry;
use crate::codec::{self, CodecError, checksum, take, take_u8, take_u32, take_u64};
use crate::stored::{LogIdV1, VoteV1};

const MAGIC: &[u8; 8] = b"dravewal";
const FORMAT: u32 = 1;
const FRAME_MAGIC: u32 = 0x4d52_4644;
pub(crate) const HEADER_BYTES: usize = 48;
pub(crate) const FRAME_HEAD_BYTES: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) number: u64,
    pub(crate) salt: u64,
    /// Sequence of the first frame.
    pub(crate) first_sequence: u64,
}

impl Header {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&0_u32.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        let crc = checksum(0, &[&out]);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&0_u32.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.get(..HEADER_BYTES)?;
        let covered = &rest[..40];
        let magic = take(&mut rest, 8).ok()?;
        let format = take_u32(&mut rest).ok()?;
        take_u32(&mut rest).ok()?;
        let header = Self {
            number: take_u64(&mut rest).ok()?,
            salt: take_u64(&mut rest).ok()?,
            first_sequence: take_u64(&mut rest).ok()?,
        };
        let crc = take_u32(&mut rest).ok()?;
        let whole = magic == MAGIC && format == FORMAT && crc == checksum(0, &[covered]);
        whole.then_some(header)
    }
}

/// What stands at a position where a frame may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FrameAt {
    Frame {
        sequence: u64,
        /// Byte range of the operations.
        start: usize,
        end: usize,
        next: usize,
    },
    /// Zeros from here on: nothing was ever written.
    End,
    /// Something, but no whole frame.
    Broken,
}

pub(crate) fn encode_frame(salt: u64, sequence: u64, operations: &[u8]) -> Vec<u8> {
    let length = u32::try_from(operations.len()).expect("the writer caps a frame far below 4 GiB");
    let crc = frame_checksum(salt, sequence, operations);
    let mut out = Vec::with_capacity(frame_bytes(operations.len()));
    out.extend_from_slice(&FRAME_MAGIC.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&0_u32.to_le_bytes());
    out.extend_from_slice(operations);
    out.resize(frame_bytes(operations.len()), 0);
    out
}

pub(crate) fn frame_bytes(operations: usize) -> usize {
    (FRAME_HEAD_BYTES + operations).next_multiple_of(8)
}

fn frame_checksum(salt: u64, sequence: u64, operations: &[u8]) -> u32 {
    checksum(salt, &[&sequence.to_le_bytes(), operations])
}

pub(crate) fn frame_at(bytes: &[u8], position: usize, salt: u64) -> FrameAt {
    let rest = bytes.get(position..).unwrap_or_default();
    match whole_frame(rest, salt) {
        Some((sequence, length)) => FrameAt::Frame {
            sequence,
            start: position + FRAME_HEAD_BYTES,
            end: position + FRAME_HEAD_BYTES + length,
            next: position + frame_bytes(length),
        },
        None if rest.iter().all(|byte| *byte == 0) => FrameAt::End,
        None => FrameAt::Broken,
    }
}

/// Whether any whole frame begins after `position`: then what is broken there was once durable.
pub(crate) fn frame_after(bytes: &[u8], position: usize, salt: u64) -> Option<usize> {
    (position + 8..bytes.len())
        .step_by(8)
        .find(|it| whole_frame(&bytes[*it..], salt).is_some())
}

fn whole_frame(bytes: &[u8], salt: u64) -> Option<(u64, usize)> {
    let mut rest = bytes;
    if take_u32(&mut rest).ok()? != FRAME_MAGIC {
        return None;
    }
    let length = usize::try_from(take_u32(&mut rest).ok()?).ok()?;
    let sequence = take_u64(&mut rest).ok()?;
    let crc = take_u32(&mut rest).ok()?;
    let zero = take_u32(&mut rest).ok()?;
    let operations = take(&mut rest, length).ok()?;
    let whole = zero == 0 && crc == frame_checksum(salt, sequence, operations);
    whole.then_some((sequence, length))
}

/// One thing that happened to the log. Tags are persisted; never renumber.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Entry {
        entry: EncodedEntry,
        /// Of its bytes, within the operations decoded.
        offset: usize,
        checksum: u32,
    },
    Vote(VoteV1),
    Truncate(Option<u64>),
    Purge(LogIdV1),
    Committed(LogIdV1),
}

const ENTRY: u8 = 1;
const VOTE: u8 = 2;
const TRUNCATE: u8 = 3;
const PURGE: u8 = 4;
const COMMITTED: u8 = 5;

/// Appends an entry; says where in `out` its bytes begin, and their checksum.
pub(crate) fn put_entry(out: &mut Vec<u8>, entry: &EncodedEntry) -> (usize, u32) {
    let length = u32::try_from(entry.bytes.len()).expect("a proposal is capped far below 4 GiB");
    let crc = codec::checksum(0, &[&entry.bytes]);
    out.push(ENTRY);
    out.extend_from_slice(&entry.id.index.to_le_bytes());
    out.extend_from_slice(&entry.id.term.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc.to_le_bytes());
    let offset = out.len();
    out.extend_from_slice(&entry.bytes);
    (offset, crc)
}

pub(crate) fn put_vote(out: &mut Vec<u8>, vote: VoteV1) {
    out.push(VOTE);
    out.extend_from_slice(&vote.term.to_le_bytes());
    out.extend_from_slice(&vote.voted_for.to_le_bytes());
    out.push(u8::from(vote.committed));
}

pub(crate) fn put_truncate(out: &mut Vec<u8>, after: Option<u64>) {
    out.push(TRUNCATE);
    out.push(u8::from(after.is_some()));
    out.extend_from_slice(&after.unwrap_or_default().to_le_bytes());
}

pub(crate) fn put_purge(out: &mut Vec<u8>, upto: LogIdV1) {
    out.push(PURGE);
    put_log_id(out, upto);
}

pub(crate) fn put_committed(out: &mut Vec<u8>, committed: LogIdV1) {
    out.push(COMMITTED);
    put_log_id(out, committed);
}

fn put_log_id(out: &mut Vec<u8>, id: LogIdV1) {
    out.extend_from_slice(&id.term.to_le_bytes());
    out.extend_from_slice(&id.index.to_le_bytes());
}

fn take_log_id(rest: &mut &[u8]) -> Result<LogIdV1, CodecError> {
    Ok(LogIdV1 {
        term: take_u64(rest)?,
        index: take_u64(rest)?,
    })
}

pub(crate) fn decode_operations(bytes: &[u8]) -> Result<Vec<Operation>, CodecError> {
    let mut rest = bytes;
    let mut operations = Vec::new();
    while !rest.is_empty() {
        operations.push(match take_u8(&mut rest)? {
            ENTRY => {
                let index = take_u64(&mut rest)?;
                let term = take_u64(&mut rest)?;
                let length = usize::try_from(take_u32(&mut rest)?).unwrap_or(usize::MAX);
                let checksum = take_u32(&mut rest)?;
                let offset = bytes.len() - rest.len();
                let body = take(&mut rest, length)?;
                let entry = EncodedEntry {
                    id: LogIdV1 { term, index },
                    bytes: body.to_vec().into(),
                };
                Operation::Entry {
                    entry,
                    offset,
                    checksum,
                }
            }
            VOTE => Operation::Vote(VoteV1 {
                term: take_u64(&mut rest)?,
                voted_for: take_u64(&mut rest)?,
                committed: take_u8(&mut rest)? != 0,
            }),
            TRUNCATE => {
                let some = take_u8(&mut rest)? != 0;
                let after = take_u64(&mut rest)?;
                Operation::Truncate(some.then_some(after))
            }
            PURGE => Operation::Purge(take_log_id(&mut rest)?),
            COMMITTED => Operation::Committed(take_log_id(&mut rest)?),
            other => return Err(CodecError::Body(format!("unknown log operation {other}"))),
        });
    }
    Ok(operations)
}
