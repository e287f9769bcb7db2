//! The form in which messages are declared: one table per API, and the code that follows from it.
//!
//! ```text
//! schema! {
//!     Produce [3..=13] flexible 9;
//!     request ProduceRequest {
//!         log_start_offset: i64 [5..] = -1, ignorable;
//!     }
//!     ...
//! }
//! ```
//! A field is `name: type [versions]`, then what applies of: `null [versions]` (an `Option` that may be
//! null only there; elsewhere in its versions it must be set), `tag n` (tagged in all its versions;
//! tags ascend), `= default`, and `, ignorable` (dropped silently from a version that cannot carry it;
//! without it, encoding a value other than the default is refused, as the reader would act on less
//! than the writer meant).

/// Declares the request, the response and the structures of one API. `unserved` stands where the table
/// of APIs has no row for it: only those who serve it may ask for it.
macro_rules! schema {
    (
        $key:ident [$min:literal ..= $max:literal] flexible $flexible:literal, unserved;
        request $request:ident { $($request_fields:tt)* }
        response $response:ident { $($response_fields:tt)* }
        $( struct $name:ident { $($fields:tt)* } )*
    ) => {
        $crate::schema::define::structure! { $request { $($request_fields)* } }
        $crate::schema::define::structure! { $response { $($response_fields)* } }
        $( $crate::schema::define::structure! { $name { $($fields)* } } )*

        $crate::schema::define::message! { $request [$min, $max] $flexible }
        $crate::schema::define::message! { $response [$min, $max] $flexible }
    };
    (
        $key:ident [$min:literal ..= $max:literal] flexible $flexible:literal;
        request $request:ident { $($request_fields:tt)* }
        response $response:ident { $($response_fields:tt)* }
        $( struct $name:ident { $($fields:tt)* } )*
    ) => {
        $crate::schema::define::schema! {
            $key [$min ..= $max] flexible $flexible, unserved;
            request $request { $($request_fields)* }
            response $response { $($response_fields)* }
            $( struct $name { $($fields)* } )*
        }

        impl $crate::message::Request for $request {
            const KEY: $crate::api::ApiKey = $crate::api::ApiKey::$key;
            type Response = $response;
        }
    };
}

/// Declares keys, values and structures of records that are kept in a log.
macro_rules! records {
    ($(
        $(#[$doc:meta])*
        $form:ident $name:ident $([$min:literal ..= $max:literal] flexible $flexible:literal)?
        { $($fields:tt)* }
    )*) => {$(
        $crate::schema::define::structure! { $(#[$doc])* $name { $($fields)* } }
        $( $crate::schema::define::message! { $name [$min, $max] $flexible } )?
    )*};
}

macro_rules! message {
    ($name:ident [$min:literal, $max:literal] $flexible:literal) => {
        impl $crate::message::Message for $name {
            const NAME: &'static str = stringify!($name);
            const VERSIONS: (i16, i16) = ($min, $max);
            const FLEXIBLE_FROM: i16 = $flexible;

            fn decode(
                reader: &mut $crate::wire::Reader,
                version: i16,
            ) -> Result<Self, $crate::wire::DecodeError> {
                if !($min..=$max).contains(&version) {
                    let message = stringify!($name);
                    return Err($crate::wire::DecodeError::UnsupportedVersion { message, version });
                }
                let is_flexible = version >= $flexible;
                let format = $crate::wire::Format {
                    version,
                    is_flexible,
                };
                $crate::wire::Field::read(reader, format)
            }

            fn throttle(&mut self, wait_ms: i32) {
                $crate::wire::Structure::throttle(self, wait_ms);
            }

            fn encode(
                &self,
                writer: &mut $crate::wire::Writer,
                version: i16,
            ) -> Result<(), $crate::wire::EncodeError> {
                if !($min..=$max).contains(&version) {
                    let message = stringify!($name);
                    return Err($crate::wire::EncodeError::UnsupportedVersion { message, version });
                }
                let is_flexible = version >= $flexible;
                let format = $crate::wire::Format {
                    version,
                    is_flexible,
                };
                $crate::wire::Field::write(self, writer, format)
            }
        }
    };
}

macro_rules! structure {
    ($(#[$about:meta])* $name:ident {$(
        $(#[$doc:meta])*
        $field:ident : $type:ty [$($versions:tt)+]
        $(null [$($null:tt)+])? $(tag $tag:literal)? $(= $default:expr)? $(, $absent:ident)? ;
    )*}) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $( $(#[$doc])* pub $field: $type, )* }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $crate::schema::define::default_of!($($default)?), )* }
            }
        }

        impl $crate::wire::Field for $name {
            fn read(
                reader: &mut $crate::wire::Reader,
                format: $crate::wire::Format,
            ) -> Result<Self, $crate::wire::DecodeError> {
                let mut value = Self::default();
                $( $crate::schema::define::read! {
                    [$($tag)?] [$($versions)+] [$($($null)+)?] value.$field, reader, format
                } )*
                if format.is_flexible {
                    reader.tagged_fields(|tag, reader| {
                        $( $crate::schema::define::read_tagged! {
                            [$($tag)?] [$($versions)+] value.$field, tag, reader, format
                        } )*
                        let _ = (tag, reader);
                        Ok(())
                    })?;
                }
                Ok(value)
            }

            fn write(
                &self,
                writer: &mut $crate::wire::Writer,
                format: $crate::wire::Format,
            ) -> Result<(), $crate::wire::EncodeError> {
                let tagged = &mut $crate::wire::TaggedFields::default();
                $(
                    if ($($versions)+).contains(&format.version) {
                        $crate::schema::define::write! {
                            [$($tag)?] [$($($null)+)?] [$($default)?]
                            self.$field, $type, tagged, writer, format
                        }
                    } else {
                        $crate::schema::define::refuse! {
                            [$($absent)?] [$($default)?] $name self.$field, $type, format
                        }
                    }
                )*
                if format.is_flexible {
                    writer.tagged_fields(tagged);
                }
                Ok(())
            }
        }

        impl $crate::wire::Structure for $name {
            fn throttle(&mut self, wait_ms: i32) {
                $( $crate::schema::define::throttle! { $field self wait_ms } )*
                let _ = wait_ms;
            }
        }

        #[cfg(test)]
        impl $crate::schema::sample::Sample for $name {
            fn sample(source: &mut $crate::schema::sample::Source, version: i16) -> Self {
                let mut value = Self::default();
                $(
                    if ($($versions)+).contains(&version) {
                        value.$field = source.other_than(version, &value.$field);
                        if source.wants_null() $( && ($($null)+).contains(&version) )? {
                            $crate::schema::sample::Sample::make_null(&mut value.$field);
                        }
                    }
                )*
                value
            }
        }
    };
}

/// Of all fields only the one that tells of waits.
macro_rules! throttle {
    (throttle_time_ms $self:ident $wait_ms:ident) => {
        $self.throttle_time_ms = $self.throttle_time_ms.max($wait_ms);
    };
    ($other:ident $self:ident $wait_ms:ident) => {};
}

macro_rules! default_of {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}

/// Reads a field that stands in its place; tagged ones come after all others.
macro_rules! read {
    ([$tag:literal] $versions:tt $null:tt $value:ident.$field:ident, $reader:ident, $format:ident) => {};
    ([] [$($versions:tt)+] [$($null:tt)*] $value:ident.$field:ident, $reader:ident, $format:ident) => {
        if ($($versions)+).contains(&$format.version) {
            $value.$field = $crate::wire::Field::read($reader, $format)?;
            $crate::schema::define::null_check! {
                DecodeError [$($null)*] $value.$field, $field, $format
            }
        }
    };
}

macro_rules! read_tagged {
    ([] $versions:tt $value:ident.$field:ident, $read:ident, $reader:ident, $format:ident) => {};
    (
        [$tag:literal] [$($versions:tt)+]
        $value:ident.$field:ident, $read:ident, $reader:ident, $format:ident
    ) => {
        if $read == $tag && ($($versions)+).contains(&$format.version) {
            $value.$field = $crate::wire::Field::read($reader, $format)?;
        }
    };
}

macro_rules! write {
    (
        [] [$($null:tt)*] $default:tt
        $self:ident.$field:ident, $type:ty, $tagged:ident, $writer:ident, $format:ident
    ) => {
        $crate::schema::define::null_check! {
            EncodeError [$($null)*] $self.$field, $field, $format
        }
        $crate::wire::Field::write(&$self.$field, $writer, $format)?;
    };
    (
        [$tag:literal] $null:tt [$($default:expr)?]
        $self:ident.$field:ident, $type:ty, $tagged:ident, $writer:ident, $format:ident
    ) => {
        let default: $type = $crate::schema::define::default_of!($($default)?);
        if $self.$field != default {
            $tagged.add($tag, |writer| $crate::wire::Field::write(&$self.$field, writer, $format))?;
        }
    };
}

/// What to do with a field the version has no place for.
macro_rules! refuse {
    ([ignorable] $default:tt $name:ident $self:ident.$field:ident, $type:ty, $format:ident) => {};
    (
        [] [$($default:expr)?]
        $name:ident $self:ident.$field:ident, $type:ty, $format:ident
    ) => {
        let default: $type = $crate::schema::define::default_of!($($default)?);
        if $self.$field != default {
            return Err($crate::wire::EncodeError::FieldNotInVersion {
                message: stringify!($name),
                field: stringify!($field),
                version: $format.version,
            });
        }
    };
}

macro_rules! null_check {
    ($error:ident [] $value:ident.$place:ident, $field:ident, $format:ident) => {};
    ($error:ident [$($null:tt)+] $value:ident.$place:ident, $field:ident, $format:ident) => {
        if $value.$place.is_none() && !($($null)+).contains(&$format.version) {
            return Err($crate::wire::$error::NullField {
                field: stringify!($field),
                version: $format.version,
            });
        }
    };
}

pub(crate) use {
    default_of, message, null_check, read, read_tagged, records, refuse, schema, structure,
    throttle, write,
};
