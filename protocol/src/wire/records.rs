//! Record batches as a field of an answer: bytes, or the place where its sender puts them.
//!
//! A log sends batches from its files without ever holding them in memory. The message around them says
//! how many bytes there are and leaves the place out; [`Writer`] remembers where.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use crate::wire::field::{Format, Nullable};
use crate::wire::{DecodeError, EncodeError, Reader, Writer};

/// What was decoded is always bytes, a slice of the frame.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Records {
    here: Bytes,
    n_left_out: usize,
}

impl Records {
    /// `n` bytes that are not in the message's own.
    pub const fn left_out(n: usize) -> Self {
        Self {
            here: Bytes::new(),
            n_left_out: n,
        }
    }

    pub fn into_bytes(self) -> Bytes {
        self.here
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Self {
            here: bytes,
            n_left_out: 0,
        }
    }
}

impl Deref for Records {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.here
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.n_left_out {
            0 => self.here.fmt(f),
            n => write!(f, "{n} bytes left out"),
        }
    }
}

impl Nullable for Records {
    fn read_nullable(reader: &mut Reader, format: Format) -> Result<Option<Self>, DecodeError> {
        Ok(Bytes::read_nullable(reader, format)?.map(Self::from))
    }

    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        format: Format,
    ) -> Result<(), EncodeError> {
        match value {
            Some(Self { n_left_out, .. }) if *n_left_out > 0 => {
                writer.leave_out(format.is_flexible, *n_left_out)
            }
            Some(Self { here, .. }) => Bytes::write_nullable(Some(here), writer, format),
            None => Bytes::write_nullable(None, writer, format),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted_and_its_place_is_known() {
        for (is_flexible, length) in [(false, vec![0, 0, 0, 3]), (true, vec![4])] {
            let format = Format {
                version: 0,
                is_flexible,
            };
            let fields = [Records::left_out(3), Bytes::from_static(b"abc").into()];
            let mut writer = Writer::new();
            for field in &fields {
                Records::write_nullable(Some(field), &mut writer, format).unwrap();
            }
            assert_eq!(writer.len(), 2 * (length.len() + 3));
            let (bytes, left_out) = writer.into_parts();
            assert_eq!(left_out, [length.len()]);
            assert_eq!(bytes, [&length[..], &length[..], b"abc"].concat());
        }
    }

    #[test]
    fn what_is_read_is_bytes() {
        let format = Format {
            version: 0,
            is_flexible: true,
        };
        let mut reader = Reader::new(Bytes::from_static(b"\x04abc\x00"));
        let mut read = || Records::read_nullable(&mut reader, format).unwrap();
        assert_eq!(read().map(Records::into_bytes), Some(Bytes::from("abc")));
        assert_eq!(read(), None);
    }
}
