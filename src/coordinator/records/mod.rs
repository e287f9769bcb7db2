//! What is kept in `__consumer_offsets`, byte for byte as Kafka 4 keeps it.
//!
//! Invariants: what Kafka or we wrote is read, in every version there was; what is written is what
//! Kafka 4.3 writes. A kind this table lacks is told, not guessed: the coordinator skips it, as Kafka does.

mod error;
#[cfg(test)]
mod golden_test;

use bytes::Bytes;
use drave_protocol::message::Message;
use drave_protocol::schema::group_records::{
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue,
    ConsumerGroupMetadataValue, ConsumerGroupPartitionMetadataValue,
    ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataValue, GroupKey,
    GroupMemberKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue,
};
use drave_protocol::wire::{EncodeError, Reader, Writer};

pub use error::RecordError;

/// A record's key and value as they stand in a batch. Without a value it is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

/// What the bytes of one record are.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    Record(Box<GroupRecord>),
    /// Of a later Kafka, or of share and streams groups.
    UnknownKind(i16),
}

/// Persisted: never renumber. The second number, where there is one, is an older spelling of the key.
macro_rules! kinds {
    ($( $(#[$doc:meta])* $kind:literal $(| $old:literal)? $name:ident $key:ident $value:ident $version:expr; )*) => {
        /// One fact, or with `None` its end.
        #[derive(Clone, Debug, PartialEq)]
        pub enum GroupRecord {
            $( $(#[$doc])* $name($key, Option<$value>), )*
        }

        impl GroupRecord {
            pub fn kind(&self) -> i16 {
                match self { $( Self::$name(..) => $kind, )* }
            }

            pub fn group_id(&self) -> &str {
                match self { $( Self::$name(key, _) => &key.group_id, )* }
            }

            /// Whether it says that something is no more.
            pub fn is_tombstone(&self) -> bool {
                match self { $( Self::$name(_, value) => value.is_none(), )* }
            }

            pub fn encode(&self) -> Result<Encoded, EncodeError> {
                match self { $( Self::$name(key, value) => {
                    let value = value.as_ref().map(|value| framed($version(value), value));
                    let mut writer = Writer::new();
                    writer.i16($kind);
                    key.encode(&mut writer, 0)?;
                    Ok(Encoded { key: writer.into_bytes(), value: value.transpose()? })
                } )* }
            }

            /// Reads what `encode` or Kafka wrote.
            pub fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Decoded, RecordError> {
                let mut reader = Reader::new(key.clone());
                let kind = reader.i16().map_err(RecordError::Key)?;
                let record = match kind {
                    $( $kind $(| $old)? => {
                        let key = <$key>::decode(&mut reader, 0)
                            .map_err(RecordError::Key)?;
                        end_of_key(kind, &reader)?;
                        Self::$name(key, value.map(|value| unframed(kind, value)).transpose()?)
                    } )*
                    _ => return Ok(Decoded::UnknownKind(kind)),
                };
                Ok(Decoded::Record(Box::new(record)))
            }
        }
    };
}

kinds! {
    1 | 0 OffsetCommit OffsetCommitKey OffsetCommitValue offset_commit_version;
    /// A classic group.
    2 GroupMetadata GroupKey GroupMetadataValue |_| 3;
    /// That there is a consumer group, and its epoch.
    3 ConsumerGroupMetadata GroupKey ConsumerGroupMetadataValue |_| 0;
    /// Of Kafka 4.0; written as a tombstone only.
    4 ConsumerGroupPartitionMetadata GroupKey ConsumerGroupPartitionMetadataValue |_| 0;
    5 ConsumerGroupMemberMetadata GroupMemberKey ConsumerGroupMemberMetadataValue |_| 0;
    6 ConsumerGroupTargetAssignmentMetadata
        GroupKey ConsumerGroupTargetAssignmentMetadataValue |_| 0;
    7 ConsumerGroupTargetAssignmentMember
        GroupMemberKey ConsumerGroupTargetAssignmentMemberValue |_| 0;
    8 ConsumerGroupCurrentMemberAssignment
        GroupMemberKey ConsumerGroupCurrentMemberAssignmentValue |_| 0;
    16 ConsumerGroupRegularExpression
        ConsumerGroupRegularExpressionKey ConsumerGroupRegularExpressionValue |_| 0;
}

/// Only version 1 can say when an offset expires by itself.
fn offset_commit_version(value: &OffsetCommitValue) -> i16 {
    if value.expire_timestamp >= 0 { 1 } else { 4 }
}

fn framed<M: Message>(version: i16, value: &M) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.i16(version);
    value.encode(&mut writer, version)?;
    Ok(writer.into_bytes())
}

fn unframed<M: Message>(kind: i16, bytes: &Bytes) -> Result<M, RecordError> {
    let mut reader = Reader::new(bytes.clone());
    let bad = |error| RecordError::Value { kind, error };
    let version = reader.i16().map_err(bad)?;
    let value = M::decode(&mut reader, version).map_err(bad)?;
    match reader.remaining() {
        0 => Ok(value),
        n_bytes => Err(RecordError::Leftover { kind, n_bytes }),
    }
}

fn end_of_key(kind: i16, reader: &Reader) -> Result<(), RecordError> {
    match reader.remaining() {
        0 => Ok(()),
        n_bytes => Err(RecordError::Leftover { kind, n_bytes }),
    }
}
