//! What can stand in a field, and its bytes in each encoding.

use bytes::Bytes;

use crate::ids::Uuid;
use crate::limits;
use crate::wire::{DecodeError, EncodeError, Reader, Writer};

/// How a structure is written: its API's version, and whether that version is a flexible one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    pub(crate) version: i16,
    pub(crate) is_flexible: bool,
}

pub(crate) trait Field: Sized {
    /// Fewest bytes one value takes on the wire: what bounds the length of an array.
    const WIRE_BYTES_MIN: usize = 1;

    fn read(reader: &mut Reader, format: Format) -> Result<Self, DecodeError>;
    fn write(&self, writer: &mut Writer, format: Format) -> Result<(), EncodeError>;
}

/// A field whose length can say that there is no value.
pub(crate) trait Nullable: Sized {
    fn read_nullable(reader: &mut Reader, format: Format) -> Result<Option<Self>, DecodeError>;
    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        format: Format,
    ) -> Result<(), EncodeError>;
}

macro_rules! fixed_width {
    ($($type:ident $name:ident $bytes:literal,)*) => {$(
        impl Field for $type {
            const WIRE_BYTES_MIN: usize = $bytes;
            fn read(reader: &mut Reader, _: Format) -> Result<Self, DecodeError> {
                reader.$name()
            }
            fn write(&self, writer: &mut Writer, _: Format) -> Result<(), EncodeError> {
                writer.$name(*self);
                Ok(())
            }
        }
    )*};
}

fixed_width! {
    bool bool 1,
    i8 i8 1,
    i16 i16 2,
    u16 u16 2,
    i32 i32 4,
    i64 i64 8,
    f64 f64 8,
    Uuid uuid 16,
}

impl Nullable for String {
    fn read_nullable(reader: &mut Reader, format: Format) -> Result<Option<Self>, DecodeError> {
        if format.is_flexible {
            reader.nullable_compact_string()
        } else {
            reader.nullable_string()
        }
    }
    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        format: Format,
    ) -> Result<(), EncodeError> {
        let text = value.map(String::as_str);
        if format.is_flexible {
            writer.nullable_compact_string(text)
        } else {
            writer.nullable_string(text)
        }
    }
}

/// `bytes` and `records` alike: a slice of the frame.
impl Nullable for Bytes {
    fn read_nullable(reader: &mut Reader, format: Format) -> Result<Option<Self>, DecodeError> {
        if format.is_flexible {
            reader.nullable_compact_bytes()
        } else {
            reader.nullable_bytes()
        }
    }
    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        format: Format,
    ) -> Result<(), EncodeError> {
        writer.field(format.is_flexible, value)
    }
}

impl<T: Field> Nullable for Vec<T> {
    fn read_nullable(reader: &mut Reader, format: Format) -> Result<Option<Self>, DecodeError> {
        let length =
            reader.nullable_array_length(format.is_flexible, T::WIRE_BYTES_MIN, size_of::<T>())?;
        let Some(length) = length else {
            return Ok(None);
        };
        let mut elements = Self::with_capacity(length.min(limits::ARRAY_RESERVE_MAX));
        for _ in 0..length {
            elements.push(T::read(reader, format)?);
        }
        Ok(Some(elements))
    }
    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        format: Format,
    ) -> Result<(), EncodeError> {
        writer.array_length(format.is_flexible, value.map(Vec::len))?;
        value
            .into_iter()
            .flatten()
            .try_for_each(|element| element.write(writer, format))
    }
}

/// What the tables declare: as a field that may be null, it has a byte in front that says which.
pub(crate) trait Structure: Field {
    /// Tells of a wait in `throttle_time_ms`, where there is one.
    fn throttle(&mut self, wait_ms: i32);
}

impl<T: Structure> Nullable for T {
    fn read_nullable(reader: &mut Reader, format: Format) -> Result<Option<Self>, DecodeError> {
        if reader.i8()? < 0 {
            return Ok(None);
        }
        T::read(reader, format).map(Some)
    }
    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        format: Format,
    ) -> Result<(), EncodeError> {
        let Some(value) = value else {
            writer.i8(-1);
            return Ok(());
        };
        writer.i8(1);
        value.write(writer, format)
    }
}

macro_rules! required {
    ($([$($generics:tt)*] $type:ty,)*) => {$(
        impl<$($generics)*> Field for $type {
            fn read(reader: &mut Reader, format: Format) -> Result<Self, DecodeError> {
                Self::read_nullable(reader, format)?.ok_or(DecodeError::UnexpectedNull)
            }
            fn write(&self, writer: &mut Writer, format: Format) -> Result<(), EncodeError> {
                Self::write_nullable(Some(self), writer, format)
            }
        }
    )*};
}

required! {
    [] String,
    [] Bytes,
    [T: Field] Vec<T>,
}

impl<T: Nullable> Field for Option<T> {
    fn read(reader: &mut Reader, format: Format) -> Result<Self, DecodeError> {
        T::read_nullable(reader, format)
    }
    fn write(&self, writer: &mut Writer, format: Format) -> Result<(), EncodeError> {
        T::write_nullable(self.as_ref(), writer, format)
    }
}
