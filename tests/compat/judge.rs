//! What a client says it did is looked up here, over a bare connection and with our own codec.

use std::collections::BTreeMap;
use std::time::Instant;

use drave_protocol::record::batch;
use drave_protocol::record::compression::UnpackedLimit;
use drave_protocol::record::reader::RecordReader;
use drave_protocol::schema::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};

use crate::compat::scenarios::{
    Judge, N_RECORDS, READ_PARTITIONS, READ_TOPIC, Scenario, key, value,
};
use crate::support::client::{self, EARLIEST};
use crate::support::cluster::Cluster;
use crate::support::librdkafka;
use crate::support::wait::{pause, seconds};

/// A record as it lies in the log.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    codec: i16,
    producer_id: i64,
}

/// Whether the facts are as the client says; why not. Brokers learn of a change one after another, so
/// they have a moment.
pub(crate) fn judge(cluster: &mut Cluster, scenario: &Scenario, sent: i64) -> Result<(), String> {
    let started = Instant::now();
    loop {
        let found = look(cluster, scenario, sent);
        if found.is_ok() || started.elapsed() > seconds(10) {
            return found;
        }
        pause();
    }
}

fn look(cluster: &mut Cluster, scenario: &Scenario, sent: i64) -> Result<(), String> {
    match scenario.judge {
        Judge::Client => Ok(()),
        Judge::Stored {
            codec,
            is_idempotent,
        } => stored(cluster, scenario.name, codec, is_idempotent),
        Judge::Nulls => nulls(cluster),
        Judge::Topics => topics(cluster),
        Judge::Configured => {
            let found = config(cluster, "configured", "segment.bytes");
            equal(&found.as_deref(), &Some("2097152"), "segment.bytes")
        }
        Judge::Deleted => {
            let mut wire = cluster.leader_wire("records", 0);
            let first = client::list_offset(&mut wire, "records", 0, EARLIEST).unwrap();
            equal(&first.offset, &30, "first offset of records-0")
        }
        Judge::NodeDied => node_died(cluster, sent),
        Judge::Committed => {
            let ends = vec![N_RECORDS; READ_PARTITIONS.try_into().unwrap()];
            let found = librdkafka::committed(
                &cluster.bootstrap(),
                scenario.name,
                READ_TOPIC,
                READ_PARTITIONS,
            );
            equal(&found, &ends, "committed offsets")
        }
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(found: &T, wanted: &T, what: &str) -> Result<(), String> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{what}: {found:?} where {wanted:?} belongs"))
    }
}

fn read(cluster: &mut Cluster, topic: &str, partition: i32) -> Vec<Found> {
    let mut wire = cluster.leader_wire(topic, partition);
    let mut found = Vec::new();
    loop {
        let next = i64::try_from(found.len()).unwrap();
        let data = client::fetch(&mut wire, topic, partition, next).unwrap();
        assert_eq!(data.error_code, 0, "fetch of {topic}-{partition} at {next}");
        let bytes = data.records.unwrap_or_default();
        if bytes.is_empty() {
            return found;
        }
        for item in batch::iter(&bytes) {
            let (_, header, bytes) = item.expect("whole batches are answered");
            let mut records = RecordReader::open(bytes, UnpackedLimit::default()).unwrap();
            while let Some(record) = records.next_record() {
                let record = record.unwrap();
                // A batch may begin before the offset that was asked for.
                if record.offset(&header).0 < next {
                    continue;
                }
                let owned = |it: Option<&[u8]>| it.map(<[u8]>::to_vec);
                let headers = record.headers().map(|it| {
                    let (key, value) = it;
                    (String::from_utf8(key.to_vec()).unwrap(), owned(value))
                });
                found.push(Found {
                    key: owned(record.key),
                    value: owned(record.value),
                    headers: headers.collect(),
                    codec: header.attributes & 7,
                    producer_id: header.producer_id.0,
                });
            }
        }
    }
}

fn stored(
    cluster: &mut Cluster,
    topic: &str,
    codec: i16,
    is_idempotent: bool,
) -> Result<(), String> {
    let n = usize::try_from(N_RECORDS).unwrap();
    let found = read(cluster, topic, 0);
    equal(&found.len(), &n, "records")?;
    for (n, it) in (0..).zip(&found) {
        equal(&it.key, &Some(key(n).into_bytes()), "key")?;
        equal(&it.value, &Some(value(n).into_bytes()), "value")?;
        equal(&it.codec, &codec, "codec")?;
        if is_idempotent && it.producer_id < 0 {
            return Err("the batch names no producer".to_owned());
        }
    }
    Ok(())
}

fn nulls(cluster: &mut Cluster) -> Result<(), String> {
    let found = read(cluster, "nulls", 0);
    equal(&found.len(), &3, "records")?;
    let bytes = |it: &str| Some(it.as_bytes().to_vec());
    let shape = |it: &Found| (it.key.clone(), it.value.clone());
    equal(&shape(&found[0]), &(bytes("k"), bytes("v")), "both")?;
    equal(&shape(&found[1]), &(None, bytes("v")), "no key")?;
    equal(&shape(&found[2]), &(bytes("k"), None), "no value")?;
    let mut headers = found[0].headers.clone();
    // A client whose headers are a map keeps one of a name.
    headers.retain(|it| it.1 != bytes("1"));
    let wanted = vec![
        ("a".to_owned(), bytes("2")),
        ("empty".to_owned(), bytes("")),
    ];
    equal(&headers, &wanted, "headers")
}

fn topics(cluster: &mut Cluster) -> Result<(), String> {
    let left = cluster.topic("left");
    equal(&left.partitions.len(), &5, "partitions of left")?;
    let are_two = left.partitions.iter().all(|it| it.replica_nodes.len() == 2);
    equal(&are_two, &true, "two replicas of each partition of left")?;
    let retention = config(cluster, "left", "retention.ms");
    equal(&retention.as_deref(), &Some("12345"), "retention.ms")?;
    let exists =
        |name: &str, cluster: &mut Cluster| cluster.ask(|wire| client::topic_metadata(wire, name));
    for name in ["gone", "only-validated"] {
        equal(&exists(name, cluster).error_code, &3, name)?;
    }
    let placed = exists("placed", cluster);
    if placed.error_code != 0 {
        // Not every client can say where replicas go.
        return Ok(());
    }
    let replicas: BTreeMap<i32, Vec<i32>> = placed
        .partitions
        .into_iter()
        .map(|it| (it.partition_index, it.replica_nodes))
        .collect();
    let wanted = BTreeMap::from([(0, vec![1, 2]), (1, vec![3, 1])]);
    equal(&replicas, &wanted, "replicas of placed")
}

fn config(cluster: &mut Cluster, topic: &str, name: &str) -> Option<String> {
    const TOPIC: i8 = 2;
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: TOPIC,
            resource_name: topic.to_owned(),
            configuration_keys: Some(vec![name.to_owned()]),
        }],
        ..DescribeConfigsRequest::default()
    };
    let answer = cluster.ask(|wire| wire.call_newest(&request));
    answer.results[0].configs.first()?.value.clone()
}

fn node_died(cluster: &mut Cluster, sent: i64) -> Result<(), String> {
    let mut times = BTreeMap::new();
    for partition in 0..READ_PARTITIONS {
        for it in read(cluster, "node-dies", partition) {
            *times.entry(it.key.unwrap_or_default()).or_insert(0) += 1;
        }
    }
    let missing = (0..sent).filter(|n| !times.contains_key(key(*n).as_bytes()));
    equal(&missing.count(), &0, "acknowledged records that are gone")
}
