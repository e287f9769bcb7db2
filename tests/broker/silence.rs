//! Connections over which nothing comes for a while: nobody serves them, and nobody notices.

use drave_protocol::schema::api_versions::ApiVersionsRequest;

use crate::broker::node_with;
use crate::support::cluster::Cluster;
use crate::support::wait::{seconds, wait_until};
use crate::support::wire::Wire;

const OPEN: &str = "kafka_server_socket_server_metrics_connection_count";
const SILENT: &str = "drave_network_silent_connections";

fn wait_for_silence(cluster: &Cluster, n: u64) {
    wait_until(
        &format!("{n} connections to be silent"),
        seconds(20),
        || cluster.metric(1, SILENT) >= n,
    );
}

fn ask(wire: &mut Wire) {
    let answer = wire.call(0, &ApiVersionsRequest::default()).unwrap();
    assert!(!answer.api_keys.is_empty());
}

#[test]
fn who_was_silent_is_answered_as_if_he_had_not_been() {
    const N: u64 = 300;
    let (cluster, _wire) = node_with(&[]);
    let mut wires: Vec<Wire> = (0..N).map(|_| cluster.wire(1)).collect();
    wait_for_silence(&cluster, N);
    for _ in 0..3 {
        wires.iter_mut().step_by(2).for_each(ask);
        wait_for_silence(&cluster, N);
    }
    assert!(cluster.metric(1, OPEN) >= N);
    // All at once, more than are told of at once.
    let request = ApiVersionsRequest::default();
    for wire in &mut wires {
        wire.send(0, &request).unwrap();
    }
    for wire in &mut wires {
        wire.receive::<ApiVersionsRequest>(0).unwrap();
    }
    wait_for_silence(&cluster, N);
    drop(wires);
    wait_until("those that left to be gone", seconds(20), || {
        cluster.metric(1, OPEN) < 10
    });
    assert!(cluster.metric(1, SILENT) < 10);
}

#[test]
fn who_is_silent_for_too_long_is_closed_and_its_place_is_free() {
    let settings = [
        ("connections.max.idle.ms", "2000"),
        ("max.connections", "20"),
    ];
    let cluster = Cluster::start_with(1, &settings);
    let mut wires: Vec<Wire> = (0..10).map(|_| cluster.wire(1)).collect();
    for wire in &mut wires {
        let said = wire.read_to_hang_up(seconds(20)).unwrap();
        assert!(said.is_empty(), "{said:?}");
    }
    let mut wires: Vec<Wire> = (0..10).map(|_| cluster.wire(1)).collect();
    wires.iter_mut().for_each(ask);
}

#[test]
fn a_node_stops_at_once_though_many_are_silent() {
    let (mut cluster, _wire) = node_with(&[]);
    let mut wires: Vec<Wire> = (0..100).map(|_| cluster.wire(1)).collect();
    wait_for_silence(&cluster, 100);
    assert!(cluster.node_mut(1).stop().success());
    for wire in &mut wires {
        assert!(wire.read_to_hang_up(seconds(1)).unwrap().is_empty());
    }
}
