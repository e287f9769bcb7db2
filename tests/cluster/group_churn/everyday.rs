//! librdkafka's consumer as a member of a consumer group. It leaves, and never crashes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};

use super::member::Scene;
use super::oracle::Oracle;
use super::{GROUP, TOPIC};

const COMMIT_EVERY: Duration = Duration::from_millis(200);
/// librdkafka does not say its epoch.
const SOME_EPOCH: i32 = -1;

/// One life after another.
pub(super) fn live(scene: &Scene) {
    static N_LIVES: AtomicU64 = AtomicU64::new(0);
    while !scene.is_over() {
        let ends = Instant::now() + Duration::from_millis(10_000 + scene.chance(15_000));
        let witness = Witness {
            name: format!("everyday-{}", N_LIVES.fetch_add(1, Ordering::Relaxed)),
            oracle: Arc::clone(&scene.oracle),
            born: Instant::now(),
            read: Mutex::default(),
        };
        let consumer = consumer(&scene.bootstrap, witness);
        let mut next_commit = Instant::now();
        while !scene.is_over() && Instant::now() < ends {
            // Errors tell that nodes come and go.
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
                let context = consumer.context();
                context.has_read(message.partition(), message.offset());
            }
            if Instant::now() >= next_commit {
                consumer.context().commit(&consumer, |_| true);
                next_commit = Instant::now() + COMMIT_EVERY;
            }
        }
    }
}

fn consumer(bootstrap: &str, witness: Witness) -> BaseConsumer<Witness> {
    let consumer: BaseConsumer<Witness> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", GROUP)
        .set("group.protocol", "consumer")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create_with_context(witness)
        .expect("a consumer");
    consumer.subscribe(&[TOPIC]).expect("a subscription");
    consumer
}

/// How far a partition was read since it was assigned.
struct Read {
    /// What was acked before.
    floor: i64,
    /// The next one; `None`: nothing was read.
    position: Option<i64>,
}

struct Witness {
    name: String,
    oracle: Arc<Mutex<Oracle>>,
    born: Instant,
    read: Mutex<BTreeMap<i32, Read>>,
}

impl Witness {
    fn has_read(&self, partition: i32, offset: i64) {
        let mut read = self.read.lock();
        let Some(read) = read.get_mut(&partition) else {
            return;
        };
        let mut oracle = self.oracle.lock();
        if read.position.is_none() {
            oracle.begins(partition, SOME_EPOCH, offset, read.floor);
        }
        read.position = Some(offset + 1);
        oracle.consumed.entry(partition).or_default().insert(offset);
    }

    fn commit(&self, consumer: &BaseConsumer<Self>, is_meant: impl Fn(i32) -> bool) {
        let mut offsets = TopicPartitionList::new();
        for (partition, read) in &*self.read.lock() {
            if let Some(position) = read.position.filter(|_| is_meant(*partition)) {
                let added =
                    offsets.add_partition_offset(TOPIC, *partition, Offset::Offset(position));
                added.expect("an offset");
            }
        }
        if offsets.count() == 0 || consumer.commit(&offsets, CommitMode::Sync).is_err() {
            return;
        }
        let mut oracle = self.oracle.lock();
        for offset in offsets.elements() {
            let position = offset.offset().to_raw().expect("an offset");
            oracle.committed_by_somebody(offset.partition(), position);
        }
    }
}

impl ClientContext for Witness {
    // The story kills brokers: that a client notices is not news.
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Witness {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let partitions = |list: &TopicPartitionList| -> Vec<i32> {
            let elements = list.elements();
            let partitions = elements.iter().map(TopicPartitionListElem::partition);
            partitions.collect()
        };
        match rebalance {
            Rebalance::Assign(list) => {
                let mut oracle = self.oracle.lock();
                let mut read = self.read.lock();
                if read.is_empty() {
                    oracle.rebalanced(self.born.elapsed());
                }
                for partition in partitions(list) {
                    oracle.holds(&self.name, partition, None);
                    let floor = oracle.most_committed(partition);
                    read.insert(
                        partition,
                        Read {
                            floor,
                            position: None,
                        },
                    );
                }
            }
            Rebalance::Revoke(list) => {
                let gone = partitions(list);
                self.commit(consumer, |it| gone.contains(&it));
                let mut oracle = self.oracle.lock();
                for partition in gone {
                    self.read.lock().remove(&partition);
                    oracle.lets_go(&self.name, partition);
                }
            }
            Rebalance::Error(_) => {}
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.oracle.lock().lets_all_go(&self.name);
    }
}
