//! A producer that sends again, because an answer got lost, is answered; its records are stored once.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::ProducerId;
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::schema::produce::PartitionProduceResponse;

use crate::support::client::{ACKS_ALL, PRODUCE_BY_NAME, code, produce_request, produced};
use crate::support::cluster::Cluster;
use crate::support::segments::assert_copies_are_equal;
use crate::support::wait::{seconds, wait_for};

const TOPIC: &str = "once";
const BATCH: i32 = 10;

/// A producer of batches of ten records.
struct Producer {
    epoch: i16,
}

impl Producer {
    /// The `n`-th batch, sent until a leader answers for it.
    #[track_caller]
    fn send(&self, cluster: &mut Cluster, n: i32) -> PartitionProduceResponse {
        let mut batch = BatchBuilder::new().producer(ProducerId(77), self.epoch, n * BATCH);
        for record in 0..BATCH {
            let value = format!("epoch {} batch {n} record {record}", self.epoch);
            batch = batch.value(1_700_000_000_000, value);
        }
        let request = produce_request(TOPIC, 0, ACKS_ALL, batch.build().freeze());
        wait_for("a leader to answer", seconds(20), || {
            let mut wire = cluster.leader_wire(TOPIC, 0);
            let answer = wire
                .call(PRODUCE_BY_NAME, &request)
                .map_err(|error| error.to_string())?;
            let answer = produced(answer);
            match code(answer.error_code) {
                ErrorCode::NotLeaderOrFollower
                | ErrorCode::NotEnoughReplicas
                | ErrorCode::NotEnoughReplicasAfterAppend
                | ErrorCode::RequestTimedOut => Err(format!("{answer:?}")),
                _ => Ok(answer),
            }
        })
    }

    #[track_caller]
    fn expect(&self, cluster: &mut Cluster, n: i32, expected: Result<i64, ErrorCode>) {
        let answer = self.send(cluster, n);
        let found = match code(answer.error_code) {
            ErrorCode::None => Ok(answer.base_offset),
            code => Err(code),
        };
        assert_eq!(found, expected, "batch {n}: {answer:?}");
    }
}

/// Seven batches were acked: exactly the last five are known by their offsets, gaps are refused, and the
/// log goes on where it was.
fn expect_a_window_of_five(cluster: &mut Cluster) {
    let producer = Producer { epoch: 3 };
    for n in 2..7 {
        producer.expect(cluster, n, Ok(i64::from(n * BATCH)));
    }
    for n in [0, 1] {
        let code = code(producer.send(cluster, n).error_code);
        let refused = [
            ErrorCode::DuplicateSequenceNumber,
            // A state that began with a snapshot no longer knows how the producer began.
            ErrorCode::OutOfOrderSequenceNumber,
        ];
        assert!(refused.contains(&code), "batch {n}: {code:?}");
    }
    producer.expect(cluster, 8, Err(ErrorCode::OutOfOrderSequenceNumber));
    let old = Producer { epoch: 2 };
    old.expect(cluster, 7, Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(cluster.high_watermark(TOPIC, 0), 70);
}

fn seven_batches(cluster: &mut Cluster) {
    let producer = Producer { epoch: 3 };
    for n in 0..7 {
        producer.expect(cluster, n, Ok(i64::from(n * BATCH)));
    }
}

#[test]
fn a_retry_after_the_leader_was_killed_is_answered_with_the_first_offset() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, 1, 3, &[]);
    cluster.wait_for_isr(TOPIC, 3, seconds(20));
    seven_batches(&mut cluster);
    let leader = cluster.leader_of(TOPIC, 0);
    cluster.kill9(leader);
    cluster.wait_for_other_leader(TOPIC, 0, leader);
    expect_a_window_of_five(&mut cluster);
    Producer { epoch: 3 }.expect(&mut cluster, 7, Ok(70));

    // The one that died takes what it missed, and knows it when it leads.
    cluster.start_again(leader);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    for other in cluster.others(leader) {
        cluster.kill9(other);
        cluster.start_again(other);
        cluster.wait_for_isr(TOPIC, 3, seconds(30));
    }
    for n in 3..8 {
        Producer { epoch: 3 }.expect(&mut cluster, n, Ok(i64::from(n * BATCH)));
    }
    assert_eq!(cluster.read_all(TOPIC, 0).len(), 80);
    assert_copies_are_equal(&mut cluster, TOPIC, 0);
}

#[test]
fn producers_are_known_after_a_restart_of_everything() {
    let mut cluster = Cluster::start(1);
    cluster.create_topic(TOPIC, 1, 1, &[]);
    seven_batches(&mut cluster);
    cluster.kill9(1);
    cluster.start_again(1);
    expect_a_window_of_five(&mut cluster);
    let status = cluster.node_mut(1).stop();
    assert!(status.success(), "{status}");
    cluster.start_again(1);
    expect_a_window_of_five(&mut cluster);
    Producer { epoch: 4 }.expect(&mut cluster, 1, Err(ErrorCode::OutOfOrderSequenceNumber));
    Producer { epoch: 4 }.expect(&mut cluster, 0, Ok(70));
    assert_eq!(cluster.read_all(TOPIC, 0).len(), 80);
}
