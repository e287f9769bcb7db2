//! An image as bytes: in snapshots, between nodes, in the history's checkpoint.
//!
//! ```text
//! 0xff | version u8 | body        version 2 and later
//! body                            version 1, which had no place for a number
//! ```
//! A body begins with a varint, whose first byte is never 0xff. Persisted: a released version is never
//! changed; what it lacks takes the value it had before there was such a thing.

use std::collections::BTreeMap;
use std::sync::Arc;

use drave_protocol::ids::{MetadataOffset, NodeId, ProducerId, TopicId};
use serde::Deserialize;

use crate::codec::{self, CodecError};
use crate::image::{BrokerRegistration, MetadataImage, TopicImage};
use crate::record::ConfigResource;

const VERSIONED: u8 = 0xff;
/// What this node writes: `MetadataImage` as it stands.
const VERSION: u8 = 2;

impl MetadataImage {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        let mut bytes = vec![VERSIONED, VERSION];
        bytes.extend(codec::encode(self)?);
        Ok(bytes)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        match bytes.split_first_chunk() {
            Some(([VERSIONED, VERSION], body)) => codec::decode(body),
            Some(([VERSIONED, version], _)) => Err(CodecError::Image(*version)),
            Some(_) | None => codec::decode::<ImageV1>(bytes).map(Self::from),
        }
    }
}

/// Before brokers told which of their replicas are offline, and were given producer ids.
#[derive(Deserialize)]
struct ImageV1 {
    offset: MetadataOffset,
    term: u64,
    cluster_id: Option<String>,
    brokers: Arc<BTreeMap<NodeId, Arc<BrokerRegistration>>>,
    topics: Arc<BTreeMap<TopicId, Arc<TopicImage>>>,
    topic_ids: Arc<BTreeMap<String, TopicId>>,
    configs: Arc<BTreeMap<ConfigResource, Arc<BTreeMap<String, String>>>>,
}

impl From<ImageV1> for MetadataImage {
    fn from(it: ImageV1) -> Self {
        Self {
            offset: it.offset,
            term: it.term,
            cluster_id: it.cluster_id,
            brokers: it.brokers,
            topics: it.topics,
            topic_ids: it.topic_ids,
            configs: it.configs,
            offline_replicas: Arc::default(),
            next_producer_id: ProducerId(0),
        }
    }
}
