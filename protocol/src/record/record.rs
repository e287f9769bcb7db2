//! One record inside an uncompressed batch: a borrowed view, and an owned one to build from.
//!
//! ```text
//! length varint | attributes i8 | timestamp delta varlong | offset delta varint
//! key length varint (-1: none) | key | value length varint (-1: none) | value
//! header count varint | { key length varint | key | value length varint (-1: none) | value }*
//! ```
//! Invariants: a [`RecordView`] was walked to its last byte, headers included, before anyone sees
//! it; a walk yields exactly as many records as the header counts, and no bytes are left over.

use bytes::{BufMut, Bytes};
use thiserror::Error;

use crate::ids::Offset;
use crate::record::attributes::TimestampType;
use crate::record::batch::{BatchError, BatchHeader, HEADER_BYTES};
use crate::record::compression::UnpackError;
use crate::record::varint::{self, VarintError};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("the records are compressed")]
    Compressed,
    #[error("attributes {0:#x} name no known compression")]
    UnknownCompression(i16),
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    #[error(transparent)]
    Varint(#[from] VarintError),
    #[error("a record says {0} bytes, which cannot be")]
    BadLength(i32),
    #[error("a record says {0} headers, which cannot be")]
    BadHeaderCount(i32),
    #[error("{0} bytes of a record belong to no field")]
    Overlong(usize),
    #[error("{0} bytes follow the last record")]
    TrailingBytes(usize),
    #[error("the batch says {0} records, which cannot be")]
    BadCount(i32),
}

/// A record to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub timestamp_ms: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Option<Bytes>)>,
}

impl Record {
    pub(crate) fn encode(&self, out: &mut impl BufMut, offset_delta: i32, timestamp_delta: i64) {
        let mut body = Vec::new();
        body.put_i8(0);
        varint::write_i64(&mut body, timestamp_delta);
        varint::write_i32(&mut body, offset_delta);
        put_nullable(&mut body, self.key.as_deref());
        put_nullable(&mut body, self.value.as_deref());
        varint::write_i32(&mut body, length(self.headers.len()));
        for (key, value) in &self.headers {
            put_nullable(&mut body, Some(key.as_bytes()));
            put_nullable(&mut body, value.as_deref());
        }
        varint::write_i32(out, length(body.len()));
        out.put_slice(&body);
    }
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::write_i32(out, -1),
        Some(bytes) => {
            varint::write_i32(out, length(bytes.len()));
            out.put_slice(bytes);
        }
    }
}

fn length(n: usize) -> i32 {
    i32::try_from(n).expect("a batch is smaller than 2 GiB")
}

/// A record where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    pub attributes: i8,
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers_count: usize,
    headers: &'a [u8],
    after_timestamp: &'a [u8],
    encoded: &'a [u8],
}

impl<'a> RecordView<'a> {
    pub fn offset(&self, batch: &BatchHeader) -> Offset {
        Offset(
            batch
                .base_offset
                .0
                .saturating_add(i64::from(self.offset_delta)),
        )
    }

    /// The record's time: its own, or the batch's when the broker stamped it.
    pub fn timestamp_ms(&self, batch: &BatchHeader) -> i64 {
        match batch.timestamp_type() {
            TimestampType::CreateTime => batch.base_timestamp.wrapping_add(self.timestamp_delta),
            TimestampType::LogAppendTime => batch.max_timestamp,
        }
    }

    /// The whole record, its length included.
    pub fn encoded(&self) -> &'a [u8] {
        self.encoded
    }

    /// Writes the record as one `timestamp_delta` from another base; the rest stays.
    pub(crate) fn encode_at(&self, timestamp_delta: i64, out: &mut impl BufMut) {
        let mut head = Vec::with_capacity(16);
        head.put_i8(self.attributes);
        varint::write_i64(&mut head, timestamp_delta);
        varint::write_i32(out, length(head.len() + self.after_timestamp.len()));
        out.put_slice(&head);
        out.put_slice(self.after_timestamp);
    }

    /// Header keys and values, in order; keys are UTF-8 by convention only.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut rest = self.headers;
        (0..self.headers_count).map_while(move |_| read_header(&mut rest).ok())
    }

    /// Reads one record from the front of `bytes`.
    pub fn read(bytes: &mut &'a [u8]) -> Result<Self, RecordError> {
        let whole = *bytes;
        let declared = varint::read_i32(bytes)?;
        let mut body = take(bytes, declared)?;
        let encoded = whole.get(..whole.len() - bytes.len()).unwrap_or(whole);
        let (&attributes, rest) = body.split_first().ok_or(RecordError::BadLength(declared))?;
        body = rest;
        let timestamp_delta = varint::read_i64(&mut body)?;
        let after_timestamp = body;
        let offset_delta = varint::read_i32(&mut body)?;
        let key = take_nullable(&mut body)?;
        let value = take_nullable(&mut body)?;
        let declared_headers = varint::read_i32(&mut body)?;
        let headers_count = usize::try_from(declared_headers)
            .map_err(|_| RecordError::BadHeaderCount(declared_headers))?;
        let headers = body;
        for _ in 0..headers_count {
            read_header(&mut body)?;
        }
        if !body.is_empty() {
            return Err(RecordError::Overlong(body.len()));
        }
        let attributes = attributes.cast_signed();
        Ok(Self {
            attributes,
            timestamp_delta,
            offset_delta,
            key,
            value,
            headers_count,
            headers,
            after_timestamp,
            encoded,
        })
    }
}

fn read_header<'a>(bytes: &mut &'a [u8]) -> Result<(&'a [u8], Option<&'a [u8]>), RecordError> {
    let key_length = varint::read_i32(bytes)?;
    let key = take(bytes, key_length)?;
    Ok((key, take_nullable(bytes)?))
}

fn take_nullable<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordError> {
    match varint::read_i32(bytes)? {
        -1 => Ok(None),
        length => take(bytes, length).map(Some),
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: i32) -> Result<&'a [u8], RecordError> {
    let (taken, rest) = usize::try_from(length)
        .ok()
        .and_then(|length| bytes.split_at_checked(length))
        .ok_or(RecordError::BadLength(length))?;
    *bytes = rest;
    Ok(taken)
}

/// Walks the records of one whole, uncompressed batch.
pub fn iter(batch: &[u8]) -> Result<Records<'_>, RecordError> {
    let header = BatchHeader::parse(batch)?;
    if header.is_compressed() {
        return Err(RecordError::Compressed);
    }
    let needed = header.total_size();
    let truncated = BatchError::Truncated {
        needed,
        available: batch.len(),
    };
    let rest = batch.get(HEADER_BYTES..needed).ok_or(truncated)?;
    let remaining = usize::try_from(header.records_count)
        .map_err(|_| RecordError::BadCount(header.records_count))?;
    Ok(Records { rest, remaining })
}

#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    remaining: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = if self.remaining > 0 {
            self.remaining -= 1;
            RecordView::read(&mut self.rest)
        } else if self.rest.is_empty() {
            return None;
        } else {
            Err(RecordError::TrailingBytes(self.rest.len()))
        };
        if found.is_err() {
            self.remaining = 0;
            self.rest = &[];
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::builder::BatchBuilder;

    fn two() -> Vec<u8> {
        let headers = vec![
            ("trace".to_owned(), Some("7".into())),
            ("empty".to_owned(), None),
        ];
        let first = Record {
            timestamp_ms: 50,
            key: Some("k".into()),
            value: None,
            headers,
        };
        BatchBuilder::new()
            .record(first)
            .value(60, "v")
            .build()
            .to_vec()
    }

    #[test]
    fn records_come_back_as_they_were_built() {
        let bytes = two();
        let header = BatchHeader::parse(&bytes).unwrap();
        let records: Vec<_> = iter(&bytes).unwrap().map(Result::unwrap).collect();
        assert_eq!(records.len(), 2);
        assert_eq!(
            (records[0].key, records[0].value),
            (Some(b"k".as_slice()), None)
        );
        assert_eq!(
            (records[1].key, records[1].value),
            (None, Some(b"v".as_slice()))
        );
        assert_eq!(
            (
                records[0].timestamp_ms(&header),
                records[1].timestamp_ms(&header)
            ),
            (50, 60)
        );
        assert_eq!((records[0].offset_delta, records[1].offset_delta), (0, 1));
        let headers: Vec<_> = records[0].headers().collect();
        assert_eq!(headers[0], (b"trace".as_slice(), Some(b"7".as_slice())));
        assert_eq!(headers[1], (b"empty".as_slice(), None));
    }

    #[test]
    fn a_count_that_disagrees_with_the_bytes_is_refused() {
        let mut more = two();
        more[60] = 3;
        assert!(iter(&more).unwrap().any(|record| record.is_err()));
        let mut fewer = two();
        fewer[60] = 1;
        let last = iter(&fewer).unwrap().last().unwrap();
        assert!(matches!(last, Err(RecordError::TrailingBytes(_))));
    }

    #[test]
    fn a_compressed_batch_is_not_walked() {
        let mut bytes = two();
        bytes[22] |= 4;
        assert_eq!(iter(&bytes).err(), Some(RecordError::Compressed));
    }

    proptest! {
        #[test]
        fn any_record_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(record) = RecordView::read(&mut bytes.as_slice()) {
                prop_assert_eq!(record.headers().count(), record.headers_count);
            }
        }
    }
}
