//! Bytes on disk and between nodes: every value in a versioned envelope, every length checked.
//!
//! A record is `[schema u8][kind u16][version u16][length u32][bincode body]`, big-endian; a batch
//! is records back to back. Kinds and versions are persisted: never renumber, never change the
//! struct of a released version, add a version beside it.
//!
//! Invariants: decoding never reserves more than the bytes at hand; an unknown schema, kind or
//! version is an error, never skipped, because a node that skips a fact diverges.
#![allow(
    clippy::indexing_slicing,
    reason = "every slice is checked by `take`; tested against torn and hostile input"
)]

use bincode::Options;
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::record::{MetadataRecord, PartitionChangedV1};

/// Layout of the envelope itself.
const SCHEMA: u8 = 1;
const ENVELOPE_BYTES: usize = 9;
/// No record is larger than what one proposal may carry.
pub(crate) const RECORD_BYTES_MAX: usize = crate::propose::PROPOSAL_BYTES_MAX;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum CodecError {
    #[error("record envelope has schema {0}, this node knows {SCHEMA}: upgrade it")]
    Schema(u8),
    #[error("record kind {kind} version {version} is unknown to this node: upgrade it")]
    Unknown { kind: u16, version: u16 },
    #[error("image version {0} is unknown to this node: upgrade it")]
    Image(u8),
    #[error("record ends after {got} bytes, {needed} are needed")]
    Short { needed: usize, got: usize },
    #[error("record of {0} bytes is larger than {RECORD_BYTES_MAX}")]
    TooLarge(usize),
    #[error("record does not decode: {0}")]
    Body(String),
}

/// The one bincode configuration: varints, little-endian, nothing may trail.
fn options(limit: usize) -> impl Options {
    bincode::DefaultOptions::new().with_limit(u64::try_from(limit).unwrap_or(u64::MAX))
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    options(usize::MAX)
        .serialize(value)
        .map_err(|error| CodecError::Body(error.to_string()))
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    options(bytes.len())
        .deserialize(bytes)
        .map_err(|error| CodecError::Body(error.to_string()))
}

macro_rules! kinds {
    (
        $($kind:literal/$version:literal => $variant:ident,)*
        earlier: $($old_kind:literal/$old_version:literal => $old_variant:ident from $old:ty,)*
    ) => {
        fn encode_newest(record: &MetadataRecord) -> Result<(u16, u16, Vec<u8>), CodecError> {
            Ok(match record {
                $(MetadataRecord::$variant(it) => ($kind, $version, encode(it)?),)*
            })
        }

        fn decode_body(kind: u16, version: u16, body: &[u8]) -> Result<MetadataRecord, CodecError> {
            match (kind, version) {
                $(($kind, $version) => decode(body).map(MetadataRecord::$variant),)*
                $(($old_kind, $old_version) => decode::<$old>(body)
                    .map(|it| MetadataRecord::$old_variant(it.into())),)*
                (kind, version) => Err(CodecError::Unknown { kind, version }),
            }
        }
    };
}

// Persisted; never renumber.
kinds! {
    1/1 => Cluster,
    2/1 => ControllerActivated,
    3/1 => BrokerRegistered,
    4/1 => BrokerFenced,
    5/1 => BrokerUnfenced,
    6/1 => BrokerShuttingDown,
    7/1 => BrokerUnregistered,
    8/1 => TopicCreated,
    9/1 => TopicDeleted,
    10/1 => PartitionCreated,
    11/2 => PartitionChanged,
    12/1 => ConfigChanged,
    13/1 => ReplicasWentOffline,
    14/1 => ReplicasCameOnline,
    15/1 => ProducerIdsAllocated,
    16/1 => BrokerDrained,
    17/1 => BrokerUndrained,
    earlier:
    11/1 => PartitionChanged from PartitionChangedV1,
}

/// What an earlier version can say, it says: nodes not upgraded yet can follow.
fn encode_body(record: &MetadataRecord) -> Result<(u16, u16, Vec<u8>), CodecError> {
    if let MetadataRecord::PartitionChanged(it) = record
        && let Some(earlier) = it.as_v1()
    {
        return Ok((11, 1, encode(&earlier)?));
    }
    encode_newest(record)
}

pub(crate) fn encode_records(records: &[MetadataRecord]) -> Result<Bytes, CodecError> {
    let mut out = BytesMut::new();
    for record in records {
        let (kind, version, body) = encode_body(record)?;
        let length = u32::try_from(body.len()).map_err(|_| CodecError::TooLarge(body.len()))?;
        if body.len() > RECORD_BYTES_MAX {
            return Err(CodecError::TooLarge(body.len()));
        }
        out.put_u8(SCHEMA);
        out.put_u16(kind);
        out.put_u16(version);
        out.put_u32(length);
        out.put_slice(&body);
    }
    Ok(out.freeze())
}

pub(crate) fn decode_records(mut bytes: &[u8]) -> Result<Vec<MetadataRecord>, CodecError> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let head = take(&mut bytes, ENVELOPE_BYTES)?;
        if head[0] != SCHEMA {
            return Err(CodecError::Schema(head[0]));
        }
        let kind = u16::from_be_bytes([head[1], head[2]]);
        let version = u16::from_be_bytes([head[3], head[4]]);
        let length = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > RECORD_BYTES_MAX {
            return Err(CodecError::TooLarge(length));
        }
        let body = take(&mut bytes, length)?;
        records.push(decode_body(kind, version, body)?);
    }
    Ok(records)
}

/// Cuts `length` bytes off the front.
pub(crate) fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], CodecError> {
    let short = CodecError::Short {
        needed: length,
        got: bytes.len(),
    };
    let (head, rest) = bytes.split_at_checked(length).ok_or(short)?;
    *bytes = rest;
    Ok(head)
}

pub(crate) fn take_u8(bytes: &mut &[u8]) -> Result<u8, CodecError> {
    Ok(take(bytes, 1)?[0])
}

pub(crate) fn take_u32(bytes: &mut &[u8]) -> Result<u32, CodecError> {
    let head = take(bytes, 4)?;
    Ok(u32::from_le_bytes([head[0], head[1], head[2], head[3]]))
}

pub(crate) fn take_u64(bytes: &mut &[u8]) -> Result<u64, CodecError> {
    let mut number = [0; 8];
    number.copy_from_slice(take(bytes, 8)?);
    Ok(u64::from_le_bytes(number))
}

/// CRC-32C, continued from `salt` so that bytes of another file never pass for ours.
pub(crate) fn checksum(salt: u64, parts: &[&[u8]]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&salt.to_le_bytes());
    for part in parts {
        digest.update(part);
    }
    // The algorithm is 32 bits wide; the library answers in 64.
    u32::try_from(digest.finalize() & 0xffff_ffff).unwrap_or_default()
}
