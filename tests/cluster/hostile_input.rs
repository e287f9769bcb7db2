//! Bytes that are no request: their connection is closed, with one line in the log, and that is all.

use crate::support::client::{batch_of, produce_request};
use crate::support::cluster::Cluster;
use crate::support::hostile::{self, Lie};
use crate::support::node::Node;
use crate::support::steady::Steady;
use crate::support::wait::{seconds, wait_for, wait_until};
use crate::support::wire::{Wire, header};

use drave_protocol::api::ApiKey;
use drave_protocol::frame::encode_request;

const TOPIC: &str = "undisturbed";
const ROUNDS: usize = 8;
const MIB: u64 = 1024 * 1024;
/// What an allocator keeps for later; a believed 2 GiB length, or the elements it promises, is far above.
const GROWTH_BYTES_MAX: u64 = 24 * MIB;

#[test]
fn hostile_bytes_close_their_own_connection_with_one_log_line_and_take_no_memory() {
    let mut cluster = Cluster::start(1);
    cluster.create_topic(TOPIC, 1, 1, &[]);
    let node = cluster.node(1);
    let steady = Steady::to_node(node.ports.kafka, TOPIC, 0);
    wait_until("the producer to be under way", seconds(20), || {
        steady.n_acked() >= 50
    });

    // Once before memory is looked at: what a first time takes is not growth.
    let inputs = inputs();
    for input in &inputs {
        assert_closed_with_one_line(node, input);
    }
    let resident = node.resident_bytes();
    for _ in 0..ROUNDS {
        for input in &inputs {
            assert_closed_with_one_line(node, input);
        }
    }
    let grown = node.resident_bytes().saturating_sub(resident);
    assert!(grown < GROWTH_BYTES_MAX, "grew by {} MiB", grown / MIB);

    let before = steady.n_acked();
    wait_until("the producer to get on", seconds(20), || {
        steady.n_acked() >= before + 50
    });
    let account = steady.stop();
    assert_eq!(account.errors, Vec::<String>::new());
}

fn inputs() -> Vec<Lie> {
    let mut inputs = hostile::huge_arrays();
    let mut add = |name: &str, frame: Vec<u8>| {
        let name = name.to_owned();
        inputs.push(Lie { name, frame });
    };
    add("a mebibyte of noise", hostile::noise(1024 * 1024, 7));
    add("another mebibyte of noise", hostile::noise(1024 * 1024, 11));
    add("a frame of 2 GiB", 0x7fff_ffff_i32.to_be_bytes().to_vec());
    add(
        "a frame of negative length",
        (-5_i32).to_be_bytes().to_vec(),
    );
    add("a frame of length 0", 0_i32.to_be_bytes().to_vec());
    add("a truncated frame", truncated_frame());
    add(
        "a request of an API there is not",
        hostile::framed(&[0x7f, 0, 0, 0, 0, 0, 0, 1, 0, 0]),
    );
    add(
        "an HTTP request",
        b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n".to_vec(),
    );
    inputs
}

fn truncated_frame() -> Vec<u8> {
    let request = produce_request(TOPIC, 0, 1, batch_of(["cut off"]));
    let frame = encode_request(&header(ApiKey::Produce, 12, 1), &request).unwrap();
    frame[..frame.len() - 10].to_vec()
}

#[track_caller]
fn assert_closed_with_one_line(node: &Node, input: &Lie) {
    let lines_before = node.output().lines().count();
    let mut wire = Wire::connect(node.ports.kafka).unwrap();
    // The far end may hang up before it has read everything.
    let _ = wire.send_bytes(&input.frame);
    if input.name.contains("truncated") {
        wire.finish_sending();
    }
    let answer = wire.read_to_hang_up(seconds(10));
    let said = answer.unwrap_or_else(|error| panic!("{}: not hung up: {error}", input.name));
    assert_eq!(said, Vec::<u8>::new(), "{}: no answer is due", input.name);
    let lines = || -> Vec<String> {
        let output = node.output();
        output
            .lines()
            .skip(lines_before)
            .map(str::to_owned)
            .collect()
    };
    wait_for(&format!("{}: a log line", input.name), seconds(5), || {
        if lines().is_empty() {
            Err("none".to_owned())
        } else {
            Ok(())
        }
    });
    let lines = lines();
    assert_eq!(lines.len(), 1, "{}: {lines:#?}", input.name);
}
