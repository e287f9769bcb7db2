//! Many groups of many members on three nodes: what they take, and how soon another node has them.
//!
//! `make measure-groups` is the long form: 1,000 groups of 10 members with 10 partitions each.

use std::time::{Duration, Instant};

use bytes::Bytes;
use drave_protocol::schema::heartbeat::HeartbeatRequest;
use drave_protocol::schema::join_group::JoinGroupRequest;
use drave_protocol::schema::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use drave_protocol::schema::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use crate::support::cluster::Cluster;
use crate::support::groups::{self, FAILOVER, committed, join_request};
use crate::support::wait::{seconds, wait_for};
use crate::support::wire::Wire;

const TOPIC: &str = "read-by-many";
const N_MEMBERS: usize = 10;
const N_PARTITIONS_EACH: i32 = 10;
const HEARTBEAT_INTERVAL: Duration = seconds(3);
/// Old enough to join without an id, so that requests of many can be sent at once.
const JOIN: i16 = 3;
const SYNC: i16 = 5;
const HEARTBEAT: i16 = 4;
const COMMIT: i16 = 9;

/// One group, formed, and the connection to its coordinator.
struct Formed {
    name: String,
    coordinator: i32,
    generation: i32,
    members: Vec<String>,
}

fn n_groups() -> usize {
    let set = std::env::var("N_GROUPS").ok().filter(|it| !it.is_empty());
    set.map_or(30, |it| it.parse().expect("N_GROUPS is a number"))
}

fn form(wires: &mut [Wire], name: String) -> Formed {
    let place = groups::loaded_coordinator(wires, &name);
    let wire = &mut wires[place];
    let coordinator = i32::try_from(place + 1).unwrap();
    let request = JoinGroupRequest {
        session_timeout_ms: 300_000,
        rebalance_timeout_ms: 300_000,
        ..join_request(&name, "", TOPIC)
    };
    for _ in 0..N_MEMBERS {
        wire.send(JOIN, &request).unwrap();
    }
    let mut members = Vec::new();
    let mut joined = Vec::new();
    for _ in 0..N_MEMBERS {
        let answer = wire.receive::<JoinGroupRequest>(JOIN).unwrap();
        assert_eq!(answer.error_code, 0, "{name}");
        members.push(answer.member_id.clone());
        joined.push(answer);
    }
    let generation = joined[0].generation_id;
    assert!(joined.iter().all(|it| it.generation_id == generation));
    // Sixty bytes, as an assignment of ten partitions takes.
    let assignments = members.iter().map(|it| SyncGroupRequestAssignment {
        member_id: it.clone(),
        assignment: Bytes::from_static(&[7; 60]),
    });
    let assignments: Vec<SyncGroupRequestAssignment> = assignments.collect();
    for member in &members {
        let request = SyncGroupRequest {
            group_id: name.clone(),
            generation_id: generation,
            member_id: member.clone(),
            assignments: if *member == joined[0].leader {
                assignments.clone()
            } else {
                Vec::new()
            },
            ..SyncGroupRequest::default()
        };
        wire.send(SYNC, &request).unwrap();
    }
    for _ in 0..N_MEMBERS {
        let answer = wire.receive::<SyncGroupRequest>(SYNC).unwrap();
        assert_eq!((answer.error_code, answer.assignment.len()), (0, 60));
    }
    Formed {
        name,
        coordinator,
        generation,
        members,
    }
}

fn commit(wires: &mut [Wire], group: &Formed) {
    let wire = &mut wires[usize::try_from(group.coordinator - 1).unwrap()];
    for (n, member) in (0..).zip(&group.members) {
        let own = n * N_PARTITIONS_EACH..(n + 1) * N_PARTITIONS_EACH;
        let partitions = own.map(|partition_index| OffsetCommitRequestPartition {
            partition_index,
            committed_offset: 42,
            ..OffsetCommitRequestPartition::default()
        });
        let request = OffsetCommitRequest {
            group_id: group.name.clone(),
            generation_id_or_member_epoch: group.generation,
            member_id: member.clone(),
            topics: vec![OffsetCommitRequestTopic {
                name: TOPIC.to_owned(),
                partitions: partitions.collect(),
                ..OffsetCommitRequestTopic::default()
            }],
            ..OffsetCommitRequest::default()
        };
        wire.send(COMMIT, &request).unwrap();
    }
    for _ in &group.members {
        let answer = wire.receive::<OffsetCommitRequest>(COMMIT).unwrap();
        let mut partitions = answer.topics.iter().flat_map(|it| &it.partitions);
        assert!(partitions.all(|it| it.error_code == 0), "{}", group.name);
    }
}

/// Heartbeats of all members, spread over the interval as they would come.
fn beat(wires: &mut [Wire], formed: &[Formed]) {
    let began = Instant::now();
    for (n, group) in (1..).zip(formed) {
        let wire = &mut wires[usize::try_from(group.coordinator - 1).unwrap()];
        for member in &group.members {
            let request = HeartbeatRequest {
                group_id: group.name.clone(),
                generation_id: group.generation,
                member_id: member.clone(),
                ..HeartbeatRequest::default()
            };
            let answer = wire.call(HEARTBEAT, &request).unwrap();
            assert_eq!(answer.error_code, 0);
        }
        let share = f64::from(n) / f64::from(u32::try_from(formed.len()).unwrap());
        let due = began + HEARTBEAT_INTERVAL.mul_f64(share);
        std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
    }
}

#[test]
fn many_groups_move_to_another_node_whole() {
    let n_groups = n_groups();
    let settings = [("group.initial.rebalance.delay.ms", "20")];
    let mut cluster = Cluster::start_with(3, &settings);
    let n_partitions = i32::try_from(N_MEMBERS).unwrap() * N_PARTITIONS_EACH;
    cluster.create_topic(TOPIC, n_partitions, 1, &[]);
    groups::coordinator(&mut cluster.wire(1), "first");
    let rss = |cluster: &Cluster| -> u64 {
        cluster
            .ids()
            .iter()
            .map(|it| cluster.node(*it).resident_bytes() / 1024)
            .sum()
    };
    let mut wires: Vec<Wire> = cluster.ids().iter().map(|it| cluster.wire(*it)).collect();
    let before = rss(&cluster);
    let began = Instant::now();
    let names = (0..n_groups).map(|n| format!("group-{n}"));
    let formed: Vec<Formed> = names.map(|it| form(&mut wires, it)).collect();
    for group in &formed {
        commit(&mut wires, group);
    }
    let n_offsets = n_groups * N_MEMBERS * usize::try_from(N_PARTITIONS_EACH).unwrap();
    println!(
        "{n_groups} groups, {} members, {n_offsets} offsets formed and committed in {:?}; three nodes grew by {} kB",
        n_groups * N_MEMBERS,
        began.elapsed(),
        rss(&cluster).saturating_sub(before),
    );
    let cpu = |cluster: &Cluster| -> f64 {
        cluster
            .ids()
            .iter()
            .map(|it| cluster.node(*it).cpu_seconds())
            .sum()
    };
    let (idle_from, idle_began) = (cpu(&cluster), Instant::now());
    std::thread::park_timeout(HEARTBEAT_INTERVAL);
    let idle = (cpu(&cluster) - idle_from) / idle_began.elapsed().as_secs_f64();
    let (busy_from, busy_began) = (cpu(&cluster), Instant::now());
    beat(&mut wires, &formed);
    let busy = (cpu(&cluster) - busy_from) / busy_began.elapsed().as_secs_f64();
    println!(
        "heartbeats every {HEARTBEAT_INTERVAL:?}: {:.1} % of a core on three nodes, {:.1} % without",
        busy * 100.0,
        idle * 100.0
    );
    let victim = formed[0].coordinator;
    let survivor = cluster.others(victim)[0];
    let killed = Instant::now();
    cluster.kill9(victim);
    for group in formed.iter().filter(|it| it.coordinator == victim) {
        wait_for("the group's offsets", FAILOVER, || {
            let found = groups::find(&mut cluster.wire(survivor), &group.name);
            let node = found.ok().flatten().filter(|it| *it != victim);
            let mut wire = cluster.wire(node.ok_or("no coordinator yet")?);
            let offset = committed(&mut wire, &group.name, TOPIC, 0);
            match offset.map_err(|it| it.to_string())? {
                Ok(42) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }
    let n_moved = formed.iter().filter(|it| it.coordinator == victim).count();
    for node in cluster.others(victim) {
        let said = cluster.node(node).output();
        for line in said.lines().filter(|it| it.contains("coordinates groups")) {
            println!("node {node}: {line}");
        }
    }
    println!(
        "{n_moved} groups answered elsewhere {:?} after their node was killed",
        killed.elapsed()
    );
}
