//! Bytes of one message, in the making.

use bytes::{BufMut, Bytes, BytesMut};

use crate::ids::Uuid;
use crate::limits;
use crate::pieces::Pieces;
use crate::wire::EncodeError;

#[derive(Debug, Default)]
pub struct Writer {
    bytes: BytesMut,
    /// Places in `bytes` where something is missing, ascending.
    left_out: Vec<usize>,
    n_left_out: usize,
    /// What belongs there, of a message in pieces.
    kept: Vec<Bytes>,
    is_in_pieces: bool,
}

/// Most messages need no more, or grow from there.
const BYTES_MOSTLY: usize = 256;
/// Copying fewer costs less than another piece.
const PIECE_BYTES_MIN: usize = 8 * 1024;

impl Writer {
    pub fn new() -> Self {
        Self::with_capacity(BYTES_MOSTLY)
    }

    /// Large fields are not copied: see [`Writer::into_pieces`].
    pub fn in_pieces() -> Self {
        Self {
            is_in_pieces: true,
            ..Self::new()
        }
    }

    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: BytesMut::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// Bytes of the message, with those that are left out.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.n_left_out
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// # Panics
    /// When something was left out.
    pub fn into_bytes(self) -> Bytes {
        self.into_bytes_mut().freeze()
    }

    /// # Panics
    /// As `into_bytes`.
    pub fn into_bytes_mut(self) -> BytesMut {
        assert!(
            self.left_out.is_empty(),
            "a message with {} bytes left out is not whole",
            self.n_left_out
        );
        self.bytes
    }

    /// The bytes, and the places in them where something was left out, ascending.
    pub fn into_parts(self) -> (BytesMut, Vec<usize>) {
        (self.bytes, self.left_out)
    }

    /// The message of a writer in pieces.
    pub(crate) fn into_pieces(mut self) -> Pieces {
        let mut pieces = Pieces::default();
        let mut start = 0;
        for (place, kept) in self.left_out.iter().zip(self.kept) {
            pieces.push(self.bytes.split_to(place - start).freeze());
            pieces.push(kept);
            start = *place;
        }
        pieces.push(self.bytes.freeze());
        pieces
    }

    /// Writes over the first bytes, once what they say is known.
    pub(crate) fn set_first<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some(place) = self.bytes.first_chunk_mut() {
            *place = bytes;
        }
    }

    pub fn bool(&mut self, value: bool) {
        self.bytes.put_u8(u8::from(value));
    }

    pub fn i8(&mut self, value: i8) {
        self.bytes.put_i8(value);
    }

    pub fn i16(&mut self, value: i16) {
        self.bytes.put_i16(value);
    }

    pub fn u16(&mut self, value: u16) {
        self.bytes.put_u16(value);
    }

    pub fn i32(&mut self, value: i32) {
        self.bytes.put_i32(value);
    }

    pub fn i64(&mut self, value: i64) {
        self.bytes.put_i64(value);
    }

    pub fn f64(&mut self, value: f64) {
        self.bytes.put_f64(value);
    }

    pub fn uuid(&mut self, value: Uuid) {
        self.bytes.put_slice(&value.0);
    }

    /// Bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.put_slice(bytes);
    }

    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            let [low, ..] = value.to_le_bytes();
            self.bytes.put_u8(low | 0x80);
            value >>= 7;
        }
        let [low, ..] = value.to_le_bytes();
        self.bytes.put_u8(low);
    }

    pub fn nullable_string(&mut self, text: Option<&str>) -> Result<(), EncodeError> {
        let Some(text) = text else {
            self.i16(-1);
            return Ok(());
        };
        let length = string_length(text)?;
        self.i16(i16::try_from(length).map_err(|_| EncodeError::TooLong { length })?);
        self.raw(text.as_bytes());
        Ok(())
    }

    pub fn nullable_compact_string(&mut self, text: Option<&str>) -> Result<(), EncodeError> {
        self.compact_length(text.map(string_length).transpose()?)?;
        self.raw(text.unwrap_or_default().as_bytes());
        Ok(())
    }

    /// `bytes` with their length before them, or none at all.
    pub(crate) fn field(
        &mut self,
        is_compact: bool,
        bytes: Option<&Bytes>,
    ) -> Result<(), EncodeError> {
        let length = bytes.map(Bytes::len);
        let Some(bytes) = bytes.filter(|it| self.is_in_pieces && it.len() >= PIECE_BYTES_MIN)
        else {
            self.array_length(is_compact, length)?;
            self.raw(bytes.map(AsRef::as_ref).unwrap_or_default());
            return Ok(());
        };
        self.leave_out(is_compact, bytes.len())?;
        self.kept.push(bytes.clone());
        Ok(())
    }

    /// The length of `n` bytes that whoever sends the message puts in here.
    pub(crate) fn leave_out(&mut self, is_compact: bool, n: usize) -> Result<(), EncodeError> {
        self.array_length(is_compact, Some(n))?;
        self.left_out.push(self.bytes.len());
        self.n_left_out += n;
        Ok(())
    }

    pub fn no_tagged_fields(&mut self) {
        self.unsigned_varint(0);
    }

    pub(crate) fn array_length(
        &mut self,
        is_compact: bool,
        length: Option<usize>,
    ) -> Result<(), EncodeError> {
        if is_compact {
            self.compact_length(length)
        } else {
            self.fixed_length(length)
        }
    }

    pub(crate) fn tagged_fields(&mut self, fields: &TaggedFields) {
        self.unsigned_varint(fields.n_fields);
        self.raw(&fields.body.bytes);
    }

    fn fixed_length(&mut self, length: Option<usize>) -> Result<(), EncodeError> {
        let length = match length {
            None => -1,
            Some(length) => i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?,
        };
        self.i32(length);
        Ok(())
    }

    fn compact_length(&mut self, length: Option<usize>) -> Result<(), EncodeError> {
        let stored = match length {
            None => 0,
            Some(length) => {
                // Readers hold lengths as i32: the same ceiling in both encodings.
                let fixed = i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?;
                fixed.unsigned_abs() + 1
            }
        };
        self.unsigned_varint(stored);
        Ok(())
    }
}

/// The tagged fields of one structure that differ from their defaults, in ascending order of tag.
#[derive(Debug, Default)]
pub(crate) struct TaggedFields {
    n_fields: u32,
    body: Writer,
}

impl TaggedFields {
    pub(crate) fn add(
        &mut self,
        tag: u32,
        write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut field = Writer::new();
        write(&mut field)?;
        let length = field.len();
        let size = u32::try_from(length).map_err(|_| EncodeError::TooLong { length })?;
        self.n_fields += 1;
        self.body.unsigned_varint(tag);
        self.body.unsigned_varint(size);
        self.body.raw(&field.into_bytes());
        Ok(())
    }
}

fn string_length(text: &str) -> Result<usize, EncodeError> {
    let (length, max) = (text.len(), limits::STRING_BYTES_MAX);
    if length > max {
        Err(EncodeError::StringTooLong { length, max })
    } else {
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_too_long_for_a_reader_is_refused_in_both_encodings() {
        let text = "x".repeat(0x8000);
        let refused = Err(EncodeError::StringTooLong {
            length: 0x8000,
            max: 0x7fff,
        });
        assert_eq!(Writer::new().nullable_string(Some(&text)), refused);
        assert_eq!(Writer::new().nullable_compact_string(Some(&text)), refused);
        assert_eq!(Writer::new().nullable_string(text.get(1..)), Ok(()));
    }

    #[test]
    fn tagged_fields_are_counted_and_measured() {
        let mut fields = TaggedFields::default();
        let mut writer = Writer::new();
        writer.tagged_fields(&fields);
        fields
            .add(3, |writer| writer.nullable_compact_string(Some("ab")))
            .unwrap();
        fields.add(200, |_| Ok(())).unwrap();
        writer.tagged_fields(&fields);
        let expected = [0, 2, 3, 3, 3, b'a', b'b', 0xc8, 0x01, 0];
        assert_eq!(writer.into_bytes().as_ref(), expected);
    }
}
