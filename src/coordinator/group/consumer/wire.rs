//! What consumers of the classic protocol say to each other by way of the group: `ConsumerProtocolSubscription`
//! and `ConsumerProtocolAssignment`, which are not the broker's messages but must be understood here.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use drave_protocol::wire::{DecodeError, Reader, Writer};

use super::member::Member;
use super::topics::Topics;
use crate::coordinator::group::assignor::Partitions;

/// Partitions by the name of their topic.
pub(in crate::coordinator::group) type Named = BTreeMap<String, BTreeSet<i32>>;

/// The newest versions there are.
const SUBSCRIPTION_VERSION_MAX: i16 = 3;
const OWNED_SINCE: i16 = 1;
const GENERATION_SINCE: i16 = 2;
const RACK_SINCE: i16 = 3;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) topics: BTreeSet<String>,
    pub(super) owned: Named,
    pub(super) rack: Option<String>,
}

/// `None` where the bytes are something else.
pub(super) fn subscription(bytes: &Bytes) -> Option<Subscription> {
    let mut reader = Reader::new(bytes.clone());
    read_subscription(&mut reader).ok().flatten()
}

fn read_subscription(reader: &mut Reader) -> Result<Option<Subscription>, DecodeError> {
    let version = reader.i16()?;
    if version < 0 {
        return Ok(None);
    }
    let mut said = Subscription::default();
    for _ in 0..reader.i32()? {
        said.topics.extend(reader.nullable_string()?);
    }
    let _user_data = reader.nullable_bytes()?;
    if version >= OWNED_SINCE {
        said.owned = read_partitions(reader)?;
    }
    if version >= GENERATION_SINCE {
        let _generation = reader.i32()?;
    }
    if version >= RACK_SINCE {
        said.rack = reader.nullable_string()?;
    }
    Ok(Some(said))
}

fn read_partitions(reader: &mut Reader) -> Result<Named, DecodeError> {
    let mut named = Named::new();
    for _ in 0..reader.i32()? {
        let topic = reader.nullable_string()?.unwrap_or_default();
        let mut partitions = BTreeSet::new();
        for _ in 0..reader.i32()? {
            partitions.insert(reader.i32()?);
        }
        if !partitions.is_empty() {
            named.insert(topic, partitions);
        }
    }
    Ok(named)
}

/// What a leader assigned; `None` where it says more than a broker can: then it would be lost.
pub(in crate::coordinator::group) fn assigned(bytes: &Bytes) -> Option<Named> {
    if bytes.is_empty() {
        return Some(Named::new());
    }
    let mut reader = Reader::new(bytes.clone());
    let version = reader.i16().ok()?;
    let named = read_partitions(&mut reader).ok()?;
    let user_data = reader.nullable_bytes().ok()?.unwrap_or_default();
    (version >= 0 && user_data.is_empty()).then_some(named)
}

pub(super) fn with_ids(named: &Named, topics: &dyn Topics) -> Partitions {
    let known = named
        .iter()
        .filter_map(|(name, partitions)| Some((topics.by_name(name)?.id, partitions.clone())));
    known.collect()
}

/// What the member may have, in the words of its leader, in the version it speaks.
pub(super) fn assignment(member: &Member, topics: &dyn Topics) -> Bytes {
    let protocols = member.classic.iter().flat_map(|it| &it.supported_protocols);
    let version = protocols
        .filter_map(|it| Reader::new(it.metadata.clone()).i16().ok())
        .min();
    let version = version
        .unwrap_or_default()
        .clamp(0, SUBSCRIPTION_VERSION_MAX);
    let held = member.current.assigned.iter();
    let named = held.filter_map(|(topic, all)| Some((topics.name_of(*topic)?, all.keys())));
    let named: Vec<_> = named.collect();
    let mut writer = Writer::new();
    writer.i16(version);
    writer.i32(length(named.len()));
    for (name, partitions) in named {
        // Names of topics are short; one that is not is none.
        if writer.nullable_string(Some(name)).is_err() {
            return Bytes::new();
        }
        writer.i32(length(partitions.len()));
        for partition in partitions {
            writer.i32(*partition);
        }
    }
    writer.i32(NULL);
    writer.into_bytes()
}

/// The length of bytes that are not there.
const NULL: i32 = -1;

fn length(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}
