//! DescribeTopicPartitions page by page, DescribeProducers, ListConfigResources, UpdateFeatures.

use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::ProducerId;
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::schema::describe_producers::{
    DescribeProducersPartitionResponse, DescribeProducersRequest, DescribeProducersTopic,
};
use drave_protocol::schema::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, TopicRequest,
};
use drave_protocol::schema::list_config_resources::ListConfigResourcesRequest;
use drave_protocol::schema::update_features::{FeatureUpdateKey, UpdateFeaturesRequest};

use crate::broker::{node_with, versions};
use crate::support::client::{ACKS_ALL, PRODUCE_BY_NAME, code, produce_request, produced};
use crate::support::wire::Wire;

/// Topic and partitions of each entry of a page, and where the next one begins.
type Page = (Vec<(String, Vec<i32>)>, Option<(String, i32)>);

fn page(wire: &mut Wire, topics: &[&str], limit: i32, cursor: Option<(String, i32)>) -> Page {
    let named = |name: &&str| TopicRequest {
        name: (*name).to_owned(),
    };
    let request = DescribeTopicPartitionsRequest {
        topics: topics.iter().map(named).collect(),
        response_partition_limit: limit,
        cursor: cursor.map(|(topic_name, partition_index)| Cursor {
            topic_name,
            partition_index,
        }),
    };
    let answer = wire.call_newest(&request).unwrap();
    let topics = answer.topics.into_iter().map(|topic| {
        assert_eq!(topic.error_code, 0, "{topic:?}");
        let indexes = topic.partitions.iter().map(|it| {
            assert_eq!((it.error_code, it.leader_id), (0, 1), "{it:?}");
            assert_eq!(it.eligible_leader_replicas, Some(Vec::new()));
            it.partition_index
        });
        (topic.name.clone().unwrap(), indexes.collect())
    });
    let next = answer.next_cursor;
    (
        topics.collect(),
        next.map(|it| (it.topic_name, it.partition_index)),
    )
}

#[test]
fn topics_are_described_page_by_page_in_the_order_of_their_names() {
    let (mut cluster, mut wire) = node_with(&[]);
    cluster.create_topic("b", 3, 1, &[]);
    cluster.create_topic("a", 2, 1, &[]);
    let asked = ["b", "a"];
    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let (topics, next) = page(&mut wire, &asked, 2, cursor);
        pages.push(topics);
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    let entry = |name: &str, partitions: &[i32]| (name.to_owned(), partitions.to_vec());
    let expected = [
        vec![entry("a", &[0, 1])],
        vec![entry("b", &[0, 1])],
        vec![entry("b", &[2])],
    ];
    assert_eq!(pages, expected);
    let (all, next) = page(&mut wire, &[], 2000, None);
    assert!(next.is_none());
    assert!(all.contains(&entry("b", &[0, 1, 2])), "{all:?}");
    // A page holds something, whatever was asked for.
    let (least, _) = page(&mut wire, &asked, -5, None);
    assert_eq!(least, [entry("a", &[0])]);
    let unknown = DescribeTopicPartitionsRequest {
        topics: vec![TopicRequest {
            name: "nowhere".to_owned(),
        }],
        ..DescribeTopicPartitionsRequest::default()
    };
    let answer = wire.call_newest(&unknown).unwrap();
    let found = code(answer.topics[0].error_code);
    assert_eq!(found, ErrorCode::UnknownTopicOrPartition);
}

#[track_caller]
fn producers(wire: &mut Wire, topic: &str) -> DescribeProducersPartitionResponse {
    let request = DescribeProducersRequest {
        topics: vec![DescribeProducersTopic {
            name: topic.to_owned(),
            partition_indexes: vec![0],
        }],
    };
    let mut answer = wire.call_newest(&request).unwrap();
    answer.topics[0].partitions.remove(0)
}

#[test]
fn the_leader_tells_what_it_remembers_of_producers() {
    let (_cluster, mut wire) = node_with(&["t"]);
    assert!(producers(&mut wire, "t").active_producers.is_empty());
    for (first_sequence, epoch) in [(0, 4), (2, 4)] {
        let batch = BatchBuilder::new()
            .producer(ProducerId(77), epoch, first_sequence)
            .value(1_700_000_000_000, "a")
            .value(1_700_000_000_005, "b");
        let request = produce_request("t", 0, ACKS_ALL, batch.build().freeze());
        let answer = produced(wire.call(PRODUCE_BY_NAME, &request).unwrap());
        assert_eq!(answer.error_code, 0);
    }
    let found = producers(&mut wire, "t");
    assert_eq!(found.error_code, 0, "{found:?}");
    let [producer] = &found.active_producers[..] else {
        panic!("one producer wrote: {found:?}");
    };
    assert_eq!((producer.producer_id, producer.producer_epoch), (77, 4));
    assert_eq!(producer.last_sequence, 3);
    assert_eq!(producer.last_timestamp, 1_700_000_000_005);
    assert_eq!(producer.current_txn_start_offset, -1);
    let unknown = producers(&mut wire, "nowhere");
    let found = code(unknown.error_code);
    assert_eq!(found, ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn what_has_a_configuration_is_listed_by_its_type() {
    let (_cluster, mut wire) = node_with(&["t"]);
    let mut list = |version: i16, resource_types: &[i8]| {
        let request = ListConfigResourcesRequest {
            resource_types: resource_types.to_vec(),
        };
        let answer = wire.call(version, &request).unwrap();
        let names = answer.config_resources.into_iter();
        let names = names.map(|it| (it.resource_type, it.resource_name));
        (code(answer.error_code), names.collect::<Vec<_>>())
    };
    // The first version knows client metrics only, and there are none.
    assert_eq!(list(0, &[]), (ErrorCode::None, Vec::new()));
    let broker = (4, "1".to_owned());
    assert_eq!(list(1, &[4]), (ErrorCode::None, vec![broker.clone()]));
    let (_, all) = list(1, &[]);
    assert!(
        all.contains(&(2, "t".to_owned())) && all.contains(&broker),
        "{all:?}"
    );
    assert_eq!(list(1, &[99]).0, ErrorCode::UnsupportedVersion);
}

#[test]
fn a_feature_stays_at_the_level_this_build_has() {
    const METADATA_VERSION: &str = "metadata.version";
    let (_cluster, mut wire) = node_with(&[]);
    let request = |feature: &str, level: i16| UpdateFeaturesRequest {
        feature_updates: vec![FeatureUpdateKey {
            feature: feature.to_owned(),
            max_version_level: level,
            ..FeatureUpdateKey::default()
        }],
        ..UpdateFeaturesRequest::default()
    };
    let refused = ErrorCode::InvalidUpdateVersion;
    for version in versions(ApiKey::UpdateFeatures) {
        for (feature, level, expected) in [
            (METADATA_VERSION, 30, ErrorCode::None),
            (METADATA_VERSION, 29, refused),
            ("share.version", 1, refused),
        ] {
            let answer = wire.call(version, &request(feature, level)).unwrap();
            let found = match answer.results.first() {
                Some(result) => result.error_code,
                None => answer.error_code,
            };
            assert_eq!(code(found), expected, "v{version} {feature} {level}");
        }
    }
}
