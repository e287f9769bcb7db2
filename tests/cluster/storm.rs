//! Nodes die, stop, freeze and come back in any order while producers write: nothing that was acked is
//! lost or moved, nothing a consumer was shown goes away, and in the end all copies are equal.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use crate::support::cluster::Cluster;
use crate::support::librdkafka::Tail;
use crate::support::segments::assert_copies_are_equal;
use crate::support::steady::{Account, Steady};
use crate::support::wait::{seconds, wait_until};

const TOPIC: &str = "storm";
const N_PARTITIONS: i32 = 4;
/// A producer that is not acked for so long after the storm is stuck.
const CALM_LIMIT: Duration = seconds(40);

#[test]
fn a_short_storm_loses_nothing() {
    ride_out(seconds(12), seed());
}

/// `STORM_SECONDS=600 STORM_SEED=1 cargo test --test cluster -- --ignored --nocapture a_long_storm`
#[test]
#[ignore = "takes as long as it is told to"]
fn a_long_storm_loses_nothing() {
    let told = std::env::var("STORM_SECONDS")
        .ok()
        .and_then(|it| it.parse().ok());
    ride_out(seconds(told.unwrap_or(120)), seed());
}

fn seed() -> u64 {
    let told = std::env::var("STORM_SEED")
        .ok()
        .and_then(|it| it.parse().ok());
    told.unwrap_or_else(|| RandomState::new().build_hasher().finish() % 1_000_000)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Kill,
    Stop,
    Freeze,
    KillTwo,
    KillAll,
}

impl Blow {
    /// Single blows are the rule: between them the cluster has to go on.
    const DRAWN_FROM: [Self; 10] = [
        Self::Kill,
        Self::Kill,
        Self::Kill,
        Self::Kill,
        Self::Stop,
        Self::Stop,
        Self::Freeze,
        Self::Freeze,
        Self::KillTwo,
        Self::KillAll,
    ];
}

/// Draws from a seed; how far a storm gets in its time is not repeatable, its blows are.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)) % n
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let n = u64::try_from(from.len()).unwrap();
        from[usize::try_from(self.below(n)).unwrap()]
    }

    fn pause(&mut self, limit_ms: u64) {
        let until = Instant::now() + Duration::from_millis(self.below(limit_ms));
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(left);
        }
    }
}

#[allow(
    clippy::print_stdout,
    reason = "a storm's seed is for whoever has to repeat it"
)]
fn ride_out(duration: Duration, seed: u64) {
    println!("STORM_SEED={seed}");
    let mut dice = Dice(seed);
    // Small segments, so that logs are rolled and cut across them.
    let mut cluster = Cluster::start_with(3, &[("log.segment.bytes", "1048576")]);
    cluster.create_topic(TOPIC, N_PARTITIONS, 3, &[]);
    let ports: Vec<u16> = cluster
        .ids()
        .iter()
        .map(|id| cluster.node(*id).ports.kafka)
        .collect();
    let producers: Vec<(i32, Steady)> = (0..N_PARTITIONS)
        .flat_map(|it| [it, it])
        .map(|it| (it, Steady::to_leader(ports.clone(), TOPIC, it)))
        .collect();

    let tail = Tail::of(&cluster.bootstrap(), TOPIC, N_PARTITIONS);

    let end = Instant::now() + duration;
    let mut n_blows = 0;
    while Instant::now() < end {
        let blow = dice.pick(&Blow::DRAWN_FROM);
        strike(&mut cluster, blow, &mut dice);
        n_blows += 1;
        dice.pause(2500);
    }

    let before: Vec<usize> = producers.iter().map(|(_, it)| it.n_acked()).collect();
    wait_until(
        "every producer to be acked after the storm",
        CALM_LIMIT,
        || {
            let mut pairs = producers.iter().zip(&before);
            pairs.all(|((_, it), before)| it.n_acked() >= before + 20)
        },
    );
    let mut acked: BTreeMap<i32, Vec<Account>> = BTreeMap::new();
    for (partition, producer) in producers {
        acked.entry(partition).or_default().push(producer.stop());
    }
    cluster.wait_for_isr(TOPIC, 3, CALM_LIMIT);
    let ends: Vec<i64> = (0..N_PARTITIONS)
        .map(|it| cluster.high_watermark(TOPIC, it))
        .collect();
    wait_until("the consumer to have read everything", CALM_LIMIT, || {
        (0..N_PARTITIONS)
            .zip(&ends)
            .all(|(it, end)| tail.position(it) >= *end)
    });
    let read = tail.stop();
    let mut n_acked = 0;
    for (partition, accounts) in acked {
        let values = cluster.read_all(TOPIC, partition);
        for (value, offset) in accounts.iter().flat_map(|it| &it.acked) {
            let found = values.get(usize::try_from(*offset).unwrap());
            let found = found.map(|it| String::from_utf8_lossy(it));
            let is_kept = found.as_deref() == Some(value.as_str());
            assert!(
                is_kept,
                "{partition} at {offset}: {value} was acked, {found:?} is there"
            );
            n_acked += 1;
        }
        for ((offset, value), expected) in read[&partition].iter().zip(0..) {
            assert_eq!(
                *offset, expected,
                "{partition}: a consumer reads every offset once"
            );
            let kept = &values[usize::try_from(expected).unwrap()];
            assert!(
                value == kept,
                "{partition} at {offset}: what was read did not stay"
            );
        }
        assert_copies_are_equal(&mut cluster, TOPIC, partition);
    }
    println!("{n_blows} blows, {n_acked} acked records kept");
}

fn strike(cluster: &mut Cluster, blow: Blow, dice: &mut Dice) {
    let ids = cluster.ids();
    let id = dice.pick(&ids);
    match blow {
        Blow::Kill => cluster.kill9(id),
        Blow::Stop => {
            let status = cluster.node_mut(id).stop();
            assert!(status.success(), "node {id} ends with {status}");
        }
        Blow::Freeze => cluster.node(id).pause(),
        Blow::KillTwo => {
            for it in cluster.others(id) {
                cluster.kill9(it);
            }
        }
        Blow::KillAll => {
            for it in ids {
                cluster.kill9(it);
            }
        }
    }
    dice.pause(3000);
    match blow {
        Blow::Freeze => cluster.node(id).resume(),
        Blow::Kill | Blow::Stop | Blow::KillTwo | Blow::KillAll => {
            for it in cluster.ids() {
                if !cluster.node_mut(it).is_running() {
                    cluster.node_mut(it).spawn();
                    dice.pause(300);
                }
            }
        }
    }
    // Half the time the next blow falls while this one is not healed.
    if dice.below(2) == 0 {
        for it in cluster.ids() {
            cluster.node(it).wait_ready(CALM_LIMIT);
        }
    }
}
