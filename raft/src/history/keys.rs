//! Every key the history writes, as one enum. Persisted; tags are never renumbered.
//!
//! ```text
//! records   r | offset u64 | position u32                      the record
//! by entity e | entity | offset u64 | position u32             nothing: points into records
//! head      h                                                  which checkpoint is whole
//! part      p | generation u64 | part u32                      a piece of a checkpoint
//! ```
//! Numbers are big-endian, so that byte order is number order.

use drave_protocol::ids::MetadataOffset;

use crate::history::Entity;
use crate::record::{ConfigResource, QuotaName};

pub(crate) enum Key<'a> {
    Record {
        offset: MetadataOffset,
        position: u32,
    },
    About {
        entity: &'a Entity,
        offset: MetadataOffset,
        position: u32,
    },
    CheckpointHead,
    CheckpointPart {
        generation: u64,
        part: u32,
    },
}

pub(crate) const RECORDS: &[u8] = b"r";
pub(crate) const PARTS: &[u8] = b"p";

impl Key<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Record { offset, position } => {
                out.extend_from_slice(RECORDS);
                put_place(&mut out, *offset, *position);
            }
            Self::About {
                entity,
                offset,
                position,
            } => {
                out.extend(about(entity));
                put_place(&mut out, *offset, *position);
            }
            Self::CheckpointHead => out.push(b'h'),
            Self::CheckpointPart { generation, part } => {
                out.extend_from_slice(PARTS);
                out.extend_from_slice(&generation.to_be_bytes());
                out.extend_from_slice(&part.to_be_bytes());
            }
        }
        out
    }
}

fn put_place(out: &mut Vec<u8>, offset: MetadataOffset, position: u32) {
    out.extend_from_slice(&offset.0.to_be_bytes());
    out.extend_from_slice(&position.to_be_bytes());
}

/// Prefix of everything about an entity. Names end with a zero byte, which no topic name contains,
/// so that one name is never the prefix of another.
pub(crate) fn about(entity: &Entity) -> Vec<u8> {
    let mut out = vec![b'e'];
    match entity {
        Entity::Cluster => out.push(1),
        Entity::Broker(node) => {
            out.push(2);
            out.extend_from_slice(&node.0.to_be_bytes());
        }
        Entity::Topic(topic) => {
            out.push(3);
            out.extend_from_slice(&topic.0);
        }
        Entity::Partition(it) => {
            out.push(4);
            out.extend_from_slice(&it.topic_id.0);
            out.extend_from_slice(&it.partition.to_be_bytes());
        }
        Entity::Config(ConfigResource::Topic(name)) => {
            out.push(5);
            out.extend_from_slice(name.as_bytes());
            out.push(0);
        }
        Entity::Config(ConfigResource::Broker(node)) => {
            out.push(6);
            out.extend_from_slice(&node.0.to_be_bytes());
        }
        Entity::Config(ConfigResource::Cluster) => out.push(7),
        Entity::Config(ConfigResource::ClientQuota(entity)) => {
            out.push(8);
            put_quota_name(&mut out, entity.user.as_ref());
            put_quota_name(&mut out, entity.client_id.as_ref());
        }
        Entity::Config(ConfigResource::Group(id)) => {
            out.push(9);
            out.extend_from_slice(&id.len().to_be_bytes());
            out.extend_from_slice(id.as_bytes());
        }
    }
    out
}

/// Any bytes may stand in these names, so their length comes first.
fn put_quota_name(out: &mut Vec<u8>, name: Option<&QuotaName>) {
    match name {
        None => out.push(0),
        Some(QuotaName::Default) => out.push(1),
        Some(QuotaName::Named(name)) => {
            out.push(2);
            out.extend_from_slice(&name.len().to_be_bytes());
            out.extend_from_slice(name.as_bytes());
        }
    }
}

/// Offset and position, the last twelve bytes of a record's and of an about key.
pub(crate) fn place(key: &[u8]) -> Option<(MetadataOffset, u32)> {
    let (_, tail) = key.split_at_checked(key.len().checked_sub(12)?)?;
    let (offset, position) = tail.split_at_checked(8)?;
    let offset = u64::from_be_bytes(offset.try_into().ok()?);
    let position = u32::from_be_bytes(position.try_into().ok()?);
    Some((MetadataOffset(offset), position))
}

#[cfg(test)]
mod tests {
    use drave_protocol::ids::NodeId;

    use super::*;

    #[test]
    fn keys_sort_as_their_numbers_do() {
        let key = |offset, position| {
            let offset = MetadataOffset(offset);
            Key::Record { offset, position }.encode()
        };
        assert!(key(1, 2) < key(1, 256) && key(1, 256) < key(256, 0));
        assert_eq!(place(&key(7, 3)), Some((MetadataOffset(7), 3)));
    }

    #[test]
    fn one_name_is_never_the_prefix_of_another() {
        let about = |name: &str| about(&Entity::Config(ConfigResource::Topic(name.into())));
        assert!(!about("ab").starts_with(&about("a")));
    }

    #[test]
    fn an_entity_finds_its_records_by_prefix() {
        let entity = Entity::Broker(NodeId(3));
        let key = Key::About {
            entity: &entity,
            offset: MetadataOffset(9),
            position: 1,
        };
        assert!(key.encode().starts_with(&about(&entity)));
        assert_eq!(place(&key.encode()), Some((MetadataOffset(9), 1)));
    }
}
