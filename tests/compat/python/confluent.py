"""confluent-kafka: librdkafka in Python."""

import threading
import time

import confluent_kafka
from confluent_kafka import (
    ConsumerGroupTopicPartitions, Consumer, IsolationLevel, KafkaError, KafkaException, OFFSET_BEGINNING,
    Producer, TopicPartition)
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec)

from scenarios import (
    N_RECORDS, READ_FROM_MS, READ_PARTITIONS, READ_RECORDS, READ_TOPIC, check, check_equal, eventually, key, run, say,
    until_told_to_stop, value)

TIMEOUT = 30


def produce(bootstrap, topic, **settings):
    failed = []
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20} | settings)
    for n in range(N_RECORDS):
        producer.produce(topic, value(n), key(n), 0, on_delivery=lambda error, _: error and failed.append(error))
    check_equal(producer.flush(TIMEOUT), 0, "records not reported on")
    check(not failed, failed[:1])


def with_acks(acks):
    return lambda bootstrap: produce(
        bootstrap, {"0": "acks-0", "1": "acks-1", "all": "acks-all"}[acks], acks=acks)


def with_codec(codec):
    return lambda bootstrap: produce(bootstrap, codec, **{"compression.type": codec})


def idempotent(bootstrap):
    produce(bootstrap, "idempotent", **{"enable.idempotence": True})


def nulls(bootstrap):
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce("nulls", b"v", b"k", 0, headers=[("a", b"1"), ("a", b"2"), ("empty", b"")])
    producer.produce("nulls", b"v", None, 0)
    producer.produce("nulls", None, b"k", 0)
    check_equal(producer.flush(TIMEOUT), 0, "records not reported on")


def consumer(bootstrap, **settings):
    fixed = {"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False,
             "auto.offset.reset": "earliest"}
    return Consumer(fixed | settings)


def everywhere(offset=OFFSET_BEGINNING, topic=READ_TOPIC):
    return [TopicPartition(topic, it, offset) for it in range(READ_PARTITIONS)]


def next_record(reader):
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        message = reader.poll(1)
        if message is not None and not message.error():
            return message
        if message is not None and not message.error().retriable() and message.error().code() > 0:
            raise KafkaException(message.error())
    raise TimeoutError("no record came")


def read_all(reader, wanted=READ_PARTITIONS * READ_RECORDS):
    found = {}
    for _ in range(wanted):
        message = next_record(reader)
        n = found.setdefault(message.partition(), 0)
        check_equal((message.offset(), message.key(), message.value()), (n, key(n), value(n)), "a record")
        found[message.partition()] += 1
    return found


def assign(bootstrap):
    reader = consumer(bootstrap)
    reader.assign(everywhere())
    read_all(reader)
    reader.close()


def isolation(bootstrap):
    reader = consumer(bootstrap, **{"isolation.level": "read_committed"})
    reader.assign(everywhere())
    read_all(reader)
    reader.close()


def seek(bootstrap):
    reader = consumer(bootstrap)
    reader.assign([TopicPartition(READ_TOPIC, 1, 90)])
    check_equal(next_record(reader).offset(), 90, "where it was assigned")
    for offset in (50, 10):
        reader.seek(TopicPartition(READ_TOPIC, 1, offset))
        check_equal(next_record(reader).offset(), offset, "after a seek")
    reader.close()


def pause(bootstrap):
    reader = consumer(bootstrap)
    reader.assign(everywhere())
    reader.pause([TopicPartition(READ_TOPIC, 0)])
    found = read_all(reader, (READ_PARTITIONS - 1) * READ_RECORDS)
    check(0 not in found, "a paused partition was read")
    reader.resume([TopicPartition(READ_TOPIC, 0)])
    check_equal(read_all(reader, READ_RECORDS), {0: READ_RECORDS}, "what came after it was resumed")
    reader.close()


def timestamps(bootstrap):
    reader = consumer(bootstrap)
    found = reader.offsets_for_times(everywhere(READ_FROM_MS + 40_000), timeout=TIMEOUT)
    check_equal([it.offset for it in found], [40] * READ_PARTITIONS, "offsets of a time")
    check_equal(reader.get_watermark_offsets(TopicPartition(READ_TOPIC, 0), timeout=TIMEOUT), (0, 100), "bounds")
    reader.close()
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for spec, wanted in ((OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 100), (OffsetSpec.max_timestamp(), 99),
                         (OffsetSpec.for_timestamp(READ_FROM_MS + 40_000), 40)):
        partition = TopicPartition(READ_TOPIC, 2)
        listed = admin.list_offsets({partition: spec})[partition].result(TIMEOUT)
        check_equal(listed.offset, wanted, f"{spec}")


def done(futures):
    return {name: future.result(TIMEOUT) for name, future in futures.items()}


def topics(bootstrap):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    left = NewTopic("left", 3, 2, config={"retention.ms": "12345"})
    done(admin.create_topics([left, NewTopic("placed", 2, replica_assignment=[[1, 2], [3, 1]]), NewTopic("gone", 1, 1)]))
    done(admin.create_topics([NewTopic("only-validated", 1, 1)], validate_only=True))
    try:
        done(admin.create_topics([left]))
        raise AssertionError("created twice")
    except KafkaException as error:
        check_equal(error.args[0].code(), KafkaError.TOPIC_ALREADY_EXISTS, "creating again")
    done(admin.create_partitions([NewPartitions("left", 5)]))
    done(admin.delete_topics(["gone"]))
    found = admin.describe_topics(confluent_kafka.TopicCollection(["left"]))["left"].result(TIMEOUT)
    check_equal((found.name, len(found.partitions)), ("left", 5), "described")
    eventually(lambda: "gone" not in admin.list_topics(timeout=TIMEOUT).topics, "a deleted topic is listed")


def configs(bootstrap):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    resource = ConfigResource(ConfigResource.Type.TOPIC, "configured")
    done(admin.create_topics([NewTopic("configured", 1, 1)]))
    resource.add_incremental_config(
        ConfigEntry("segment.bytes", "2097152", incremental_operation=AlterConfigOpType.SET))
    done(admin.incremental_alter_configs([resource]))
    found = done(admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, "configured")]))
    entry = next(iter(found.values()))["segment.bytes"]
    check_equal((entry.value, entry.source, entry.is_default), ("2097152", 1, False), "a topic's own")
    check("log.segment.bytes" in entry.synonyms, entry.synonyms)
    found = done(admin.describe_configs([ConfigResource(ConfigResource.Type.BROKER, "1")]))
    check_equal(next(iter(found.values()))["node.id"].value, "1", "the broker's")


def records(bootstrap):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    deleted = done(admin.delete_records([TopicPartition("records", 0, 30)]))
    check_equal([it.low_watermark for it in deleted.values()], [30], "low watermark")
    reader = consumer(bootstrap)
    reader.assign([TopicPartition("records", 0, OFFSET_BEGINNING)])
    check_equal(next_record(reader).offset(), 30, "first record left")
    reader.close()


def cluster(bootstrap):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    found = admin.describe_cluster().result(TIMEOUT)
    check_equal(sorted(it.id for it in found.nodes), [1, 2, 3], "brokers")
    check(found.controller.id in (1, 2, 3) and found.cluster_id, "controller and cluster")


def node_dies(bootstrap):
    told, acked, failed, n = until_told_to_stop(), set(), [], 0
    read, written = {}, threading.Event()

    def follow():
        reader = consumer(bootstrap)
        reader.assign(everywhere(topic="node-dies"))
        while not written.is_set() or len(read) < n:
            message = reader.poll(0.2)
            if message is not None and not message.error():
                read[int(message.key()[2:])] = True
        reader.close()

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    is_told = False
    while not told.is_set():
        def report(error, _, n=n):
            failed.append(error) if error else acked.add(n)
        producer.produce("node-dies", value(n), key(n), n % READ_PARTITIONS, on_delivery=report)
        n += 1
        producer.poll(0.003)
        if len(acked) > 100 and not is_told:
            is_told = True
            say(event="running")
    check_equal(producer.flush(60), 0, "records not reported on")
    check(not failed, failed[:1])
    written.set()
    follower.join(60)
    check_equal(len(read), n, "records read while a node died")
    return {"sent": n}


GROUP = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}


def subscribed(bootstrap, group, names=(READ_TOPIC,), **settings):
    member = consumer(bootstrap, **({"group.id": group} | GROUP | settings))
    member.subscribe(list(names))
    return member


def drain(member, wanted):
    """Reads until `wanted` records have come; the partitions of each."""
    found = {}
    for _ in range(wanted):
        message = next_record(member)
        found.setdefault((message.topic(), message.partition()), []).append(message.offset())
    return found


def group_resume(bootstrap, group="group-resume", **settings):
    first = subscribed(bootstrap, group, **settings)
    seen = drain(first, 120)
    first.commit(asynchronous=False)
    first.close()
    second = subscribed(bootstrap, group, **settings)
    rest = drain(second, READ_PARTITIONS * READ_RECORDS - 120)
    for partition, offsets in rest.items():
        check_equal(offsets[0], len(seen.get(partition, [])), "where the next member goes on")
    second.commit(asynchronous=False)
    committed = second.committed(everywhere(), timeout=TIMEOUT)
    check_equal([it.offset for it in committed], [READ_RECORDS] * READ_PARTITIONS, "committed")
    second.close()


def until_shared(members, sizes):
    deadline = time.monotonic() + 2 * TIMEOUT
    while sorted(len(it.assignment()) for it in members) != sorted(sizes):
        check(time.monotonic() < deadline, [it.assignment() for it in members])
        for it in members:
            it.poll(0.1)
    owned = [(p.topic, p.partition) for it in members for p in it.assignment()]
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
    members.pop().close()
    until_shared(members, [3])
    members.pop().close()


def group_cooperative(bootstrap):
    group_rebalance(bootstrap, "group-cooperative", **{"partition.assignment.strategy": "cooperative-sticky"})


def group_pattern(bootstrap):
    member = subscribed(bootstrap, "group-pattern", ["^pattern-.*"])
    check_equal(sorted({topic for topic, _ in drain(member, 20)}), ["pattern-a", "pattern-b"], "topics of a pattern")
    member.close()


def group_static(bootstrap):
    def member():
        return subscribed(bootstrap, "group-static", **{"group.instance.id": "steady"})
    first = member()
    until_shared([first], [3])
    first.close()
    second = member()
    until_shared([second], [3])
    fencing = member()
    until_shared([fencing], [3])
    deadline = time.monotonic() + TIMEOUT
    while True:
        message = second.poll(0.2)
        fencing.poll(0)
        if message is not None and message.error() and message.error().code() == KafkaError._FATAL:
            break
        check(time.monotonic() < deadline, "the member whose instance id was taken was not fenced")
    fencing.close()


def group_admin(bootstrap):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    member = subscribed(bootstrap, "group-admin")
    drain(member, 300)
    member.commit(asynchronous=False)
    listed = admin.list_consumer_groups().result(TIMEOUT)
    check("group-admin" in [it.group_id for it in listed.valid], "not listed")
    found = admin.describe_consumer_groups(["group-admin"])["group-admin"].result(TIMEOUT)
    check_equal((found.state.name, len(found.members)), ("STABLE", 1), "described")
    check_equal(len(found.members[0].assignment.topic_partitions), 3, "its assignment")
    member.close()
    asked = ConsumerGroupTopicPartitions("group-admin", [TopicPartition(READ_TOPIC, 0, 7)])
    admin.alter_consumer_group_offsets([asked])["group-admin"].result(TIMEOUT)
    asked = ConsumerGroupTopicPartitions("group-admin")
    found = admin.list_consumer_group_offsets([asked])["group-admin"].result(TIMEOUT)
    check_equal(sorted(it.offset for it in found.topic_partitions), [7, 100, 100], "offsets")
    done(admin.delete_consumer_groups(["group-admin"]))
    listed = admin.list_consumer_groups().result(TIMEOUT)
    check("group-admin" not in [it.group_id for it in listed.valid], "listed after it was deleted")


NEW = {"group.protocol": "consumer"}


def new_protocol(scenario, name):
    def without_classic_settings(bootstrap):
        global GROUP
        classic, GROUP = GROUP, {}
        try:
            scenario(bootstrap, name, **NEW)
        finally:
            GROUP = classic
    return without_classic_settings


run(f"{confluent_kafka.version()} (librdkafka {confluent_kafka.libversion()[0]})", {
    "acks-0": with_acks("0"), "acks-1": with_acks("1"), "acks-all": with_acks("all"), "idempotent": idempotent,
    "gzip": with_codec("gzip"), "snappy": with_codec("snappy"), "lz4": with_codec("lz4"), "zstd": with_codec("zstd"),
    "nulls": nulls, "assign": assign, "seek": seek, "pause": pause, "timestamps": timestamps, "isolation": isolation,
    "topics": topics, "configs": configs, "records": records, "cluster": cluster, "node-dies": node_dies,
    "group-resume": group_resume, "group-rebalance": group_rebalance, "group-cooperative": group_cooperative,
    "group-pattern": group_pattern, "group-static": group_static, "group-admin": group_admin,
    "new-resume": new_protocol(group_resume, "new-resume"),
    "new-rebalance": new_protocol(group_rebalance, "new-rebalance"),
})
