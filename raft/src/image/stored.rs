//! An image as bytes: in snapshots, between nodes, in the history's checkpoint.
//!
//! Persisted. Fields are only ever appended, so an image as it was stored before is a prefix of one
//! stored now: what is missing at its end takes the value it had before there was such a thing.

use std::collections::BTreeMap;
use std::sync::Arc;

use drave_protocol::ids::{MetadataOffset, NodeId, TopicId};
use serde::Deserialize;

use crate::codec::{self, CodecError};
use crate::image::{BrokerRegistration, MetadataImage, TopicImage};
use crate::record::ConfigResource;

impl MetadataImage {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        // Decoding leaves no byte over, so what is of one form is of no other.
        codec::decode(bytes).or_else(|error| match codec::decode::<ImageV1>(bytes) {
            Ok(image) => Ok(image.into()),
            Err(_) => Err(error),
        })
    }
}

/// Before brokers told which of their replicas are offline.
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
        }
    }
}
