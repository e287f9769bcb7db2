//! Fetch sessions over the wire: what is asked for once is answered when something changes.

use std::time::{Duration, Instant};

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic,
};

use crate::broker::node_with;
use crate::support::client::{FETCH_BY_NAME, code, values_of};
use crate::support::cluster::Cluster;
use crate::support::wire::Wire;

const N_PARTITIONS: i32 = 20;

struct Reader {
    wire: Wire,
    id: i32,
    epoch: i32,
}

fn partition(partition: i32, offset: i64) -> FetchPartition {
    FetchPartition {
        partition,
        fetch_offset: offset,
        partition_max_bytes: 1024 * 1024,
        ..FetchPartition::default()
    }
}

fn request(session: (i32, i32), asked: &[(i32, i64)], max_wait_ms: i32) -> FetchRequest {
    let partitions = asked
        .iter()
        .map(|(number, offset)| partition(*number, *offset));
    let topic = FetchTopic {
        topic: "t".to_owned(),
        partitions: partitions.collect(),
        ..FetchTopic::default()
    };
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        session_id: session.0,
        session_epoch: session.1,
        topics: vec![topic],
        ..FetchRequest::default()
    }
}

impl Reader {
    /// Opens a session over all partitions, from their beginning.
    fn open(mut wire: Wire) -> Self {
        let all: Vec<(i32, i64)> = (0..N_PARTITIONS).map(|it| (it, 0)).collect();
        let answer = wire.call(FETCH_BY_NAME, &request((0, 0), &all, 0)).unwrap();
        assert_eq!(code(answer.error_code), ErrorCode::None);
        assert_eq!(told(&answer).len(), all.len(), "a full answer tells all");
        assert!(answer.session_id > 0, "a session was opened");
        Self {
            wire,
            id: answer.session_id,
            epoch: 1,
        }
    }

    fn next(&mut self, asked: &[(i32, i64)], max_wait_ms: i32) -> FetchResponse {
        let answer = self.ask(FETCH_BY_NAME, self.epoch, asked, max_wait_ms);
        assert_eq!(code(answer.error_code), ErrorCode::None);
        assert_eq!(answer.session_id, self.id);
        self.epoch += 1;
        answer
    }

    fn ask(&mut self, version: i16, epoch: i32, asked: &[(i32, i64)], wait: i32) -> FetchResponse {
        let request = request((self.id, epoch), asked, wait);
        self.wire.call(version, &request).unwrap()
    }
}

/// The partitions told of, with the number of their records.
fn told(answer: &FetchResponse) -> Vec<(i32, usize)> {
    let partitions = answer.responses.iter().flat_map(|it| &it.partitions);
    partitions
        .map(|it| {
            let records = it.records.clone().unwrap_or_default();
            (it.partition_index, values_of(&records).len())
        })
        .collect()
}

fn topic_of_many(cluster: &mut Cluster) {
    cluster.create_topic("t", N_PARTITIONS, 1, &[]);
}

#[test]
fn only_what_changed_is_told_and_a_wait_ends_with_the_first_record() {
    let (mut cluster, wire) = node_with(&[]);
    topic_of_many(&mut cluster);
    let mut reader = Reader::open(wire);
    assert_eq!(told(&reader.next(&[], 0)), [], "nothing happened");

    cluster.produce("t", 7, ["a"]);
    assert_eq!(told(&reader.next(&[], 10_000)), [(7, 1)]);
    assert_eq!(
        told(&reader.next(&[], 0)),
        [(7, 1)],
        "again: it did not move on"
    );
    assert_eq!(told(&reader.next(&[(7, 1)], 0)), []);

    let waiting = std::thread::spawn(move || {
        let started = Instant::now();
        let answer = reader.next(&[], 20_000);
        (told(&answer), started.elapsed(), reader)
    });
    cluster.produce("t", 11, ["b", "c"]);
    let (told_of, took, mut reader) = waiting.join().unwrap();
    assert_eq!(told_of, [(11, 2)]);
    assert!(took < Duration::from_secs(10), "woken, after {took:?}");

    let forgotten = FetchRequest {
        forgotten_topics_data: vec![ForgottenTopic {
            topic: "t".to_owned(),
            partitions: vec![11],
            ..ForgottenTopic::default()
        }],
        ..request((reader.id, reader.epoch), &[], 0)
    };
    let answer = reader.wire.call(FETCH_BY_NAME, &forgotten).unwrap();
    assert_eq!((answer.error_code, told(&answer)), (0, Vec::new()));
    reader.epoch += 1;
    cluster.produce("t", 11, ["d"]);
    cluster.produce("t", 12, ["e"]);
    assert_eq!(told(&reader.next(&[], 1000)), [(12, 1)]);
}

#[test]
fn a_session_is_refused_where_it_is_not_what_the_reader_believes() {
    let (mut cluster, wire) = node_with(&[]);
    topic_of_many(&mut cluster);
    let mut reader = Reader::open(wire);
    let refusal = |answer: FetchResponse| (code(answer.error_code), told(&answer).len());
    for epoch in [2, 7] {
        let answer = reader.ask(FETCH_BY_NAME, epoch, &[], 0);
        assert_eq!(refusal(answer), (ErrorCode::InvalidFetchSessionEpoch, 0));
    }
    let answer = reader.ask(13, 1, &[], 0);
    assert_eq!(refusal(answer), (ErrorCode::FetchSessionTopicIdError, 0));
    reader.next(&[], 0);
    let answer = reader.ask(FETCH_BY_NAME, 1, &[], 0);
    assert_eq!(refusal(answer), (ErrorCode::InvalidFetchSessionEpoch, 0));

    let id = std::mem::replace(&mut reader.id, 77);
    let answer = reader.ask(FETCH_BY_NAME, 1, &[], 0);
    assert_eq!(refusal(answer), (ErrorCode::FetchSessionIdNotFound, 0));
    reader.id = id;
    let closing = reader.ask(FETCH_BY_NAME, -1, &[(0, 0)], 0);
    assert_eq!((closing.error_code, closing.session_id), (0, 0));
    let answer = reader.ask(FETCH_BY_NAME, 2, &[], 0);
    assert_eq!(refusal(answer), (ErrorCode::FetchSessionIdNotFound, 0));
}

#[test]
fn a_fetch_that_waits_makes_way_for_the_next_of_its_session() {
    let (mut cluster, wire) = node_with(&[]);
    topic_of_many(&mut cluster);
    let mut reader = Reader::open(wire);
    let started = Instant::now();
    let long = request((reader.id, 1), &[], 25_000);
    reader.wire.send(FETCH_BY_NAME, &long).unwrap();
    let next = request((reader.id, 2), &[(3, 0)], 0);
    reader.wire.send(FETCH_BY_NAME, &next).unwrap();
    for _ in 0..2 {
        let answer = reader.wire.receive::<FetchRequest>(FETCH_BY_NAME).unwrap();
        assert_eq!((answer.error_code, told(&answer)), (0, Vec::new()));
    }
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_topic_made_anew_under_its_old_name_is_read_in_the_same_session() {
    let (mut cluster, wire) = node_with(&["t", "other"]);
    cluster.produce("t", 0, ["old"]);
    let mut wire = wire;
    let answer = wire
        .call(FETCH_BY_NAME, &request((0, 0), &[(0, 0)], 0))
        .unwrap();
    assert_eq!(told(&answer), [(0, 1)]);
    let mut reader = Reader {
        wire,
        id: answer.session_id,
        epoch: 1,
    };
    assert_eq!(told(&reader.next(&[(0, 1)], 0)), []);
    cluster.delete_topic("t");
    let gone = reader.next(&[], 10_000);
    let refused = code(gone.responses[0].partitions[0].error_code);
    assert_eq!(refused, ErrorCode::UnknownTopicOrPartition);
    cluster.create_topic("t", 1, 1, &[]);
    assert_eq!(cluster.produce("t", 0, ["new"]), 0);
    assert_eq!(told(&reader.next(&[(0, 0)], 10_000)), [(0, 1)]);
}
