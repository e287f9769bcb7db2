//! Twenty members of a group come, leave and crash, and the broker that coordinates them is killed.
//!
//! What must hold, in either protocol: no partition is owned by two members of a generation, nor at one time by
//! two that are heard in their sessions; every record is consumed; what was committed never goes back.
//! `make churn DURATION=10m PROTOCOL=consumer` is the long form.

mod classic;
mod consumer;
mod everyday;
mod member;
mod oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::cluster::group_churn::member::Scene;
use crate::support::cluster::Cluster;
use crate::support::groups;
use crate::support::librdkafka::Librdkafka;
use crate::support::wait::{seconds, wait_until};

const TOPIC: &str = "churned";
const GROUP: &str = "churners";
const N_PARTITIONS: i32 = 30;
const N_MEMBERS: usize = 20;
const KILL_EVERY: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_secs(25);
/// Of members of consumer groups, said to the brokers.
const SESSION: Duration = Duration::from_secs(3);

fn duration() -> Duration {
    let Ok(text) = std::env::var("CHURN_SECONDS") else {
        return SHORT;
    };
    Duration::from_secs(text.parse().expect("CHURN_SECONDS is a number"))
}

/// A member's lives, one after another.
type Live = fn(&Scene);

#[test]
fn twenty_members_of_the_classic_protocol_come_and_go_while_their_coordinator_is_killed() {
    let members: [Live; N_MEMBERS] = [classic::live; N_MEMBERS];
    churn("classic", &members);
}

/// Some of them are librdkafka's: what everyday clients make of it counts, and ours say what those do not.
#[test]
fn twenty_members_of_the_consumer_protocol_come_and_go_while_their_coordinator_is_killed() {
    let mut members: [Live; N_MEMBERS] = [consumer::live; N_MEMBERS];
    for member in members.iter_mut().step_by(5) {
        *member = everyday::live;
    }
    churn("consumer", &members);
}

fn churn(protocol: &str, members: &[Live]) {
    let session = SESSION.as_millis().to_string();
    let settings = [
        ("group.min.session.timeout.ms", "1000"),
        ("group.initial.rebalance.delay.ms", "300"),
        ("group.consumer.min.session.timeout.ms", "1000"),
        ("group.consumer.session.timeout.ms", session.as_str()),
        ("group.consumer.min.heartbeat.interval.ms", "100"),
        ("group.consumer.heartbeat.interval.ms", "300"),
        ("offsets.topic.num.partitions", "5"),
    ];
    let mut cluster = Cluster::start_with(3, &settings);
    cluster.create_topic(TOPIC, N_PARTITIONS, 3, &[("min.insync.replicas", "2")]);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    groups::coordinator(&mut cluster.wire(1), GROUP);
    let ports = cluster.ids().into_iter();
    let scene = Scene {
        bootstrap: cluster.bootstrap(),
        ports: ports.map(|it| cluster.node(it).ports.kafka).collect(),
        oracle: Arc::default(),
        is_over: AtomicBool::new(false),
        seed: AtomicU64::new(7),
    };
    let (mut n_kills, mut ends) = (0, BTreeMap::new());
    std::thread::scope(|scope| {
        for live in members {
            scope.spawn(|| live(&scene));
        }
        n_kills = produce_and_kill(&mut cluster);
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
    let oracle = scene.oracle.lock();
    oracle.tell(protocol, n_kills);
    assert!(oracle.violations.is_empty(), "{:#?}", oracle.violations);
    for (partition, end) in ends {
        let consumed = oracle.consumed.get(&partition).map_or(0, BTreeSet::len);
        let consumed = i64::try_from(consumed).unwrap();
        assert_eq!(consumed, end, "partition {partition}");
    }
}

/// For as long as the story goes; how often the coordinator was killed.
fn produce_and_kill(cluster: &mut Cluster) -> usize {
    let producing = [
        ("enable.idempotence", "true"),
        ("message.timeout.ms", "120000"),
    ];
    let producer = Librdkafka::new(&cluster.bootstrap(), &producing);
    let until = Instant::now() + duration();
    let mut next_kill = Instant::now() + KILL_EVERY;
    let (mut n_sent, mut n_kills) = (0, 0);
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
    n_kills
}
