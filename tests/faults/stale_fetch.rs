//! F6: a fetch of a process that is gone, late on its way (KIP-903).

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::fetch::{FetchPartition, FetchRequest, FetchTopic, ReplicaState};

use crate::support::client::code;
use crate::support::cluster::Cluster;
use crate::support::wait::{seconds, wait_for};

const TOPIC: &str = "kept";
const BY_ID: i16 = 17;

#[test]
fn a_fetch_of_a_process_that_is_gone_lets_nobody_into_the_isr() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic_on(TOPIC, &[&[1, 2, 3]], &[]);
    cluster.wait_for_isr(TOPIC, 3, seconds(20));
    cluster.produce(TOPIC, 0, ["before"]);
    let old_epoch = broker_epoch(&mut cluster, 3);
    cluster.kill9(3);
    cluster.spokesman = 1;
    wait_for("3 to be out of the ISR", seconds(20), || {
        let found = cluster.partition(TOPIC, 0);
        let is_out = !found.isr_nodes.contains(&3);
        is_out.then_some(()).ok_or(format!("{found:?}"))
    });
    let leader = cluster.leader_of(TOPIC, 0);
    for number in 0..20 {
        let end = cluster.produce(TOPIC, 0, [format!("without it {number}")]) + 1;
        let topic = cluster.topic(TOPIC);
        let epoch = topic.partitions[0].leader_epoch;
        let request = FetchRequest {
            replica_state: ReplicaState {
                replica_id: 3,
                replica_epoch: old_epoch,
            },
            topics: vec![FetchTopic {
                topic_id: topic.topic_id,
                partitions: vec![FetchPartition {
                    partition: 0,
                    current_leader_epoch: epoch,
                    // As if it had everything.
                    fetch_offset: end,
                    last_fetched_epoch: epoch,
                    log_start_offset: 0,
                    partition_max_bytes: 1 << 20,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let answer = cluster.wire(leader).call(BY_ID, &request).unwrap();
        let refused = answer
            .responses
            .iter()
            .flat_map(|it| &it.partitions)
            .map(|it| it.error_code)
            .chain([answer.error_code])
            .any(|it| code(it) != ErrorCode::None);
        assert!(refused, "it is answered as if it were there: {answer:?}");
        let found = cluster.partition(TOPIC, 0);
        assert!(!found.isr_nodes.contains(&3), "{found:?}");
    }
    cluster.start_again(3);
    assert!(broker_epoch(&mut cluster, 3) > old_epoch);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    assert_eq!(cluster.read_all(TOPIC, 0).len(), 21);
}

fn broker_epoch(cluster: &mut Cluster, id: i32) -> i64 {
    let described = cluster.describe().unwrap();
    let nodes = described["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|it| it["node"] == id).unwrap();
    node["broker_epoch"].as_i64().unwrap()
}
