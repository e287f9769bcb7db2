//! Twenty members of a classic group come, leave and crash, and the broker that coordinates them is killed.
//!
//! What must hold: no partition is owned by two members of a generation; every record is consumed; what was
//! committed never goes back. `make churn DURATION=10m` is the long form.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::heartbeat::HeartbeatRequest;
use drave_protocol::schema::join_group::{JoinGroupRequest, JoinGroupResponse};
use drave_protocol::schema::leave_group::{LeaveGroupRequest, MemberIdentity};
use drave_protocol::schema::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use parking_lot::Mutex;

use crate::support::client::{code, fetch, topic_metadata, values_of};
use crate::support::cluster::Cluster;
use crate::support::groups::{self, COMMIT_BY_NAME, commit_request, committed, join_request};
use crate::support::librdkafka::Librdkafka;
use crate::support::wait::{pause, seconds, wait_until};
use crate::support::wire::Wire;

const TOPIC: &str = "churned";
const GROUP: &str = "churners";
const N_PARTITIONS: i32 = 30;
const N_MEMBERS: u64 = 20;
const KILL_EVERY: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_secs(25);

/// What all members did, judged as it happens.
#[derive(Default)]
struct Oracle {
    owners: BTreeMap<(i32, i32), String>,
    /// By partition and generation: the least and the most committed.
    commits: BTreeMap<(i32, i32), (i64, i64)>,
    consumed: BTreeMap<i32, BTreeSet<i64>>,
    rebalances: Vec<Duration>,
    n_crashes: usize,
    violations: Vec<String>,
}

impl Oracle {
    fn assigned(&mut self, generation: i32, member: &str, partitions: &[i32]) {
        for partition in partitions {
            let owner = self.owners.entry((generation, *partition));
            let owner = owner.or_insert_with(|| member.to_owned());
            if owner != member {
                self.violations.push(format!(
                    "partition {partition} of generation {generation}: {owner} and {member}"
                ));
            }
        }
    }

    fn most_committed(&self, partition: i32) -> i64 {
        let all = self.commits.range((partition, 0)..=(partition, i32::MAX));
        all.map(|(_, (_, most))| *most).max().unwrap_or(-1)
    }

    fn committed(&mut self, partition: i32, generation: i32, offset: i64) {
        let before = self.commits.range((partition, 0)..(partition, generation));
        let before = before.map(|(_, (_, most))| *most).max().unwrap_or(-1);
        if offset < before {
            self.violations.push(format!(
                "partition {partition}: {offset} committed in generation {generation}, {before} before it"
            ));
        }
        let span = self
            .commits
            .entry((partition, generation))
            .or_insert((offset, offset));
        *span = (span.0.min(offset), span.1.max(offset));
    }
}

struct Scene {
    ports: Vec<u16>,
    oracle: Mutex<Oracle>,
    is_over: AtomicBool,
    seed: AtomicU64,
}

/// Whether the member goes on with this coordinator.
enum Turn {
    Again,
    Lost,
}

impl Scene {
    fn chance(&self, below: u64) -> u64 {
        let next = self
            .seed
            .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mixed = (next ^ (next >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 32)) % below
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn any(&self) -> Option<Wire> {
        let n_ports = u64::try_from(self.ports.len()).unwrap();
        let at = usize::try_from(self.chance(n_ports)).unwrap();
        connect(self.ports[at])
    }

    fn coordinator(&self) -> Option<Wire> {
        let node = groups::find(&mut self.any()?, GROUP).ok()??;
        connect(self.ports[usize::try_from(node - 1).unwrap()])
    }

    /// One life after another.
    fn live(&self) {
        while !self.is_over() {
            let life = Duration::from_millis(3_000 + self.chance(9_000));
            let crashes = self.chance(3) == 0;
            let mut member = Member {
                scene: self,
                id: String::new(),
                ends: Instant::now() + life,
                leaders: BTreeMap::new(),
            };
            member.live(crashes);
        }
    }
}

fn connect(port: u16) -> Option<Wire> {
    let mut wire = Wire::connect(port).ok()?;
    wire.read_timeout(seconds(15));
    Some(wire)
}

struct Member<'s> {
    scene: &'s Scene,
    id: String,
    ends: Instant,
    /// Connections to those who lead the partitions.
    leaders: BTreeMap<i32, Wire>,
}

impl Member<'_> {
    fn live(&mut self, crashes: bool) {
        while !self.is_done() {
            let Some(mut wire) = self.scene.coordinator() else {
                pause();
                continue;
            };
            while !self.is_done() {
                if let Some(Turn::Again) = self.generation(&mut wire) {
                    continue;
                }
                pause();
                break;
            }
            if self.is_done() && !crashes {
                self.leave(&mut wire);
            }
        }
        self.scene.oracle.lock().n_crashes += usize::from(crashes);
    }

    fn is_done(&self) -> bool {
        self.scene.is_over() || Instant::now() >= self.ends
    }

    fn leave(&self, wire: &mut Wire) {
        let request = LeaveGroupRequest {
            group_id: GROUP.to_owned(),
            members: vec![MemberIdentity {
                member_id: self.id.clone(),
                ..MemberIdentity::default()
            }],
            ..LeaveGroupRequest::default()
        };
        // Who cannot leave is given up after its session.
        drop(wire.call(5, &request));
    }

    /// Joins, and consumes until the group rebalances.
    fn generation(&mut self, wire: &mut Wire) -> Option<Turn> {
        let began = Instant::now();
        let request = JoinGroupRequest {
            session_timeout_ms: 3_000,
            rebalance_timeout_ms: 5_000,
            ..join_request(GROUP, &self.id, TOPIC)
        };
        let joined = wire.call(9, &request).ok()?;
        match code(joined.error_code) {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.id = joined.member_id;
                return Some(Turn::Again);
            }
            ErrorCode::UnknownMemberId => {
                self.id.clear();
                return Some(Turn::Again);
            }
            ErrorCode::RebalanceInProgress => return Some(Turn::Again),
            _ => return Some(Turn::Lost),
        }
        let synced = wire.call(5, &sync_request(&joined)).ok()?;
        if let Some(turn) = self.ended_by(code(synced.error_code)) {
            return Some(turn);
        }
        let partitions = partitions_of(synced.assignment);
        {
            let mut oracle = self.scene.oracle.lock();
            oracle.assigned(joined.generation_id, &self.id, &partitions);
            oracle.rebalances.push(began.elapsed());
        }
        self.consume(wire, joined.generation_id, &partitions)
    }

    /// What becomes of a member that got this answer; `None`: it goes on.
    fn ended_by(&mut self, answer: ErrorCode) -> Option<Turn> {
        match answer {
            ErrorCode::None => None,
            ErrorCode::RebalanceInProgress => Some(Turn::Again),
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                self.id.clear();
                Some(Turn::Again)
            }
            _ => Some(Turn::Lost),
        }
    }

    fn consume(&mut self, wire: &mut Wire, generation: i32, partitions: &[i32]) -> Option<Turn> {
        let mut positions = BTreeMap::new();
        for partition in partitions {
            let before = self.scene.oracle.lock().most_committed(*partition);
            let Ok(offset) = committed(wire, GROUP, TOPIC, *partition).ok()? else {
                return Some(Turn::Lost);
            };
            if offset < before {
                let mut oracle = self.scene.oracle.lock();
                oracle.violations.push(format!(
                    "partition {partition}: {offset} fetched in generation {generation}, {before} was acked"
                ));
            }
            positions.insert(*partition, offset.max(0));
        }
        while !self.is_done() {
            let beat = self.heartbeat(wire, generation)?;
            if let Some(turn) = self.ended_by(beat) {
                return Some(turn);
            }
            for (partition, position) in &mut positions {
                self.read(*partition, position);
                if !self.commit(wire, generation, *partition, *position)? {
                    break;
                }
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
        Some(Turn::Again)
    }

    fn heartbeat(&self, wire: &mut Wire, generation: i32) -> Option<ErrorCode> {
        let request = HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation_id: generation,
            member_id: self.id.clone(),
            ..HeartbeatRequest::default()
        };
        Some(code(wire.call(4, &request).ok()?.error_code))
    }

    /// Takes what there is; a leader that is gone is looked for with the next turn.
    fn read(&mut self, partition: i32, position: &mut i64) {
        let Some(wire) = self.leader(partition) else {
            return;
        };
        let Some(found) = fetch(wire, TOPIC, partition, *position)
            .ok()
            .filter(|it| it.error_code == 0)
        else {
            self.leaders.remove(&partition);
            return;
        };
        let records = values_of(&found.records.unwrap_or_default());
        let mut oracle = self.scene.oracle.lock();
        let consumed = oracle.consumed.entry(partition).or_default();
        let from = *position;
        for (offset, _) in records.into_iter().filter(|(offset, _)| *offset >= from) {
            consumed.insert(offset);
            *position = offset + 1;
        }
    }

    fn leader(&mut self, partition: i32) -> Option<&mut Wire> {
        if !self.leaders.contains_key(&partition) {
            let topic = topic_metadata(&mut self.scene.any()?, TOPIC).ok()?;
            let found = topic
                .partitions
                .iter()
                .find(|it| it.partition_index == partition)?;
            let node = usize::try_from(found.leader_id - 1).ok()?;
            self.leaders
                .insert(partition, connect(*self.scene.ports.get(node)?)?);
        }
        self.leaders.get_mut(&partition)
    }

    /// Whether it is still this member's to commit.
    fn commit(
        &self,
        wire: &mut Wire,
        generation: i32,
        partition: i32,
        offset: i64,
    ) -> Option<bool> {
        let mut request = commit_request(GROUP, TOPIC, partition, offset);
        request.member_id.clone_from(&self.id);
        request.generation_id_or_member_epoch = generation;
        let answer = wire.call(COMMIT_BY_NAME, &request).ok()?;
        let is_acked = answer.topics[0].partitions[0].error_code == 0;
        if is_acked {
            let mut oracle = self.scene.oracle.lock();
            oracle.committed(partition, generation, offset);
        }
        Some(is_acked)
    }
}

/// The leader deals the partitions out in turn.
fn sync_request(joined: &JoinGroupResponse) -> SyncGroupRequest {
    let members = &joined.members;
    let deal = |n: usize| {
        let all = 0..usize::try_from(N_PARTITIONS).unwrap();
        let mut bytes = BytesMut::new();
        for partition in all.filter(|it| it % members.len() == n) {
            bytes.put_i32(i32::try_from(partition).unwrap());
        }
        bytes.freeze()
    };
    let assignments = members.iter().enumerate();
    SyncGroupRequest {
        group_id: GROUP.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: assignments
            .map(|(n, member)| SyncGroupRequestAssignment {
                member_id: member.member_id.clone(),
                assignment: deal(n),
            })
            .collect(),
        ..SyncGroupRequest::default()
    }
}

fn partitions_of(mut assignment: Bytes) -> Vec<i32> {
    let mut partitions = Vec::new();
    while assignment.remaining() >= size_of::<i32>() {
        partitions.push(assignment.get_i32());
    }
    partitions
}

fn duration() -> Duration {
    let Ok(text) = std::env::var("CHURN_SECONDS") else {
        return SHORT;
    };
    Duration::from_secs(text.parse().expect("CHURN_SECONDS is a number"))
}

#[test]
fn twenty_members_come_and_go_while_their_coordinator_is_killed() {
    let settings = [
        ("group.min.session.timeout.ms", "1000"),
        ("group.initial.rebalance.delay.ms", "300"),
        ("offsets.topic.num.partitions", "5"),
    ];
    let mut cluster = Cluster::start_with(3, &settings);
    cluster.create_topic(TOPIC, N_PARTITIONS, 3, &[("min.insync.replicas", "2")]);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    groups::coordinator(&mut cluster.wire(1), GROUP);
    let producing = [
        ("enable.idempotence", "true"),
        ("message.timeout.ms", "120000"),
    ];
    let producer = Librdkafka::new(&cluster.bootstrap(), &producing);
    let scene = Scene {
        ports: cluster
            .ids()
            .iter()
            .map(|it| cluster.node(*it).ports.kafka)
            .collect(),
        oracle: Mutex::default(),
        is_over: AtomicBool::new(false),
        seed: AtomicU64::new(7),
    };
    let mut n_kills = 0;
    let mut ends = BTreeMap::new();
    std::thread::scope(|scope| {
        for _ in 0..N_MEMBERS {
            scope.spawn(|| scene.live());
        }
        let until = Instant::now() + duration();
        let mut next_kill = Instant::now() + KILL_EVERY;
        let mut n_sent = 0;
        while Instant::now() < until {
            producer.send(TOPIC, None, n_sent, &n_sent.to_string());
            n_sent += 1;
            std::thread::park_timeout(Duration::from_millis(5));
            if Instant::now() >= next_kill {
                next_kill += KILL_EVERY;
                let found = groups::find(&mut cluster.wire(1), GROUP);
                let victim = found.unwrap().unwrap_or(1);
                cluster.kill9(victim);
                n_kills += 1;
                cluster.start_again(victim);
            }
        }
        let reports = producer.finish(seconds(120));
        assert!(reports.deliveries.iter().all(|it| it.outcome.is_ok()));
        for partition in 0..N_PARTITIONS {
            ends.insert(partition, cluster.high_watermark(TOPIC, partition));
        }
        wait_until("all to be consumed and committed", seconds(120), || {
            let oracle = scene.oracle.lock();
            ends.iter()
                .all(|(partition, end)| oracle.most_committed(*partition) >= *end)
        });
        scene.is_over.store(true, Ordering::Relaxed);
    });
    let oracle = scene.oracle.into_inner();
    tell(&oracle, n_kills);
    assert!(oracle.violations.is_empty(), "{:#?}", oracle.violations);
    for (partition, end) in ends {
        let consumed = oracle.consumed.get(&partition).map_or(0, BTreeSet::len);
        assert_eq!(
            i64::try_from(consumed).unwrap(),
            end,
            "partition {partition}"
        );
    }
}

fn tell(oracle: &Oracle, n_kills: usize) {
    let mut rebalances = oracle.rebalances.clone();
    rebalances.sort_unstable();
    let at = |share: usize| rebalances.get(rebalances.len().saturating_sub(1) * share / 100);
    let generations: BTreeSet<i32> = oracle.owners.keys().map(|(it, _)| *it).collect();
    let n_records: usize = oracle.consumed.values().map(BTreeSet::len).sum();
    eprintln!(
        "churn: {} generations, {n_kills} kills, {} crashes, {n_records} records; join to assignment p50 {:?}, p99 {:?}, max {:?}",
        generations.len(),
        oracle.n_crashes,
        at(50).unwrap(),
        at(99).unwrap(),
        at(100).unwrap(),
    );
}
