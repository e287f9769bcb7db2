//! Variable-length integers: seven bits a byte, lowest first; signed ones are zig-zag coded.
//!
//! Invariants: a read consumes nothing beyond the number; more bytes than the type can need are an
//! error, so a stranger's bytes never make a read run away.

use bytes::BufMut;
use thiserror::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VarintError {
    #[error("a varint is cut off")]
    Truncated,
    #[error("a varint is longer than its type allows")]
    Overlong,
}

/// Unsigned, at most five bytes (lengths in flexible messages).
pub fn read_u32(bytes: &mut &[u8]) -> Result<u32, VarintError> {
    let value = read(bytes, 5)?;
    u32::try_from(value).map_err(|_| VarintError::Overlong)
}

/// Zig-zag coded, at most five bytes.
pub fn read_i32(bytes: &mut &[u8]) -> Result<i32, VarintError> {
    let raw = read_u32(bytes)?;
    Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

/// Zig-zag coded, at most ten bytes.
pub fn read_i64(bytes: &mut &[u8]) -> Result<i64, VarintError> {
    let raw = read(bytes, 10)?;
    Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

fn read(bytes: &mut &[u8], bytes_max: u32) -> Result<u64, VarintError> {
    let mut value = 0_u64;
    for place in 0..bytes_max {
        let (&byte, rest) = bytes.split_first().ok_or(VarintError::Truncated)?;
        *bytes = rest;
        let seven = u64::from(byte & 0x7f);
        // The tenth byte of a 64-bit number holds its last bit only.
        if place == 9 && seven > 1 {
            return Err(VarintError::Overlong);
        }
        value |= seven << (place * 7);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(VarintError::Overlong)
}

pub fn write_u32(out: &mut impl BufMut, value: u32) {
    write(out, u64::from(value));
}

pub fn write_i32(out: &mut impl BufMut, value: i32) {
    write_u32(out, ((value << 1) ^ (value >> 31)).cast_unsigned());
}

pub fn write_i64(out: &mut impl BufMut, value: i64) {
    write(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

fn write(out: &mut impl BufMut, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.put_u8(low & 0x7f);
            return;
        }
        out.put_u8(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_number_comes_back(a in any::<i64>(), b in any::<i32>(), c in any::<u32>()) {
            let mut out = Vec::new();
            write_i64(&mut out, a);
            write_i32(&mut out, b);
            write_u32(&mut out, c);
            let mut rest = out.as_slice();
            prop_assert_eq!(read_i64(&mut rest), Ok(a));
            prop_assert_eq!(read_i32(&mut rest), Ok(b));
            prop_assert_eq!(read_u32(&mut rest), Ok(c));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..16)) {
            let _ = read_i64(&mut bytes.as_slice());
            let _ = read_i32(&mut bytes.as_slice());
        }
    }

    #[test]
    fn small_numbers_take_one_byte_and_signs_alternate() {
        for (value, byte) in [(0, 0_u8), (-1, 1), (1, 2), (-2, 3), (63, 126), (-64, 127)] {
            let mut out = Vec::new();
            write_i32(&mut out, value);
            assert_eq!(out, [byte]);
        }
    }

    #[test]
    fn cut_and_overlong_numbers_are_refused() {
        assert_eq!(
            read_i32(&mut [0x80].as_slice()),
            Err(VarintError::Truncated)
        );
        assert_eq!(
            read_i32(&mut [0xff; 5].as_slice()),
            Err(VarintError::Overlong)
        );
        assert_eq!(
            read_i32(&mut [0xff, 0xff, 0xff, 0xff, 0x1f].as_slice()),
            Err(VarintError::Overlong)
        );
        assert_eq!(
            read_i64(&mut [0xff; 10].as_slice()),
            Err(VarintError::Overlong)
        );
    }
}
