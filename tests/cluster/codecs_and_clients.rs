//! What everyday clients do: look, compress, set keys and headers, assign partitions.

use std::collections::BTreeSet;
use std::fmt::Write;

use drave_protocol::record::batch;
use serde_json::{Value, json};

use crate::support::client;
use crate::support::cluster::Cluster;
use crate::support::kcat;
use crate::support::python;

#[test]
fn kcat_lists_the_brokers_and_the_partitions_of_a_topic() {
    if !kcat::is_here() {
        return;
    }
    let mut cluster = Cluster::start(3);
    cluster.create_topic("listed", 4, 3, &[]);
    let text = kcat::must_run(&cluster.bootstrap(), &["-L", "-J"], "");
    let listed: Value = serde_json::from_str(&text).unwrap();
    let numbers = |found: &Value, name: &str| -> BTreeSet<i64> {
        let items = found.as_array().unwrap().iter();
        items.map(|it| it[name].as_i64().unwrap()).collect()
    };
    assert_eq!(numbers(&listed["brokers"], "id"), BTreeSet::from([1, 2, 3]));
    let names: BTreeSet<&str> = listed["brokers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    let bootstrap = cluster.bootstrap();
    assert_eq!(names, bootstrap.split(',').collect());
    let topics = listed["topics"].as_array().unwrap();
    let topic = topics.iter().find(|it| it["topic"] == "listed").unwrap();
    let partitions = topic["partitions"].as_array().unwrap();
    assert_eq!(
        numbers(&topic["partitions"], "partition"),
        BTreeSet::from([0, 1, 2, 3])
    );
    for partition in partitions {
        assert_eq!(
            numbers(&partition["replicas"], "id"),
            BTreeSet::from([1, 2, 3])
        );
        assert_eq!(numbers(&partition["isrs"], "id"), BTreeSet::from([1, 2, 3]));
        let leader = partition["leader"].as_i64().unwrap();
        assert!((1..=3).contains(&leader), "{partition}");
    }
}

#[test]
fn records_keep_keys_headers_and_values_in_every_compression() {
    if !kcat::is_here() {
        return;
    }
    let mut cluster = Cluster::start(3);
    for (number, codec) in (0..).zip(["none", "gzip", "snappy", "lz4", "zstd"]) {
        let topic = format!("codec-{codec}");
        // The first message creates the topic.
        let input = kcat_produces(&cluster, &topic, codec);
        kcat_reads_it_back(&cluster, &topic, &input);
        assert_eq!(codec_on_the_wire(&mut cluster, &topic), number, "{codec}");
    }
}

#[test]
fn a_topic_that_names_a_codec_keeps_records_in_it_whatever_the_producer_chose() {
    if !kcat::is_here() {
        return;
    }
    let mut cluster = Cluster::start(1);
    let pairs = [
        ("zstd", "uncompressed", 0),
        ("none", "gzip", 1),
        ("gzip", "snappy", 2),
        ("snappy", "lz4", 3),
        ("lz4", "zstd", 4),
    ];
    for (producers, topics, number) in pairs {
        let topic = format!("from-{producers}-to-{topics}");
        cluster.create_topic(&topic, 1, 1, &[("compression.type", topics)]);
        let input = kcat_produces(&cluster, &topic, producers);
        kcat_reads_it_back(&cluster, &topic, &input);
        assert_eq!(codec_on_the_wire(&mut cluster, &topic), number, "{topic}");
    }
}

/// Lines of `key:value`, as they were produced.
fn kcat_produces(cluster: &Cluster, topic: &str, codec: &str) -> String {
    let mut input = String::new();
    for n in 0..2000 {
        writeln!(input, "key-{n}:value {n} {}", "again and again ".repeat(5)).unwrap();
    }
    let produce = ["-P", "-t", topic, "-z", codec, "-K", ":"];
    let headers = ["-H", "trace=7", "-H", "empty="];
    let settings = ["-X", "acks=all", "-X", "linger.ms=50"];
    let all = [&produce[..], &headers, &settings].concat();
    kcat::must_run(&cluster.bootstrap(), &all, &input);
    input
}

#[track_caller]
fn kcat_reads_it_back(cluster: &Cluster, topic: &str, input: &str) {
    let consume = ["-C", "-t", topic, "-J", "-e", "-q", "-o", "beginning"];
    let read = kcat::must_run(&cluster.bootstrap(), &consume, "");
    let read: Vec<Value> = read
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    assert_eq!(read.len(), input.lines().count(), "{topic}");
    for (line, found) in input.lines().zip(&read) {
        let (key, value) = line.split_once(':').unwrap();
        assert_eq!(found["key"], key, "{topic}");
        assert_eq!(found["payload"], value, "{topic}");
        let headers = json!(["trace", "7", "empty", ""]);
        assert_eq!(found["headers"], headers, "{topic}");
    }
}

/// The codec bits of a topic's first batch.
fn codec_on_the_wire(cluster: &mut Cluster, topic: &str) -> i16 {
    let mut wire = cluster.leader_wire(topic, 0);
    let records = client::fetch(&mut wire, topic, 0, 0)
        .unwrap()
        .records
        .unwrap();
    let (_, header, _) = batch::iter(&records).next().unwrap().unwrap();
    header.attributes & 7
}

const CONFLUENT: &str = r"
import sys
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition, OFFSET_BEGINNING
bootstrap, topic, codec = sys.argv[1:]
N, PARTITIONS = 5000, 3
delivered, failed = [], []
def report(error, message):
    (failed if error else delivered).append(error or (message.partition(), message.offset()))
producer = Producer({'bootstrap.servers': bootstrap, 'acks': 'all', 'compression.type': codec, 'linger.ms': 20,
                     'enable.idempotence': codec == 'zstd'})
for n in range(N):
    producer.produce(topic, key=f'key {n}', value=f'value {n}', partition=n % PARTITIONS,
                     headers=[('n', str(n))], on_delivery=report)
    producer.poll(0)
assert producer.flush(60) == 0, 'undelivered'
assert not failed, failed[0]
assert len(set(delivered)) == N, 'each record has a place of its own'
consumer = Consumer({'bootstrap.servers': bootstrap, 'group.id': 'unused', 'enable.auto.commit': False,
                     'enable.partition.eof': True})
consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
read, ended = {p: [] for p in range(PARTITIONS)}, set()
while len(ended) < PARTITIONS:
    message = consumer.poll(30)
    assert message is not None, 'nothing came'
    if message.error():
        assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
        ended.add(message.partition())
        continue
    n = int(message.headers()[0][1])
    assert message.key() == f'key {n}'.encode() and message.value() == f'value {n}'.encode()
    read[message.partition()].append(n)
for p in range(PARTITIONS):
    assert read[p] == list(range(p, N, PARTITIONS)), f'partition {p}'
assert consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10) == (0, len(read[0]))
consumer.close()
print('read', sum(map(len, read.values())))
";

#[test]
fn confluent_kafka_produces_and_consumes_assigned_partitions() {
    if !python::has_confluent_kafka() {
        return;
    }
    let mut cluster = Cluster::start(3);
    let bootstrap = cluster.bootstrap();
    for codec in ["none", "zstd"] {
        let topic = format!("confluent-{codec}");
        cluster.create_topic(&topic, 3, 3, &[]);
        let said = python::must_run(CONFLUENT, &bootstrap, &[&topic, codec]);
        assert_eq!(said.trim(), "read 5000");
    }
}
