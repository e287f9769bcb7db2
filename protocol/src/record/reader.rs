//! The records of one batch, compressed or not, one at a time.
//!
//! Records of an uncompressed batch are borrowed from it; those of a compressed one live in one
//! buffer until the next is asked for. Invariants: a record was walked to its last byte before
//! anyone sees it; exactly as many come as the header counts, and nothing is left over; memory is
//! that of the largest record unpacked so far, twice at most.

use crate::record::batch::{BatchError, BatchHeader, HEADER_BYTES};
use crate::record::compression::{UnpackError, UnpackedLimit, Unpacker};
use crate::record::record::{RecordError, RecordView};
use crate::record::varint;

/// Memory for a compressed batch of small records.
const BUFFER_BYTES: usize = 16 * 1024;
/// The longest length a record can have in front.
const LENGTH_BYTES_MAX: usize = 5;

/// Walks one batch. Not an `Iterator`: a record is gone when the next one is asked for.
#[derive(Debug)]
pub struct RecordReader<'a> {
    header: BatchHeader,
    source: Source<'a>,
    /// Records to come; `None` when all was said.
    remaining: Option<usize>,
}

#[derive(Debug)]
enum Source<'a> {
    Plain(&'a [u8]),
    Packed(Box<Buffered<'a>>),
}

impl<'a> RecordReader<'a> {
    /// Opens the batch at the front of `bytes`.
    pub fn open(bytes: &'a [u8], limit: UnpackedLimit) -> Result<Self, RecordError> {
        let header = BatchHeader::parse(bytes)?;
        let needed = header.total_size();
        let available = bytes.len();
        let records = bytes
            .get(HEADER_BYTES..needed)
            .ok_or(BatchError::Truncated { needed, available })?;
        let codec = header
            .compression()
            .ok_or(RecordError::UnknownCompression(header.attributes))?;
        let source = if header.is_compressed() {
            let unpacker = Unpacker::new(codec, records, limit)?;
            Source::Packed(Box::new(Buffered::new(unpacker, limit)))
        } else {
            Source::Plain(records)
        };
        let remaining = usize::try_from(header.records_count)
            .map_err(|_| RecordError::BadCount(header.records_count))?;
        Ok(Self {
            header,
            source,
            remaining: Some(remaining),
        })
    }

    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The next record; `None` after the last, and after an error.
    pub fn next_record(&mut self) -> Option<Result<RecordView<'_>, RecordError>> {
        let Some(remaining) = self.remaining?.checked_sub(1) else {
            self.remaining = None;
            return self.source.end().err().map(Err);
        };
        self.remaining = Some(remaining);
        let record = self.source.read();
        if record.is_err() {
            self.remaining = None;
        }
        Some(record)
    }
}

impl Source<'_> {
    fn read(&mut self) -> Result<RecordView<'_>, RecordError> {
        match self {
            Self::Plain(rest) => RecordView::read(rest),
            Self::Packed(buffered) => RecordView::read(&mut buffered.next_record()?),
        }
    }

    fn end(&mut self) -> Result<(), RecordError> {
        match self {
            Self::Plain([]) => Ok(()),
            Self::Plain(rest) => Err(RecordError::TrailingBytes(rest.len())),
            Self::Packed(buffered) => {
                buffered.fill(1)?;
                match buffered.ready().len() {
                    0 => Ok(()),
                    n => Err(RecordError::TrailingBytes(n)),
                }
            }
        }
    }
}

/// Unpacked bytes, of which `start..end` wait to be read.
#[derive(Debug)]
struct Buffered<'a> {
    unpacker: Unpacker<'a>,
    limit: UnpackedLimit,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl<'a> Buffered<'a> {
    fn new(unpacker: Unpacker<'a>, limit: UnpackedLimit) -> Self {
        Self {
            unpacker,
            limit,
            bytes: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    fn ready(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The bytes of the next record, its length included.
    fn next_record(&mut self) -> Result<&[u8], RecordError> {
        self.fill(LENGTH_BYTES_MAX)?;
        let mut front = self.ready();
        let n_before = front.len();
        let declared = varint::read_i32(&mut front)?;
        let n_length = n_before - front.len();
        let length = usize::try_from(declared).map_err(|_| RecordError::BadLength(declared))?;
        if length > self.limit.0 {
            return Err(UnpackError::TooLarge(self.limit.0).into());
        }
        let needed = n_length + length;
        self.fill(needed)?;
        let start = self.start;
        self.start += needed.min(self.end - start);
        self.bytes
            .get(start..start + needed)
            .filter(|_| self.start == start + needed)
            .ok_or(RecordError::BadLength(declared))
    }

    /// Unpacks until `wanted` bytes are ready, or all there are.
    fn fill(&mut self, wanted: usize) -> Result<(), UnpackError> {
        while self.end - self.start < wanted {
            self.make_room();
            let room = self.bytes.get_mut(self.end..).unwrap_or_default();
            match self.unpacker.read(room)? {
                0 => break,
                n => self.end += n,
            }
        }
        Ok(())
    }

    /// Grows only when full of what was unpacked and not yet read.
    fn make_room(&mut self) {
        if self.end < self.bytes.len() {
            return;
        }
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() {
            let larger = (self.bytes.len() * 2).max(BUFFER_BYTES);
            self.bytes.resize(larger, 0);
        }
    }
}

#[cfg(test)]
#[path = "reader_test.rs"]
mod tests;
