//! The active controller is killed; those who do not need it do not notice.

use std::time::{Duration, Instant};

use crate::support::client;
use crate::support::cluster::Cluster;
use crate::support::questions::controller_in;
use crate::support::steady::Steady;
use crate::support::wait::{seconds, wait_for, wait_until};

const TOPIC: &str = "steady";
const N_PARTITIONS: i32 = 6;
const NEW_CONTROLLER_LIMIT: Duration = Duration::from_millis(1500);

#[test]
fn a_new_controller_is_there_in_time_and_producers_elsewhere_see_no_error() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, N_PARTITIONS, 3, &[]);
    let controller = cluster.controller();
    let survivors = cluster.others(controller);
    let producers: Vec<(i32, Steady)> = survivors
        .iter()
        .map(|id| {
            let partition = led_by(&mut cluster, *id);
            let port = cluster.node(*id).ports.kafka;
            (partition, Steady::to_node(port, TOPIC, partition))
        })
        .collect();
    wait_until("every producer to be under way", seconds(20), || {
        producers.iter().all(|(_, it)| it.n_acked() >= 20)
    });

    cluster.kill9(controller);
    let killed = Instant::now();
    let new = wait_for("another controller", seconds(10), || {
        let described = cluster.describe()?;
        match controller_in(&described) {
            Some(id) if id != controller => Ok(id),
            id => Err(format!("{id:?}")),
        }
    });
    let took = killed.elapsed();
    assert!(survivors.contains(&new), "{new} lives");
    assert!(
        took < NEW_CONTROLLER_LIMIT,
        "a new controller took {took:?}"
    );

    let before: Vec<usize> = producers.iter().map(|(_, it)| it.n_acked()).collect();
    wait_until("every producer to get on", seconds(20), || {
        let mut pairs = producers.iter().zip(&before);
        pairs.all(|((_, it), before)| it.n_acked() >= before + 50)
    });
    for (partition, producer) in producers {
        let account = producer.stop();
        assert_eq!(
            account.errors,
            Vec::<String>::new(),
            "of {TOPIC}-{partition}"
        );
        let values = cluster.read_all(TOPIC, partition);
        for (value, offset) in &account.acked {
            let at = usize::try_from(*offset).unwrap();
            assert_eq!(values[at], value.as_bytes(), "acked at {offset}");
        }
    }
    cluster.start_again(controller);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
}

/// A partition this node leads.
fn led_by(cluster: &mut Cluster, id: i32) -> i32 {
    let topic = cluster.ask(|wire| client::topic_metadata(wire, TOPIC));
    let mut led = topic.partitions.iter().filter(|it| it.leader_id == id);
    let found = led
        .next()
        .expect("six partitions give each node one to lead");
    found.partition_index
}
