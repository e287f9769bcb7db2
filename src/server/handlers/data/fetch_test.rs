//! Fetches against the sample cluster, without replicas.

use std::sync::Arc;

use drave_log::AbortedTransaction;
use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset, ProducerId, TopicIdPartition};
use drave_protocol::schema::fetch::{
    FetchPartition, FetchRequest, FetchTopic, ForgottenTopic, ReplicaState,
};

use crate::replica::{Fetched, Isolation, Reader, ReadsFrom};
use crate::server::fetch_session::{Called, CalledTopic, Session, Who};
use crate::server::handlers::data::fetch::{change, reader, respond};
use crate::server::handlers::data::fetching::{Looked, find};
use crate::server::handlers::data::naming::TopicsBy;
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
    let Ok(Reader::Follower { id: found, .. }) = reader(17, &follower(2, 20), &view) else {
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
            isolation: Isolation::ReadCommitted,
            ..
        })
    ));
}

#[test]
fn a_partition_asked_for_twice_is_read_once() {
    let mut session: Session<()> = Session::new(TopicsBy::Id, stranger());
    change(&mut session, 17, &request(&[0, 0, 1, 9]));
    assert_eq!(session.due().len(), 3);
}

#[test]
fn what_is_forgotten_and_asked_for_in_one_request_is_asked_for() {
    let mut session: Session<()> = Session::new(TopicsBy::Id, stranger());
    change(&mut session, 17, &request(&[0, 1]));
    let again = FetchRequest {
        forgotten_topics_data: vec![ForgottenTopic {
            topic_id: sample::ORDERS,
            partitions: vec![0, 1],
            ..ForgottenTopic::default()
        }],
        ..request(&[1])
    };
    change(&mut session, 17, &again);
    assert_eq!(session.len(), 1);
    // By its name it is another one.
    change(&mut session, 12, &again);
    assert_eq!(session.len(), 2);
}

#[test]
fn unknown_topics_are_refused_in_the_words_of_the_version() {
    let view = sample::view();
    let name = CalledTopic::Name(Arc::from("nope"));
    let id = CalledTopic::Id(drave_protocol::ids::Uuid([1; 16]));
    let code = |by, topic: &CalledTopic, partition| {
        let topic = topic.clone();
        find(&view, by, &Called { topic, partition })
    };
    let by_name = code(TopicsBy::Name, &name, 0);
    assert_eq!(by_name, Err(ErrorCode::UnknownTopicOrPartition));
    let by_id = code(TopicsBy::Id, &id, 0);
    assert_eq!(by_id, Err(ErrorCode::UnknownTopicId));
    let known = CalledTopic::Id(sample::ORDERS);
    assert_eq!(code(TopicsBy::Id, &known, 0), Ok(orders(0)));
    let beyond = code(TopicsBy::Id, &known, 9);
    assert_eq!(beyond, Err(ErrorCode::UnknownTopicOrPartition));
}

fn stranger() -> Who {
    Who {
        reader: Reader::Consumer {
            isolation: Isolation::ReadUncommitted,
            from: ReadsFrom::Leader,
        },
        rack: String::new(),
    }
}

fn called(version: i16, partition: i32) -> Called {
    let topic = if version >= 13 {
        CalledTopic::Id(sample::ORDERS)
    } else {
        CalledTopic::Name(Arc::from("orders"))
    };
    Called { topic, partition }
}

#[test]
fn answers_have_bytes_in_every_version() {
    let view = sample::view();
    let log = in_memory(1, 100);
    let slice = log.slice(Offset(0), Offset(1), 1000).unwrap();
    let (first, last) = ApiKey::Fetch.api().decode_versions;
    for version in first..=last {
        let fetched = Fetched {
            high_watermark: Offset(9),
            last_stable_offset: Offset(8),
            log_start_offset: Offset(1),
            diverging: (version >= 12).then_some((LeaderEpoch(2), Offset(3))),
            preferred_read_replica: (version >= 11).then_some(NodeId(2)),
            has_news: false,
            is_settled: true,
            records: slice.clone(),
            aborted: vec![AbortedTransaction {
                producer_id: ProducerId(7),
                first_offset: Offset(1),
                last_offset: Offset(3),
                last_stable_offset: Offset(4),
            }],
        };
        let looked = vec![
            Looked {
                called: called(version, 0),
                partition: Some(orders(0)),
                result: Ok(fetched),
                was_skipped: false,
            },
            Looked {
                partition: Some(orders(1)),
                ..Looked::refused(called(version, 1), ErrorCode::NotLeaderOrFollower)
            },
            Looked::refused(called(version, 9), ErrorCode::UnknownTopicOrPartition),
        ];
        let ctx = sample::context(ApiKey::Fetch, version);
        let answer = respond(
            &ctx,
            &view,
            (if version >= 7 { 7 } else { 0 }, 0),
            true,
            looked,
        );
        assert!(answer.is_ok(), "{version}: {answer:?}");
    }
}
