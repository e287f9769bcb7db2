//! A cursor over the bytes of one message.
//!
//! Invariants: nothing is read past the end; byte strings are slices of the frame, not copies; the
//! memory taken by array elements never exceeds the budget, whatever lengths the bytes claim.

use bytes::{Buf, Bytes};

use crate::ids::Uuid;
use crate::limits;
use crate::wire::DecodeError;

#[derive(Debug)]
pub struct Reader {
    bytes: Bytes,
    /// Memory that elements of arrays may still take.
    budget_bytes: usize,
}

impl Reader {
    pub fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            budget_bytes: limits::DECODED_BYTES_MAX,
        }
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// What was not read: records of a later layer, or a client's trailing bytes.
    pub fn into_rest(self) -> Bytes {
        self.bytes
    }

    #[cfg(test)]
    pub(crate) fn budget_bytes(&self) -> usize {
        self.budget_bytes
    }

    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        Ok(self.bytes.try_get_i8()?)
    }

    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(self.bytes.try_get_i16()?)
    }

    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(self.bytes.try_get_u16()?)
    }

    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(self.bytes.try_get_i32()?)
    }

    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(self.bytes.try_get_i64()?)
    }

    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        Ok(self.bytes.try_get_f64()?)
    }

    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        let mut id = [0; 16];
        self.bytes.try_copy_to_slice(&mut id)?;
        Ok(Uuid(id))
    }

    /// An unsigned varint of at most 32 bits: five bytes.
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.bytes.try_get_u8()?;
            let bits = u32::from(byte & 0x7f);
            // The fifth byte holds the top four bits; Kafka drops the rest silently, we refuse.
            if shift == 28 && byte > 0x0f {
                return Err(DecodeError::VarintTooLong);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::VarintTooLong)
    }

    /// The next `n` bytes, sharing the frame's memory.
    pub fn take(&mut self, n: usize) -> Result<Bytes, DecodeError> {
        let remaining = self.remaining();
        if n > remaining {
            return Err(DecodeError::Truncated {
                needed: n,
                remaining,
            });
        }
        Ok(self.bytes.split_to(n))
    }

    /// A string behind an `i16` length; -1 is null. Request headers use it in every version.
    pub fn nullable_string(&mut self) -> Result<Option<String>, DecodeError> {
        let length = i64::from(self.i16()?);
        self.string_body(nullable_length(length)?)
    }

    pub fn nullable_compact_string(&mut self) -> Result<Option<String>, DecodeError> {
        let length = self.compact_length()?;
        self.string_body(length)
    }

    pub fn nullable_bytes(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let length = i64::from(self.i32()?);
        nullable_length(length)?
            .map(|length| self.take(length))
            .transpose()
    }

    pub fn nullable_compact_bytes(&mut self) -> Result<Option<Bytes>, DecodeError> {
        self.compact_length()?
            .map(|length| self.take(length))
            .transpose()
    }

    /// Skips a section of tagged fields none of which we know.
    pub fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        self.tagged_fields(|_, _| Ok(()))
    }

    /// Hands each tagged field to `read`, with a reader over its bytes alone; what `read` leaves is skipped.
    pub(crate) fn tagged_fields(
        &mut self,
        mut read: impl FnMut(u32, &mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        for _ in 0..self.unsigned_varint()? {
            let tag = self.unsigned_varint()?;
            let size = length_of(self.unsigned_varint()?);
            let mut field = Self {
                bytes: self.take(size)?,
                budget_bytes: self.budget_bytes,
            };
            read(tag, &mut field)?;
            self.budget_bytes = field.budget_bytes;
        }
        Ok(())
    }

    /// Length of an array of elements that take `wire_bytes_min` each here and `memory_bytes` decoded;
    /// refused when that cannot be true or would cost too much.
    pub(crate) fn nullable_array_length(
        &mut self,
        is_compact: bool,
        wire_bytes_min: usize,
        memory_bytes: usize,
    ) -> Result<Option<usize>, DecodeError> {
        let length = if is_compact {
            self.compact_length()?
        } else {
            let length = i64::from(self.i32()?);
            nullable_length(length)?
        };
        let Some(length) = length else {
            return Ok(None);
        };
        let remaining = self.remaining();
        if length.saturating_mul(wire_bytes_min.max(1)) > remaining {
            return Err(DecodeError::ArrayTooLong { length, remaining });
        }
        let needed = length.saturating_mul(memory_bytes);
        let left = self.budget_bytes;
        self.budget_bytes = left
            .checked_sub(needed)
            .ok_or(DecodeError::TooManyElements { needed, left })?;
        Ok(Some(length))
    }

    /// A compact length is stored plus one; zero is null.
    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok(self.unsigned_varint()?.checked_sub(1).map(length_of))
    }

    fn string_body(&mut self, length: Option<usize>) -> Result<Option<String>, DecodeError> {
        let Some(length) = length else {
            return Ok(None);
        };
        let max = limits::STRING_BYTES_MAX;
        if length > max {
            return Err(DecodeError::StringTooLong { length, max });
        }
        let body = self.take(length)?;
        let text = std::str::from_utf8(&body).map_err(|_| DecodeError::InvalidUtf8)?;
        Ok(Some(text.to_owned()))
    }
}

/// A fixed-width length; -1 is null, anything lower is nonsense.
fn nullable_length(length: i64) -> Result<Option<usize>, DecodeError> {
    if length == -1 {
        return Ok(None);
    }
    usize::try_from(length)
        .map(Some)
        .map_err(|_| DecodeError::NegativeLength { length })
}

fn length_of(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Writer;

    fn reader(bytes: &[u8]) -> Reader {
        Reader::new(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn varint_comes_back_at_every_length() {
        let edges = [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            2_097_151,
            2_097_152,
            268_435_455,
        ];
        for value in edges.into_iter().chain([268_435_456, u32::MAX]) {
            let mut writer = Writer::new();
            writer.unsigned_varint(value);
            let mut reader = Reader::new(writer.into_bytes());
            assert_eq!(reader.unsigned_varint(), Ok(value));
            assert_eq!(reader.remaining(), 0);
        }
    }

    #[test]
    fn varint_past_32_bits_is_refused() {
        let too_long = Err(DecodeError::VarintTooLong);
        assert_eq!(
            reader(&[0xff, 0xff, 0xff, 0xff, 0x10]).unsigned_varint(),
            too_long
        );
        assert_eq!(
            reader(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]).unsigned_varint(),
            too_long
        );
        assert_eq!(
            reader(&[0x80]).unsigned_varint(),
            Err(DecodeError::Truncated {
                needed: 1,
                remaining: 0
            })
        );
    }

    #[test]
    fn strings_are_bounded_and_checked() {
        assert_eq!(reader(&[0xff, 0xff]).nullable_string(), Ok(None));
        assert_eq!(reader(&[0]).nullable_compact_string(), Ok(None));
        assert_eq!(
            reader(&[2, b'x']).nullable_compact_string(),
            Ok(Some("x".into()))
        );
        assert_eq!(
            reader(&[0xff, 0xfe]).nullable_string(),
            Err(DecodeError::NegativeLength { length: -2 })
        );
        assert_eq!(
            reader(&[0, 2, 0xc3, 0x28]).nullable_string(),
            Err(DecodeError::InvalidUtf8)
        );
        assert_eq!(
            reader(&[0, 9, 1]).nullable_string(),
            Err(DecodeError::Truncated {
                needed: 9,
                remaining: 1
            })
        );
        // 0x8000 bytes, stored plus one.
        assert_eq!(
            reader(&[0x81, 0x80, 0x02]).nullable_compact_string(),
            Err(DecodeError::StringTooLong {
                length: 0x8000,
                max: 0x7fff
            })
        );
    }

    #[test]
    fn bytes_tell_null_from_empty() {
        assert_eq!(reader(&[0xff; 4]).nullable_bytes(), Ok(None));
        assert_eq!(reader(&[0; 4]).nullable_bytes(), Ok(Some(Bytes::new())));
        assert_eq!(reader(&[0]).nullable_compact_bytes(), Ok(None));
        assert_eq!(
            reader(&[1]).nullable_compact_bytes(),
            Ok(Some(Bytes::new()))
        );
    }
}
