//! Two of three nodes are killed: nothing is acked that could be lost, nothing that was acked is.

use drave_protocol::error_code::ErrorCode;

use crate::support::client::{
    self, ACKS_ALL, PRODUCE_BY_NAME, batch_of, code, produce_request, produced,
};
use crate::support::cluster::Cluster;
use crate::support::lines::line;
use crate::support::wait::{seconds, wait_for};
use crate::support::wire::Wire;

const TOPIC: &str = "kept";
const N_PARTITIONS: i32 = 3;
const N_RECORDS: usize = 1000;

#[test]
fn a_survivor_of_three_acks_nothing_serves_what_it_leads_and_loses_nothing() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, N_PARTITIONS, 3, &[]);
    cluster.wait_for_isr(TOPIC, 3, seconds(10));
    let values: Vec<String> = (0..N_RECORDS).map(line).collect();
    for partition in 0..N_PARTITIONS {
        cluster.produce(TOPIC, partition, &values);
    }
    let survivor = cluster.leader_of(TOPIC, 0);
    let dead = cluster.others(survivor);
    for id in &dead {
        cluster.kill9(*id);
    }

    let mut wire = cluster.wire(survivor);
    assert_refused(&mut wire, "while the others have just died");
    wait_for(
        "the survivor to say that there is no quorum",
        seconds(10),
        || {
            let ready = cluster.node(survivor).get("/health/ready")?;
            let said = ready.text.contains("quorum");
            if ready.status == 503 && said {
                Ok(())
            } else {
                Err(format!("{ready:?}"))
            }
        },
    );
    let described = cluster.node(survivor).get("/v1/cluster").unwrap();
    assert_eq!(
        described.status, 200,
        "what it knows it tells: {}",
        described.text
    );
    let has_quorum = described.json().get("quorum").cloned();
    assert_eq!(has_quorum, Some(false.into()), "{}", described.text);
    assert_refused(&mut wire, "once there is no quorum");
    let read = client::read_all(&mut wire, TOPIC, 0);
    assert_eq!(
        read,
        values.iter().map(String::as_bytes).collect::<Vec<_>>()
    );

    cluster.start_again(dead[0]);
    for partition in 0..N_PARTITIONS {
        let offset = cluster.produce(TOPIC, partition, ["after"]);
        let read = cluster.read_all(TOPIC, partition);
        let kept = values.iter().map(String::as_bytes);
        assert!(
            kept.eq(read.iter().take(N_RECORDS).map(Vec::as_slice)),
            "nothing is lost"
        );
        assert_eq!(read[usize::try_from(offset).unwrap()], b"after");
    }
    cluster.start_again(dead[1]);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
}

/// Refused for want of replicas, not in time, or, once this broker's lease has run out, as by one that no
/// longer leads: a client asks again until its own time is over.
#[track_caller]
fn assert_refused(wire: &mut Wire, when: &str) {
    let mut request = produce_request(TOPIC, 0, ACKS_ALL, batch_of(["not to be acked"]));
    request.timeout_ms = 1500;
    let answer = produced(wire.call(PRODUCE_BY_NAME, &request).unwrap());
    let refusals = [
        ErrorCode::NotEnoughReplicas,
        ErrorCode::NotEnoughReplicasAfterAppend,
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::RequestTimedOut,
    ];
    let refusal = code(answer.error_code);
    assert!(refusals.contains(&refusal), "{refusal:?} {when}");
}
