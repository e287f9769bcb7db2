//! Fetches against the sample cluster, without replicas.

use std::collections::BTreeMap;

use drave_log::AbortedTransaction;
use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset, ProducerId, TopicIdPartition};
use drave_protocol::schema::fetch::{FetchPartition, FetchRequest, FetchTopic, ReplicaState};

use crate::replica::{Fetched, Isolation, Reader};
use crate::server::handlers::data::fetch::{Results, reader, resolve, respond};
use crate::server::handlers::sample;
use crate::server::sending_test::in_memory;

fn orders(partition: i32) -> TopicIdPartition {
    TopicIdPartition {
        topic_id: sample::ORDERS,
        partition,
    }
}

fn request(partitions: &[i32]) -> FetchRequest {
    let asked = partitions.iter().map(|partition| FetchPartition {
        partition: *partition,
        partition_max_bytes: 1000,
        ..FetchPartition::default()
    });
    FetchRequest {
        topics: vec![FetchTopic {
            topic: "orders".to_owned(),
            topic_id: sample::ORDERS,
            partitions: asked.collect(),
        }],
        ..FetchRequest::default()
    }
}

fn follower(id: i32, epoch: i64) -> FetchRequest {
    FetchRequest {
        replica_state: ReplicaState {
            replica_id: id,
            replica_epoch: epoch,
        },
        ..request(&[0])
    }
}

#[test]
fn a_follower_is_who_the_image_says_it_is() {
    let view = sample::view();
    let Ok(Reader::Follower(found)) = reader(17, &follower(2, 20), &view) else {
        panic!("broker 2 is registered with epoch 20");
    };
    assert_eq!(
        (found.node, found.broker_epoch),
        (NodeId(2), BrokerEpoch(20))
    );
    let stranger = Err(ErrorCode::NotLeaderOrFollower);
    for (id, epoch) in [(2, 19), (2, -1), (3, 30), (9, 20)] {
        let read = reader(17, &follower(id, epoch), &view);
        assert_eq!(read.map(|_| ()), stranger, "{id} {epoch}");
    }
    // Old versions cannot say their epoch: nobody is a follower in them.
    let old = FetchRequest {
        replica_id: 2,
        ..request(&[0])
    };
    assert_eq!(reader(14, &old, &view).map(|_| ()), stranger);
}

#[test]
fn a_consumer_chooses_its_isolation() {
    let committed = FetchRequest {
        isolation_level: 1,
        ..request(&[0])
    };
    assert!(matches!(
        reader(11, &committed, &sample::view()),
        Ok(Reader::Consumer {
            isolation: Isolation::ReadCommitted
        })
    ));
}

#[test]
fn a_partition_asked_for_twice_is_read_once() {
    let view = sample::view();
    let request = request(&[0, 0, 1, 9]);
    let reader = reader(17, &request, &view);
    let (topics, wanted) = resolve(17, &view, &reader, &request);
    let partitions: Vec<i32> = wanted.iter().map(|it| it.partition.partition).collect();
    assert_eq!(partitions, [0, 1]);
    assert_eq!(topics[0].partitions.len(), 3);
    assert_eq!(
        topics[0].partitions[2].1,
        Err(ErrorCode::UnknownTopicOrPartition)
    );
}

#[test]
fn unknown_topics_are_refused_in_the_words_of_the_version() {
    let view = sample::view();
    let mut request = request(&[0]);
    request.topics[0].topic = "nope".to_owned();
    request.topics[0].topic_id = drave_protocol::ids::Uuid([1; 16]);
    let reader = reader(17, &request, &view);
    let code = |version| resolve(version, &view, &reader, &request).0[0].partitions[0].1;
    assert_eq!(code(12), Err(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(code(13), Err(ErrorCode::UnknownTopicId));
}

#[test]
fn answers_have_bytes_in_every_version() {
    let view = sample::view();
    let log = in_memory(1, 100);
    let slice = log.slice(Offset(0), Offset(1), 1000).unwrap();
    let (first, last) = ApiKey::Fetch.api().decode_versions;
    for version in first..=last {
        let request = request(&[0, 1, 9]);
        let reader = reader(version, &request, &view);
        let (topics, _) = resolve(version, &view, &reader, &request);
        let fetched = Fetched {
            high_watermark: Offset(9),
            last_stable_offset: Offset(8),
            log_start_offset: Offset(1),
            diverging: (version >= 12).then_some((LeaderEpoch(2), Offset(3))),
            has_news: false,
            records: slice.clone(),
            aborted: vec![AbortedTransaction {
                producer_id: ProducerId(7),
                first_offset: Offset(1),
                last_offset: Offset(3),
                last_stable_offset: Offset(4),
            }],
        };
        let results: Results = BTreeMap::from([(orders(0), Ok(fetched))]);
        let ctx = sample::context(ApiKey::Fetch, version);
        let answer = respond(&ctx, &view, &request, topics, results);
        assert!(answer.is_ok(), "{version}: {answer:?}");
    }
}
