"""kafka-python: the pure Python client."""

import threading
import time

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.errors import TopicAlreadyExistsError

from scenarios import (
    N_RECORDS, READ_FROM_MS, READ_PARTITIONS, READ_RECORDS, READ_TOPIC, check, check_equal, eventually, key, run, say,
    until_told_to_stop, value)

TIMEOUT = 30


def produce(bootstrap, topic, **settings):
    producer = KafkaProducer(bootstrap_servers=bootstrap.split(","), linger_ms=20, **settings)
    sent = [producer.send(topic, value(n), key(n), partition=0) for n in range(N_RECORDS)]
    producer.flush(TIMEOUT)
    for it in sent:
        it.get(TIMEOUT)
    producer.close()


def with_acks(topic, acks):
    return lambda bootstrap: produce(bootstrap, topic, acks=acks, enable_idempotence=False)


def with_codec(codec):
    return lambda bootstrap: produce(bootstrap, codec, compression_type=codec)


def idempotent(bootstrap):
    produce(bootstrap, "idempotent", enable_idempotence=True)


def nulls(bootstrap):
    producer = KafkaProducer(bootstrap_servers=bootstrap.split(","))
    headers = [("a", b"1"), ("a", b"2"), ("empty", b"")]
    producer.send("nulls", b"v", b"k", partition=0, headers=headers).get(TIMEOUT)
    producer.send("nulls", b"v", None, partition=0).get(TIMEOUT)
    producer.send("nulls", None, b"k", partition=0).get(TIMEOUT)
    producer.close()


def consumer(bootstrap, **settings):
    fixed = {"bootstrap_servers": bootstrap.split(","), "enable_auto_commit": False, "auto_offset_reset": "earliest"}
    return KafkaConsumer(**(fixed | settings))


def everywhere(topic=READ_TOPIC):
    return [TopicPartition(topic, it) for it in range(READ_PARTITIONS)]


def records_of(reader, wanted):
    """Exactly so many records, in the order they came."""
    found, deadline = [], time.monotonic() + TIMEOUT
    while len(found) < wanted:
        check(time.monotonic() < deadline, f"{len(found)} of {wanted} records came")
        for polled in reader.poll(500, max_records=wanted - len(found)).values():
            found += polled
    return found


def read_all(reader, wanted=READ_PARTITIONS * READ_RECORDS):
    found = {}
    for it in records_of(reader, wanted):
        n = found.setdefault(it.partition, 0)
        check_equal((it.offset, it.key, it.value), (n, key(n), value(n)), "a record")
        found[it.partition] += 1
    return found


def assign(bootstrap, **settings):
    reader = consumer(bootstrap, **settings)
    reader.assign(everywhere())
    reader.seek_to_beginning()
    read_all(reader)
    reader.close()


def isolation(bootstrap):
    assign(bootstrap, isolation_level="read_committed")


def seek(bootstrap):
    reader = consumer(bootstrap)
    partition = TopicPartition(READ_TOPIC, 1)
    reader.assign([partition])
    for offset in (90, 50, 10):
        reader.seek(partition, offset)
        check_equal(records_of(reader, 1)[0].offset, offset, "after a seek")
        check_equal(reader.position(partition), offset + 1, "position")
    reader.close()


def pause(bootstrap):
    reader = consumer(bootstrap)
    reader.assign(everywhere())
    reader.pause(TopicPartition(READ_TOPIC, 0))
    found = read_all(reader, (READ_PARTITIONS - 1) * READ_RECORDS)
    check(0 not in found, "a paused partition was read")
    reader.resume(TopicPartition(READ_TOPIC, 0))
    check_equal(read_all(reader, READ_RECORDS), {0: READ_RECORDS}, "what came after it was resumed")
    reader.close()


def timestamps(bootstrap):
    reader = consumer(bootstrap)
    found = reader.offsets_for_times({it: READ_FROM_MS + 40_000 for it in everywhere()})
    check_equal([it.offset for it in found.values()], [40] * READ_PARTITIONS, "offsets of a time")
    check_equal(set(reader.beginning_offsets(everywhere()).values()), {0}, "beginning")
    check_equal(set(reader.end_offsets(everywhere()).values()), {READ_RECORDS}, "end")
    reader.close()
    partition, admin = TopicPartition(READ_TOPIC, 0), KafkaAdminClient(bootstrap_servers=bootstrap.split(","))
    for timestamp, wanted in ((-1, 100), (-2, 0), (-3, 99), (READ_FROM_MS + 40_000, 40)):
        listed = admin.list_partition_offsets({partition: timestamp})[partition]
        check_equal(listed.offset, wanted, f"offset of {timestamp}")
    admin.close()


def topics(bootstrap):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap.split(","))
    left = {"left": {"num_partitions": 3, "replication_factor": 2, "configs": {"retention.ms": "12345"}}}
    admin.create_topics(left)
    admin.create_topics({"placed": {"assignments": {0: [1, 2], 1: [3, 1]}}})
    admin.create_topics({"gone": {"num_partitions": 1, "replication_factor": 1}})
    admin.create_topics({"only-validated": {"num_partitions": 1, "replication_factor": 1}}, validate_only=True)
    try:
        admin.create_topics(left)
        raise AssertionError("created twice")
    except TopicAlreadyExistsError:
        pass
    admin.create_partitions({"left": 5})
    admin.delete_topics(["gone"])
    found = admin.describe_topics(["left"])[0]
    check_equal((found["name"], len(found["partitions"])), ("left", 5), "described")
    eventually(lambda: "gone" not in admin.list_topics(), "a deleted topic is listed")
    admin.close()


def configs(bootstrap):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap.split(","))
    admin.create_topics({"configured": {"num_partitions": 1, "replication_factor": 1}})
    resource = ConfigResource(ConfigResourceType.TOPIC, "configured", {"segment.bytes": "2097152"})
    check_equal(admin.alter_configs([resource]), {"topic": {"configured": "OK"}}, "altered")
    resource = ConfigResource(ConfigResourceType.TOPIC, "configured")
    found = admin.describe_configs([resource], include_synonyms=True, config_filter="all")["topic"]["configured"]
    check_equal(found["segment.bytes"]["value"], "2097152", "a topic's own")
    check("log.segment.bytes" in str(found["segment.bytes"]["synonyms"]), "its synonym")
    resource = ConfigResource(ConfigResourceType.BROKER, "1")
    found = admin.describe_configs([resource], config_filter="all")["broker"]["1"]
    check_equal(found["node.id"]["value"], "1", "the broker's")
    listed = admin.list_config_resources(["TOPIC"])
    check("configured" in listed["topic"], "resources with a configuration")
    admin.close()


def records(bootstrap):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap.split(","))
    partition = TopicPartition("records", 0)
    deleted = admin.delete_records({partition: 30})
    check_equal(deleted[partition]["low_watermark"], 30, "low watermark")
    admin.close()
    reader = consumer(bootstrap)
    reader.assign([partition])
    reader.seek_to_beginning()
    check_equal(records_of(reader, 1)[0].offset, 30, "first record left")
    reader.close()


def cluster(bootstrap):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap.split(","))
    found = admin.describe_cluster()
    check_equal(sorted(it["broker_id"] for it in found["brokers"]), [1, 2, 3], "brokers")
    check(found["controller_id"] in (1, 2, 3) and found["cluster_id"], "controller and cluster")
    check_equal(len(admin.describe_metadata_quorum()["topics"][0]["partitions"][0]["current_voters"]), 3, "voters")
    check("metadata.version" in str(admin.describe_features()), "features")
    admin.close()


def log_dirs(bootstrap):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap.split(","))
    found = admin.describe_log_dirs()
    check_equal(sorted(it["broker"] for it in found), [1, 2, 3], "brokers")
    check(all(it["log_dirs"][0]["topics"] for it in found), "replicas in the directories")
    admin.close()


def topic_partitions(bootstrap):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap.split(","))
    first = admin.describe_topic_partitions([READ_TOPIC, "records"], response_partition_limit=2)
    check("next_cursor" in str(first), "a page is followed by another")
    whole = admin.describe_topic_partitions([READ_TOPIC])
    check_equal(len(whole["topics"][0]["partitions"]), READ_PARTITIONS, "partitions")
    admin.close()


def producers(bootstrap):
    produce(bootstrap, "producers", enable_idempotence=True)
    admin = KafkaAdminClient(bootstrap_servers=bootstrap.split(","))
    found = admin.describe_producers([TopicPartition("producers", 0)])
    state = next(iter(found.values()))
    check("last_sequence" in str(state) and str(N_RECORDS - 1) in str(state), f"{state}")
    admin.close()


def node_dies(bootstrap):
    told, read, n, is_told = until_told_to_stop(), set(), 0, False
    acked, failed, written = set(), [], threading.Event()

    def follow():
        reader = consumer(bootstrap)
        reader.assign(everywhere("node-dies"))
        reader.seek_to_beginning()
        while not written.is_set() or len(read) < n:
            for polled in reader.poll(200).values():
                read.update(int(it.key[2:]) for it in polled)
        reader.close()

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    producer = KafkaProducer(bootstrap_servers=bootstrap.split(","))
    sent = []
    while not told.is_set():
        it = producer.send("node-dies", value(n), key(n), partition=n % READ_PARTITIONS)
        it.add_callback(lambda _, n=n: acked.add(n))
        it.add_errback(failed.append)
        sent.append(it)
        n += 1
        # Slow enough that there is something left to be sent while a node dies.
        time.sleep(0.003)
        if len(acked) > 100 and not is_told:
            is_told = True
            say(event="running")
    producer.flush(60)
    check(not failed, failed[:1])
    check_equal(len(acked), n, "records acked")
    producer.close()
    written.set()
    follower.join(60)
    check_equal(len(read), n, "records read while a node died")
    return {"sent": n}


GROUP = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 500}


def subscribed(bootstrap, group, **settings):
    member = consumer(bootstrap, group_id=group, **(GROUP | settings))
    member.subscribe([READ_TOPIC])
    return member


def group_resume(bootstrap):
    first = subscribed(bootstrap, "group-resume")
    seen = {}
    for it in records_of(first, 120):
        seen[it.partition] = seen.get(it.partition, 0) + 1
    first.commit()
    first.close()
    second = subscribed(bootstrap, "group-resume")
    went_on = set()
    for it in records_of(second, READ_PARTITIONS * READ_RECORDS - 120):
        if it.partition not in went_on:
            went_on.add(it.partition)
            check_equal(it.offset, seen.get(it.partition, 0), "where the next member goes on")
    second.commit()
    check_equal([second.committed(it) for it in everywhere()], [READ_RECORDS] * READ_PARTITIONS, "committed")
    second.close()


def until_shared(members, sizes):
    deadline = time.monotonic() + 2 * TIMEOUT
    while sorted(len(it.assignment()) for it in members) != sorted(sizes):
        check(time.monotonic() < deadline, [it.assignment() for it in members])
        # A member that joins waits for the others: each is polled by a thread of its own.
        polling = [threading.Thread(target=it.poll, args=(100,)) for it in members]
        for it in polling:
            it.start()
        for it in polling:
            it.join()
    owned = [p for it in members for p in it.assignment()]
    check_equal(len(owned), len(set(owned)), "a partition has one owner")


def group_rebalance(bootstrap, group="group-rebalance", **settings):
    members = [subscribed(bootstrap, group, **settings)]
    until_shared(members, [3])
    members.append(subscribed(bootstrap, group, **settings))
    until_shared(members, [1, 2])
    members.append(subscribed(bootstrap, group, **settings))
    until_shared(members, [1, 1, 1])
    members.pop(0).close()
    until_shared(members, [1, 2])
    for it in members:
        it.close()


def group_sticky(bootstrap):
    group_rebalance(bootstrap, "group-sticky", partition_assignment_strategy=[StickyPartitionAssignor])


def group_pattern(bootstrap):
    member = consumer(bootstrap, group_id="group-pattern", **GROUP)
    member.subscribe(pattern="^pattern-.*")
    check_equal(sorted({it.topic for it in records_of(member, 20)}), ["pattern-a", "pattern-b"], "topics of a pattern")
    member.close()


def group_static(bootstrap):
    first = subscribed(bootstrap, "group-static", group_instance_id="steady")
    until_shared([first], [3])
    first.close()
    second = subscribed(bootstrap, "group-static", group_instance_id="steady")
    until_shared([second], [3])
    second.close()


def group_admin(bootstrap):
    member = subscribed(bootstrap, "group-admin")
    records_of(member, 300)
    member.commit()
    admin = KafkaAdminClient(bootstrap_servers=bootstrap.split(","))
    check("group-admin" in str(admin.list_groups()), "not listed")
    found = admin.describe_groups(["group-admin"])["group-admin"]
    check_equal((found["group_state"], len(found["members"])), ("Stable", 1), "described")
    member.close()
    admin.alter_group_offsets("group-admin", {TopicPartition(READ_TOPIC, 0): kafka.OffsetAndMetadata(7, "", -1)})
    offsets = admin.list_group_offsets("group-admin")["group-admin"]
    check_equal(sorted(it.offset for it in offsets.values()), [7, 100, 100], "offsets")
    admin.delete_groups(["group-admin"])
    check("group-admin" not in str(admin.list_groups()), "listed after it was deleted")
    admin.close()


run(kafka.__version__, {
    "acks-0": with_acks("acks-0", 0), "acks-1": with_acks("acks-1", 1), "acks-all": with_acks("acks-all", "all"),
    "idempotent": idempotent, "gzip": with_codec("gzip"), "snappy": with_codec("snappy"), "lz4": with_codec("lz4"),
    "zstd": with_codec("zstd"), "nulls": nulls, "assign": assign, "seek": seek, "pause": pause,
    "timestamps": timestamps, "isolation": isolation, "topics": topics, "configs": configs, "records": records,
    "cluster": cluster, "log-dirs": log_dirs, "topic-partitions": topic_partitions, "producers": producers,
    "node-dies": node_dies, "group-resume": group_resume, "group-rebalance": group_rebalance,
    "group-sticky": group_sticky, "group-pattern": group_pattern, "group-static": group_static,
    "group-admin": group_admin,
})
