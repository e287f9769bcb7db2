//! Fetch in all versions: whole batches, long polls, and what a stranger may not learn.

use std::time::{Duration, Instant};

use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::Uuid;
use drave_protocol::schema::fetch::{FetchRequest, ReplicaState};

use crate::broker::{node_with, versions};
use crate::support::client::{self, FETCH_BY_NAME, code, fetch_request, fetched, values_of};
use crate::support::cluster::Cluster;

fn request(cluster: &mut Cluster, version: i16, offset: i64) -> FetchRequest {
    let mut request = fetch_request("t", 0, offset);
    if version >= 13 {
        request.topics[0].topic_id = cluster.topic("t").topic_id;
    }
    request
}

#[test]
fn every_version_reads_what_is_committed() {
    let (mut cluster, mut wire) = node_with(&["t"]);
    cluster.produce("t", 0, ["a", "b"]);
    cluster.produce("t", 0, ["c"]);
    for version in versions(ApiKey::Fetch) {
        let answer = wire
            .call(version, &request(&mut cluster, version, 0))
            .unwrap();
        assert_eq!(
            (answer.error_code, answer.session_id),
            (0, 0),
            "no session is offered"
        );
        let data = fetched(answer);
        assert_eq!(code(data.error_code), ErrorCode::None, "v{version}");
        assert_eq!(
            (data.high_watermark, data.last_stable_offset),
            (3, 3),
            "v{version}"
        );
        let records = data.records.unwrap();
        let values = values_of(&records);
        assert_eq!(
            values,
            [(0, b"a".to_vec()), (1, b"b".to_vec()), (2, b"c".to_vec())]
        );
        let end = fetched(
            wire.call(version, &request(&mut cluster, version, 3))
                .unwrap(),
        );
        let nothing = end.records.map(|it| it.len());
        assert_eq!(nothing, Some(0), "v{version}: empty, not null");
    }
}

#[test]
fn offsets_out_of_range_and_unknown_places_are_refused() {
    let (mut cluster, mut wire) = node_with(&["t"]);
    cluster.produce("t", 0, ["a"]);
    for version in versions(ApiKey::Fetch) {
        for offset in [2, 1000, -5] {
            let asked = request(&mut cluster, version, offset);
            let data = fetched(wire.call(version, &asked).unwrap());
            assert_eq!(
                code(data.error_code),
                ErrorCode::OffsetOutOfRange,
                "v{version} at {offset}"
            );
        }
        let mut asked = request(&mut cluster, version, 0);
        asked.topics[0].partitions[0].partition = 4;
        let data = fetched(wire.call(version, &asked).unwrap());
        assert_eq!(
            code(data.error_code),
            ErrorCode::UnknownTopicOrPartition,
            "v{version}"
        );
        asked.topics[0].topic = "nowhere".to_owned();
        asked.topics[0].topic_id = Uuid([5; 16]);
        let data = fetched(wire.call(version, &asked).unwrap());
        let unknown = if version >= 13 {
            ErrorCode::UnknownTopicId
        } else {
            ErrorCode::UnknownTopicOrPartition
        };
        assert_eq!(code(data.error_code), unknown, "v{version}");
    }
}

#[test]
fn a_leader_epoch_that_is_not_the_leaders_is_refused() {
    let (mut cluster, mut wire) = node_with(&["t"]);
    cluster.produce("t", 0, ["a"]);
    let epoch = cluster.partition("t", 0).leader_epoch;
    let mut asked = fetch_request("t", 0, 0);
    let mut with_epoch = |epoch| {
        asked.topics[0].partitions[0].current_leader_epoch = epoch;
        code(fetched(wire.call(FETCH_BY_NAME, &asked).unwrap()).error_code)
    };
    assert_eq!(with_epoch(epoch), ErrorCode::None);
    assert_eq!(with_epoch(epoch + 1), ErrorCode::UnknownLeaderEpoch);
    if epoch > 0 {
        assert_eq!(with_epoch(epoch - 1), ErrorCode::FencedLeaderEpoch);
    }
}

#[test]
fn batches_come_whole_and_the_first_even_when_it_is_larger_than_asked_for() {
    let (mut cluster, mut wire) = node_with(&["t"]);
    cluster.produce("t", 0, ["a", "b", "c"]);
    cluster.produce("t", 0, ["d"]);
    let mut asked = fetch_request("t", 0, 1);
    asked.topics[0].partitions[0].partition_max_bytes = 1;
    let data = fetched(wire.call(FETCH_BY_NAME, &asked).unwrap());
    let offsets: Vec<i64> = values_of(&data.records.unwrap())
        .iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(
        offsets,
        [0, 1, 2],
        "the batch that holds offset 1, and no other"
    );
    asked.topics[0].partitions[0].partition_max_bytes = 1024 * 1024;
    asked.max_bytes = 1;
    let data = fetched(wire.call(FETCH_BY_NAME, &asked).unwrap());
    let n_values = values_of(&data.records.unwrap()).len();
    assert_eq!(n_values, 3, "so the limit of the whole request");
}

#[test]
fn the_limit_of_a_request_is_shared_and_no_partition_starves() {
    let (mut cluster, mut wire) = node_with(&[]);
    cluster.create_topic("t", 3, 1, &[]);
    for partition in 0..3 {
        for _ in 0..4 {
            cluster.produce("t", partition, ["x".repeat(1000)]);
        }
    }
    let mut asked = fetch_request("t", 0, 0);
    let template = asked.topics[0].partitions[0].clone();
    asked.topics[0].partitions.clear();
    for partition in 0..3 {
        let mut of = template.clone();
        of.partition = partition;
        asked.topics[0].partitions.push(of);
    }
    asked.max_bytes = 2500;
    let answer = wire.call(FETCH_BY_NAME, &asked).unwrap();
    let sizes = answer.responses[0]
        .partitions
        .iter()
        .map(|it| it.records.as_ref().unwrap().len());
    let sizes: Vec<usize> = sizes.collect();
    assert!(sizes.iter().sum::<usize>() <= 2500, "{sizes:?}");
    assert!(sizes[0] > 0, "{sizes:?}");
}

#[test]
fn a_long_poll_waits_its_time_when_nothing_comes() {
    let (_cluster, mut wire) = node_with(&["t"]);
    let mut asked = fetch_request("t", 0, 0);
    (asked.max_wait_ms, asked.min_bytes) = (400, 1);
    let began = Instant::now();
    let data = fetched(wire.call(FETCH_BY_NAME, &asked).unwrap());
    let took = began.elapsed();
    assert_eq!(data.records.map(|it| it.len()), Some(0));
    let bounds = Duration::from_millis(380)..Duration::from_secs(2);
    assert!(bounds.contains(&took), "{took:?}");
}

#[test]
fn a_long_poll_is_answered_by_the_record_it_waits_for() {
    let (mut cluster, mut wire) = node_with(&["t"]);
    let mut asked = fetch_request("t", 0, 0);
    (asked.max_wait_ms, asked.min_bytes) = (20_000, 1);
    wire.send(FETCH_BY_NAME, &asked).unwrap();
    let began = Instant::now();
    cluster.produce("t", 0, ["at last"]);
    let data = fetched(wire.receive::<FetchRequest>(FETCH_BY_NAME).unwrap());
    assert_eq!(
        values_of(&data.records.unwrap()),
        [(0, b"at last".to_vec())]
    );
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_long_poll_for_much_is_not_answered_by_little() {
    let (mut cluster, mut wire) = node_with(&["t"]);
    let mut asked = fetch_request("t", 0, 0);
    (asked.max_wait_ms, asked.min_bytes) = (20_000, 3000);
    wire.send(FETCH_BY_NAME, &asked).unwrap();
    for _ in 0..4 {
        cluster.produce("t", 0, ["x".repeat(900)]);
    }
    let data = fetched(wire.receive::<FetchRequest>(FETCH_BY_NAME).unwrap());
    let n_bytes = data.records.unwrap().len();
    assert!(n_bytes >= 3000, "{n_bytes} bytes");
}

#[test]
fn who_claims_to_be_a_replica_without_being_one_gets_nothing() {
    let (mut cluster, mut wire) = node_with(&["t"]);
    cluster.produce("t", 0, ["a"]);
    for version in versions(ApiKey::Fetch) {
        let mut asked = request(&mut cluster, version, 0);
        if version >= 15 {
            asked.replica_state = ReplicaState {
                replica_id: 2,
                replica_epoch: 1,
            };
        } else {
            asked.replica_id = 2;
        }
        let data = fetched(wire.call(version, &asked).unwrap());
        assert_ne!(data.error_code, 0, "v{version}");
        assert_eq!(data.records.map(|it| it.len()), Some(0), "v{version}");
    }
    let data = client::fetch(&mut wire, "t", 0, 0).unwrap();
    assert_eq!(data.error_code, 0, "a consumer is served as before");
}

#[test]
fn a_session_nobody_opened_is_refused() {
    let (mut cluster, mut wire) = node_with(&["t"]);
    for version in 7..=17 {
        let mut asked = request(&mut cluster, version, 0);
        (asked.session_id, asked.session_epoch) = (12, 3);
        let answer = wire.call(version, &asked).unwrap();
        assert_eq!(
            code(answer.error_code),
            ErrorCode::FetchSessionIdNotFound,
            "v{version}"
        );
    }
}
