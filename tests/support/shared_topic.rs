//! A topic that the members of groups share, and the numbers in it.

use crate::support::cluster::Cluster;
use crate::support::librdkafka::Librdkafka;
use crate::support::wait::seconds;

pub(crate) const TOPIC: &str = "shared";
pub(crate) const N_PARTITIONS: i32 = 6;

/// Three nodes with these settings, and the topic in sync on all of them.
pub(crate) fn cluster(settings: &[(&str, &str)]) -> Cluster {
    let mut cluster = Cluster::start_with(3, settings);
    cluster.create_topic(TOPIC, N_PARTITIONS, 3, &[("min.insync.replicas", "2")]);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    cluster
}

/// Writes the numbers to the partitions by turns.
pub(crate) fn produce(cluster: &Cluster, numbers: std::ops::Range<usize>) {
    let producer = Librdkafka::new(&cluster.bootstrap(), &[("message.timeout.ms", "60000")]);
    for n in numbers {
        let partition = i32::try_from(n).unwrap() % N_PARTITIONS;
        producer.send(TOPIC, Some(partition), n, &n.to_string());
    }
    let reports = producer.finish(seconds(60));
    assert!(reports.deliveries.iter().all(|it| it.outcome.is_ok()));
}
