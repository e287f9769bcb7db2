//! The rdkafka crate: a producer that keeps every delivery report and counts what it sent again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer,
};
use rdkafka::{Offset, TopicPartitionList};

/// How many messages a line of `debug=msg` says will be sent again.
///
/// librdkafka writes `… MessageSet with 12 message(s) (…) encountered error: … (actions Refresh,Retry …)`.
pub(crate) fn retried_messages(line: &str) -> usize {
    let Some((_, rest)) = line.split_once("MessageSet with ") else {
        return 0;
    };
    let is_retried = rest
        .split_once("(actions ")
        .is_some_and(|(_, actions)| actions.contains("Retry") || actions.contains("Refresh"));
    let count = rest.split_whitespace().next().and_then(|n| n.parse().ok());
    if is_retried { count.unwrap_or(0) } else { 0 }
}

/// A delivery report: this record, or why not.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) n: usize,
    pub(crate) outcome: Result<(i32, i64), String>,
    pub(crate) at: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Reports {
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) retried: usize,
}

#[derive(Clone, Debug, Default)]
struct Witness(Arc<Mutex<Reports>>);

impl ClientContext for Witness {
    fn log(&self, _: RDKafkaLogLevel, _: &str, message: &str) {
        self.0.lock().retried += retried_messages(message);
    }

    // The story kills brokers: that a client notices is not news.
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for Witness {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, n: Box<usize>) {
        let outcome = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.to_string()),
        };
        let at = Instant::now();
        let delivery = Delivery { n: *n, outcome, at };
        self.0.lock().deliveries.push(delivery);
    }
}

pub(crate) struct Librdkafka {
    producer: ThreadedProducer<Witness>,
    witness: Witness,
}

impl Librdkafka {
    pub(crate) fn new(bootstrap: &str, settings: &[(&str, &str)]) -> Self {
        let witness = Witness::default();
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap)
            .set("acks", "all")
            .set("debug", "msg")
            .set_log_level(RDKafkaLogLevel::Debug);
        for (name, value) in settings {
            config.set(*name, *value);
        }
        let producer = config
            .create_with_context(witness.clone())
            .expect("a producer");
        Self { producer, witness }
    }

    /// Queues record `n`; waits while the queue is full.
    #[track_caller]
    pub(crate) fn send(&self, topic: &str, partition: Option<i32>, n: usize, value: &str) {
        loop {
            let mut record = BaseRecord::<(), str, Box<usize>>::with_opaque_to(topic, Box::new(n));
            record = record.payload(value);
            record.partition = partition;
            match self.producer.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => panic!("record {n} is not queued: {error}"),
            }
        }
    }

    /// [`Librdkafka::send`], with a key.
    #[track_caller]
    pub(crate) fn send_keyed(&self, topic: &str, partition: i32, n: usize, key: &str, value: &str) {
        let mut record = BaseRecord::<str, str, Box<usize>>::with_opaque_to(topic, Box::new(n));
        record = record.key(key).payload(value);
        record.partition = Some(partition);
        let queued = self.producer.send(record);
        assert!(
            queued.is_ok(),
            "record {n} is not queued: {:?}",
            queued.err()
        );
    }

    pub(crate) fn n_delivered(&self) -> usize {
        self.witness.0.lock().deliveries.len()
    }

    /// Waits for the report of every record that was sent.
    #[track_caller]
    pub(crate) fn finish(self, limit: Duration) -> Reports {
        self.producer
            .flush(limit)
            .expect("every record is reported on");
        drop(self.producer);
        std::mem::take(&mut *self.witness.0.lock())
    }
}

/// Why a transactional producer cannot begin, which it must know for good before `limit`.
#[track_caller]
pub(crate) fn refused_transactions(bootstrap: &str, limit: Duration) -> String {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", "t");
    let producer = config.create_with_context(Witness::default());
    let producer: BaseProducer<Witness> = producer.expect("a producer");
    match producer.init_transactions(limit) {
        Err(KafkaError::Transaction(error)) => {
            assert!(error.is_fatal(), "{error}");
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

/// What a consumer read: offset and value, in the order they came.
type ReadByPartition = BTreeMap<i32, Vec<(i64, Vec<u8>)>>;

/// A consumer that reads partitions from their beginning for as long as the story goes on.
#[derive(Debug)]
pub(crate) struct Tail {
    is_stopping: Arc<AtomicBool>,
    read: Arc<Mutex<ReadByPartition>>,
    thread: JoinHandle<()>,
}

impl Tail {
    pub(crate) fn of(bootstrap: &str, topic: &str, n_partitions: i32) -> Self {
        Self::reading(consumer_of(bootstrap, topic, 0..n_partitions, &[]))
    }

    /// Of the first partition, read from wherever is nearest to `rack`.
    pub(crate) fn in_rack(bootstrap: &str, topic: &str, rack: &str) -> Self {
        let settings = [
            ("client.rack", rack),
            ("topic.metadata.refresh.interval.ms", "1000"),
            ("reconnect.backoff.max.ms", "500"),
        ];
        Self::reading(consumer_of(bootstrap, topic, 0..1, &settings))
    }

    fn reading(consumer: BaseConsumer) -> Self {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let read: Arc<Mutex<ReadByPartition>> = Arc::default();
        let (stop, into) = (is_stopping.clone(), read.clone());
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                // Errors tell that nodes come and go.
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                    let value = message.payload().unwrap_or_default().to_vec();
                    let mut read = into.lock();
                    let of_partition = read.entry(message.partition()).or_default();
                    of_partition.push((message.offset(), value));
                }
            }
        });
        Self {
            is_stopping,
            read,
            thread,
        }
    }

    /// The offset after the last record read.
    pub(crate) fn position(&self, partition: i32) -> i64 {
        let read = self.read.lock();
        let last = read.get(&partition).and_then(|it| it.last());
        last.map_or(0, |(offset, _)| offset + 1)
    }

    /// What was read of each partition, in the order it was read.
    pub(crate) fn stop(self) -> BTreeMap<i32, Vec<(i64, Vec<u8>)>> {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.thread.join().expect("the consumer ran to its end");
        std::mem::take(&mut *self.read.lock())
    }
}

fn consumer_of(
    bootstrap: &str,
    topic: &str,
    partitions: Range<i32>,
    settings: &[(&str, &str)],
) -> BaseConsumer {
    let mut config = ClientConfig::new();
    for (name, value) in settings {
        config.set(*name, *value);
    }
    let consumer: BaseConsumer = config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "unused: partitions are assigned")
        .set("enable.auto.commit", "false")
        // An offset that went away must not be passed over in silence.
        .set("auto.offset.reset", "error")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for partition in partitions {
        assignment
            .add_partition_offset(topic, partition, Offset::Beginning)
            .expect("an offset");
    }
    consumer.assign(&assignment).expect("an assignment");
    consumer
}

/// Everything in one partition, offsets and values, as librdkafka reads it.
#[track_caller]
pub(crate) fn read_partition(
    bootstrap: &str,
    topic: &str,
    partition: i32,
    end: i64,
) -> Vec<(i64, String)> {
    let consumer = consumer_of(bootstrap, topic, partition..partition + 1, &[]);
    let mut read = Vec::new();
    while read.last().is_none_or(|(offset, _)| offset + 1 < end) && end > 0 {
        let polled = consumer.poll(Duration::from_secs(20));
        let polled = polled.unwrap_or_else(|| panic!("nothing after {:?} of {end}", read.last()));
        // That one of the nodes is dead is an event, and no end.
        let Ok(message) = polled else {
            continue;
        };
        let value = String::from_utf8_lossy(message.payload().unwrap_or_default());
        read.push((message.offset(), value.into_owned()));
    }
    read
}

/// What a group has committed of each partition; -1001 where it has not.
#[track_caller]
pub(crate) fn committed(bootstrap: &str, group: &str, topic: &str, n_partitions: i32) -> Vec<i64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .create()
        .expect("a consumer");
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(topic, 0, n_partitions - 1);
    let answer = consumer.committed_offsets(asked, Duration::from_secs(20));
    let answer = answer.expect("committed offsets are answered");
    let offsets = answer.elements();
    let raw = offsets.iter().map(|it| it.offset().to_raw());
    raw.map(|it| it.expect("an offset")).collect()
}
