//! The rdkafka crate, in this process.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use crate::compat::clients::nodes_die;
use crate::compat::grid::is_full;
use crate::compat::scenarios::{N_RECORDS, READ_FROM_MS, READ_PARTITIONS, READ_TOPIC, key, value};
use crate::support::cluster::Cluster;
use crate::support::librdkafka::{Librdkafka, Tail};
use crate::support::wait::{pause, seconds, wait_for, wait_until};

/// As the manifest names it.
pub(crate) const VERSION: &str = "0.39";
const LIMIT: Duration = seconds(30);

type Outcome = Result<(), String>;

pub(crate) fn try_out(scenario: &str, cluster: &mut Cluster) -> Result<i64, String> {
    let bootstrap = cluster.bootstrap();
    match scenario {
        "acks-0" => produce(&bootstrap, scenario, &[("acks", "0")])?,
        "acks-1" => produce(&bootstrap, scenario, &[("acks", "1")])?,
        "acks-all" => produce(&bootstrap, scenario, &[("acks", "all")])?,
        "idempotent" => produce(&bootstrap, scenario, &[("enable.idempotence", "true")])?,
        "gzip" | "snappy" | "lz4" | "zstd" => {
            produce(&bootstrap, scenario, &[("compression.type", scenario)])?;
        }
        "nulls" => nulls(&bootstrap)?,
        "assign" => read_all(&reader(&bootstrap, 0..READ_PARTITIONS, &[])?, &[0, 1, 2])?,
        "isolation" => {
            let settings = [("isolation.level", "read_committed")];
            read_all(
                &reader(&bootstrap, 0..READ_PARTITIONS, &settings)?,
                &[0, 1, 2],
            )?;
        }
        "seek" => seek(&bootstrap)?,
        "pause" => pausing(&bootstrap)?,
        "timestamps" => timestamps(&bootstrap)?,
        "topics" => topics(&bootstrap)?,
        "configs" => configs(&bootstrap)?,
        "records" => records(&bootstrap)?,
        "group-resume" => resume(&bootstrap)?,
        "group-rebalance" => rebalance(&bootstrap)?,
        "node-dies" => return Ok(node_dies(cluster)),
        other => return Err(format!("this crate knows no {other}")),
    }
    Ok(0)
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn config(bootstrap: &str, settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config
}

fn produce(bootstrap: &str, topic: &str, settings: &[(&str, &str)]) -> Outcome {
    let mut config = config(bootstrap, settings);
    let producer: ThreadedProducer<_> = config.set("linger.ms", "20").create().map_err(said)?;
    let producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext> = producer;
    for n in 0..N_RECORDS {
        let (key, value) = (key(n), value(n));
        let record = BaseRecord::to(topic).partition(0).key(&key).payload(&value);
        producer.send(record).map_err(|(error, _)| said(error))?;
    }
    producer.flush(LIMIT).map_err(said)
}

fn nulls(bootstrap: &str) -> Outcome {
    let producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext> =
        config(bootstrap, &[]).create().map_err(said)?;
    let header = |key, value| Header {
        key,
        value: Some(value),
    };
    let headers = OwnedHeaders::new()
        .insert(header("a", "1"))
        .insert(header("a", "2"))
        .insert(header("empty", ""));
    let to = || BaseRecord::<str, str>::to("nulls").partition(0);
    for record in [
        to().key("k").payload("v").headers(headers),
        to().payload("v"),
        to().key("k"),
    ] {
        producer.send(record).map_err(|(error, _)| said(error))?;
    }
    producer.flush(LIMIT).map_err(said)
}

fn consumer(bootstrap: &str, settings: &[(&str, &str)]) -> Result<BaseConsumer, String> {
    let mut config = config(bootstrap, &[("group.id", "unused")]);
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest");
    config.create().map_err(said)
}

fn reader(
    bootstrap: &str,
    partitions: std::ops::Range<i32>,
    settings: &[(&str, &str)],
) -> Result<BaseConsumer, String> {
    let reader = consumer(bootstrap, settings)?;
    let mut assignment = TopicPartitionList::new();
    for partition in partitions {
        assignment
            .add_partition_offset(READ_TOPIC, partition, Offset::Beginning)
            .map_err(said)?;
    }
    reader.assign(&assignment).map_err(said)?;
    Ok(reader)
}

/// Partition and offset of the next record, which must hold what belongs there.
fn next(reader: &BaseConsumer) -> Result<(i32, i64), String> {
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        let Some(polled) = reader.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = polled.map_err(said)?;
        let n = message.offset();
        let is_so = message.key() == Some(key(n).as_bytes())
            && message.payload() == Some(value(n).as_bytes());
        if !is_so {
            return Err(format!("offset {n} holds something else"));
        }
        return Ok((message.partition(), n));
    }
    Err("no record came".to_owned())
}

fn read_all(reader: &BaseConsumer, partitions: &[i32]) -> Outcome {
    let mut ends = vec![0; READ_PARTITIONS.try_into().unwrap()];
    for _ in 0..N_RECORDS * i64::try_from(partitions.len()).unwrap() {
        let (partition, offset) = next(reader)?;
        let end: &mut i64 = &mut ends[usize::try_from(partition).unwrap()];
        if !partitions.contains(&partition) || offset != *end {
            return Err(format!("{partition}-{offset} came after {ends:?}"));
        }
        *end += 1;
    }
    Ok(())
}

fn seek(bootstrap: &str) -> Outcome {
    let reader = reader(bootstrap, 1..2, &[])?;
    next(&reader)?;
    for offset in [90, 50, 10] {
        reader
            .seek(READ_TOPIC, 1, Offset::Offset(offset), LIMIT)
            .map_err(said)?;
        let found = next(&reader)?;
        if found != (1, offset) {
            return Err(format!("{found:?} came after a seek to {offset}"));
        }
    }
    Ok(())
}

fn pausing(bootstrap: &str) -> Outcome {
    let reader = reader(bootstrap, 0..READ_PARTITIONS, &[])?;
    let mut paused = TopicPartitionList::new();
    paused.add_partition(READ_TOPIC, 0);
    reader.pause(&paused).map_err(said)?;
    read_all(&reader, &[1, 2])?;
    reader.resume(&paused).map_err(said)?;
    read_all(&reader, &[0])
}

fn timestamps(bootstrap: &str) -> Outcome {
    let reader = consumer(bootstrap, &[])?;
    let mut asked = TopicPartitionList::new();
    for partition in 0..READ_PARTITIONS {
        asked
            .add_partition_offset(READ_TOPIC, partition, Offset::Offset(READ_FROM_MS + 40_000))
            .map_err(said)?;
    }
    let found = reader.offsets_for_times(asked, LIMIT).map_err(said)?;
    let are_so = found
        .elements()
        .iter()
        .all(|it| it.offset() == Offset::Offset(40));
    let bounds = reader
        .fetch_watermarks(READ_TOPIC, 0, LIMIT)
        .map_err(said)?;
    if are_so && bounds == (0, N_RECORDS) {
        Ok(())
    } else {
        Err(format!("{found:?}, {bounds:?}"))
    }
}

fn admin(bootstrap: &str) -> Result<AdminClient<DefaultClientContext>, String> {
    config(bootstrap, &[]).create().map_err(said)
}

/// Runs what the crate does in tasks.
fn to_its_end<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(future)
}

fn each<T, E: std::fmt::Debug>(results: Result<Vec<Result<T, E>>, KafkaError>) -> Outcome {
    for result in results.map_err(said)? {
        result.map_err(|error| format!("{error:?}"))?;
    }
    Ok(())
}

fn topics(bootstrap: &str) -> Outcome {
    let admin = admin(bootstrap)?;
    let options = AdminOptions::new();
    let left = NewTopic::new("left", 3, TopicReplication::Fixed(2)).set("retention.ms", "12345");
    let placed = NewTopic::new("placed", 2, TopicReplication::Variable(&[&[1, 2], &[3, 1]]));
    let gone = NewTopic::new("gone", 1, TopicReplication::Fixed(1));
    to_its_end(async {
        each(admin.create_topics([&left, &placed, &gone], &options).await)?;
        let validated = NewTopic::new("only-validated", 1, TopicReplication::Fixed(1));
        let validating = AdminOptions::new().validate_only(true);
        each(admin.create_topics([&validated], &validating).await)?;
        let again = admin.create_topics([&left], &options).await.map_err(said)?;
        let exists = RDKafkaErrorCode::TopicAlreadyExists;
        if !matches!(&again[0], Err((_, error)) if *error == exists) {
            return Err(format!("created again: {again:?}"));
        }
        let more = NewPartitions::new("left", 5);
        each(admin.create_partitions([&more], &options).await)?;
        each(admin.delete_topics(&["gone"], &options).await)
    })
}

fn configs(bootstrap: &str) -> Outcome {
    let admin = admin(bootstrap)?;
    let options = AdminOptions::new();
    let topic = NewTopic::new("configured", 1, TopicReplication::Fixed(1));
    let resource = ResourceSpecifier::Topic("configured");
    to_its_end(async {
        each(admin.create_topics([&topic], &options).await)?;
        let change = AlterConfig::new(resource).set("segment.bytes", "2097152");
        each(admin.alter_configs([&change], &options).await)?;
        let described = admin
            .describe_configs([&resource], &options)
            .await
            .map_err(said)?;
        let described = described[0]
            .as_ref()
            .map_err(|error| format!("{error:?}"))?;
        let entry = described.get("segment.bytes").ok_or("no segment.bytes")?;
        if entry.value.as_deref() == Some("2097152") && !entry.is_default {
            Ok(())
        } else {
            Err(format!("{entry:?}"))
        }
    })
}

fn records(bootstrap: &str) -> Outcome {
    let admin = admin(bootstrap)?;
    let mut to = TopicPartitionList::new();
    to.add_partition_offset("records", 0, Offset::Offset(30))
        .map_err(said)?;
    let deleted = to_its_end(admin.delete_records(&to, &AdminOptions::new()));
    let deleted = deleted.map_err(said)?;
    let first = deleted.elements()[0].offset();
    if first == Offset::Offset(30) {
        Ok(())
    } else {
        Err(format!("the first record left is {first:?}"))
    }
}

fn member(bootstrap: &str, group: &str) -> Result<BaseConsumer, String> {
    let settings = [
        ("group.id", group),
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "500"),
    ];
    let member = consumer(bootstrap, &settings)?;
    member.subscribe(&[READ_TOPIC]).map_err(said)?;
    Ok(member)
}

fn resume(bootstrap: &str) -> Outcome {
    let first = member(bootstrap, "group-resume")?;
    let mut ends = vec![0; READ_PARTITIONS.try_into().unwrap()];
    for _ in 0..120 {
        let (partition, offset) = next(&first)?;
        ends[usize::try_from(partition).unwrap()] = offset + 1;
    }
    first
        .commit_consumer_state(CommitMode::Sync)
        .map_err(said)?;
    drop(first);
    let second = member(bootstrap, "group-resume")?;
    for _ in 0..i64::from(READ_PARTITIONS) * N_RECORDS - 120 {
        let (partition, offset) = next(&second)?;
        let end = &mut ends[usize::try_from(partition).unwrap()];
        if offset != *end {
            return Err(format!("{partition} goes on at {offset}, not {end}"));
        }
        *end += 1;
    }
    second.commit_consumer_state(CommitMode::Sync).map_err(said)
}

fn rebalance(bootstrap: &str) -> Outcome {
    let mut members = Vec::new();
    for sizes in [&[3][..], &[1, 2], &[1, 1, 1]] {
        members.push(member(bootstrap, "group-rebalance")?);
        until_shared(&members, sizes);
    }
    members.remove(0);
    until_shared(&members, &[1, 2]);
    Ok(())
}

fn until_shared(members: &[BaseConsumer], sizes: &[usize]) {
    let what = format!("members share the partitions as {sizes:?}");
    wait_for(&what, seconds(60), || {
        let mut counts = Vec::new();
        for it in members {
            // Rebalances are served by polling.
            drop(it.poll(Duration::from_millis(20)));
            counts.push(it.assignment().map_err(said)?.count());
        }
        counts.sort_unstable();
        if counts == sizes {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    });
}

fn node_dies(cluster: &mut Cluster) -> i64 {
    let bootstrap = cluster.bootstrap();
    let tail = Tail::of(&bootstrap, "node-dies", READ_PARTITIONS);
    let settings = [("enable.idempotence", "true")];
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let n_sent = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let producer = Librdkafka::new(&bootstrap, &settings);
            let mut n: usize = 0;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let partition = i32::try_from(n).unwrap() % READ_PARTITIONS;
                let n_as_offset = i64::try_from(n).unwrap();
                producer.send_keyed(
                    "node-dies",
                    partition,
                    n,
                    &key(n_as_offset),
                    &value(n_as_offset),
                );
                n += 1;
                pause();
            }
            let reports = producer.finish(seconds(60));
            let failed = reports.deliveries.iter().find(|it| it.outcome.is_err());
            assert!(failed.is_none(), "{failed:?}");
            n
        });
        wait_until("it to be under way", LIMIT, || tail.position(0) > 30);
        nodes_die(cluster, if is_full() { 3 } else { 1 });
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().expect("the producer came to its end")
    });
    wait_until("everything to be read", seconds(60), || {
        let read: i64 = (0..READ_PARTITIONS).map(|it| tail.position(it)).sum();
        read == i64::try_from(n_sent).unwrap()
    });
    tail.stop();
    i64::try_from(n_sent).unwrap()
}
