//! What one busy partition costs beside many idle ones, with fetch sessions and without.
//!
//! A measurement, no story; `docs/fetch.md` says how to run it and what came out.

use std::time::{Duration, Instant};

use crate::support::client;
use crate::support::cluster::Cluster;
use crate::support::wait::{seconds, wait_until};

const BUSY_FOR: Duration = seconds(5);
/// Topics of so many partitions each are made one after the other.
const N_PARTITIONS_OF_TOPIC: i32 = 50;

struct Figures {
    per_second: f64,
    /// CPU seconds for each thousand messages: of the leader and of the follower.
    busy: [f64; 2],
    /// CPU seconds of each second without any message.
    idle: [f64; 2],
}

/// Lets time go by, which here is the thing measured.
fn pass(time: Duration) {
    let started = Instant::now();
    wait_until("time to pass", time * 2, || started.elapsed() >= time);
}

fn measure(n_idle: i32, n_slots: &str) -> Figures {
    let setting = ("max.incremental.fetch.session.cache.slots", n_slots);
    let mut cluster = Cluster::start_with(2, &[setting]);
    for number in 0..n_idle / N_PARTITIONS_OF_TOPIC {
        cluster.create_topic(&format!("idle-{number}"), N_PARTITIONS_OF_TOPIC, 2, &[]);
    }
    cluster.create_topic("busy", 1, 2, &[]);
    cluster.produce("busy", 0, ["first"]);
    let leader = cluster.leader_of("busy", 0);
    let nodes = [leader, cluster.others(leader)[0]];
    let cpu = |cluster: &Cluster| nodes.map(|id| cluster.node(id).cpu_seconds());

    // What creating them left to do is done.
    pass(BUSY_FOR);
    let before = cpu(&cluster);
    pass(BUSY_FOR);
    let after = cpu(&cluster);
    let spent = |before: [f64; 2], after: [f64; 2]| [after[0] - before[0], after[1] - before[1]];
    let idle = spent(before, after).map(|it| it / BUSY_FOR.as_secs_f64());

    let mut wire = cluster.leader_wire("busy", 0);
    let (before, started) = (cpu(&cluster), Instant::now());
    let mut n_messages = 0.0;
    while started.elapsed() < BUSY_FOR {
        let answer = client::produce(&mut wire, "busy", 0, ["x"]).unwrap();
        assert_eq!(answer.error_code, 0);
        n_messages += 1.0;
    }
    let took = started.elapsed().as_secs_f64();
    let busy = spent(before, cpu(&cluster)).map(|it| it / n_messages * 1000.0);
    Figures {
        per_second: n_messages / took,
        busy,
        idle,
    }
}

#[test]
#[ignore = "measures for a minute or two and holds the machine"]
fn what_idle_partitions_cost() {
    println!(
        "| idle partitions | sessions | messages/s | CPU s per 1000 messages: leader, follower | CPU s per idle second: leader, follower |"
    );
    println!("|---|---|---|---|---|");
    for n_idle in [1000, 10_000] {
        for (name, n_slots) in [("without", "0"), ("with", "1000")] {
            let it = measure(n_idle, n_slots);
            println!(
                "| {n_idle} | {name} | {:.0} | {:.3}, {:.3} | {:.3}, {:.3} |",
                it.per_second, it.busy[0], it.busy[1], it.idle[0], it.idle[1]
            );
        }
    }
}
