"""aiokafka: the client for asyncio."""

import asyncio

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from scenarios import (
    N_RECORDS, READ_FROM_MS, READ_PARTITIONS, READ_RECORDS, READ_TOPIC, check, check_equal, key, run, say,
    until_told_to_stop, value)

TIMEOUT = 30


def to_its_end(scenario):
    return lambda bootstrap: asyncio.run(scenario(bootstrap))


async def produce(bootstrap, topic, **settings):
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, **settings) as producer:
        sent = [await producer.send(topic, value(n), key(n), partition=0) for n in range(N_RECORDS)]
        await asyncio.wait_for(asyncio.gather(*sent), TIMEOUT)


def with_acks(topic, acks):
    return to_its_end(lambda bootstrap: produce(bootstrap, topic, acks=acks))


def with_codec(codec):
    return to_its_end(lambda bootstrap: produce(bootstrap, codec, compression_type=codec))


async def idempotent(bootstrap):
    await produce(bootstrap, "idempotent", enable_idempotence=True)


async def nulls(bootstrap):
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        headers = [("a", b"1"), ("a", b"2"), ("empty", b"")]
        await producer.send_and_wait("nulls", b"v", b"k", partition=0, headers=headers)
        await producer.send_and_wait("nulls", b"v", None, partition=0)
        await producer.send_and_wait("nulls", None, b"k", partition=0)


def consumer(bootstrap, *topics, **settings):
    fixed = {"bootstrap_servers": bootstrap, "enable_auto_commit": False, "auto_offset_reset": "earliest"}
    return AIOKafkaConsumer(*topics, **(fixed | settings))


def everywhere(topic=READ_TOPIC):
    return [TopicPartition(topic, it) for it in range(READ_PARTITIONS)]


async def records_of(reader, wanted):
    return [await asyncio.wait_for(reader.getone(), TIMEOUT) for _ in range(wanted)]


async def read_all(reader, wanted=READ_PARTITIONS * READ_RECORDS):
    found = {}
    for it in await records_of(reader, wanted):
        n = found.setdefault(it.partition, 0)
        check_equal((it.offset, it.key, it.value), (n, key(n), value(n)), "a record")
        found[it.partition] += 1
    return found


async def assign(bootstrap, **settings):
    async with consumer(bootstrap, **settings) as reader:
        reader.assign(everywhere())
        await reader.seek_to_beginning()
        await read_all(reader)


async def isolation(bootstrap):
    await assign(bootstrap, isolation_level="read_committed")


async def seek(bootstrap):
    async with consumer(bootstrap) as reader:
        partition = TopicPartition(READ_TOPIC, 1)
        reader.assign([partition])
        for offset in (90, 50, 10):
            reader.seek(partition, offset)
            check_equal((await records_of(reader, 1))[0].offset, offset, "after a seek")


async def pause(bootstrap):
    async with consumer(bootstrap) as reader:
        reader.assign(everywhere())
        reader.pause(TopicPartition(READ_TOPIC, 0))
        await reader.seek_to_beginning()
        found = await read_all(reader, (READ_PARTITIONS - 1) * READ_RECORDS)
        check(0 not in found, "a paused partition was read")
        reader.resume(TopicPartition(READ_TOPIC, 0))
        check_equal(await read_all(reader, READ_RECORDS), {0: READ_RECORDS}, "what came after it was resumed")


async def timestamps(bootstrap):
    async with consumer(bootstrap) as reader:
        found = await reader.offsets_for_times({it: READ_FROM_MS + 40_000 for it in everywhere()})
        check_equal([it.offset for it in found.values()], [40] * READ_PARTITIONS, "offsets of a time")
        check_equal(set((await reader.beginning_offsets(everywhere())).values()), {0}, "beginning")
        check_equal(set((await reader.end_offsets(everywhere())).values()), {READ_RECORDS}, "end")


class Admin:
    def __init__(self, bootstrap):
        self.client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)

    async def __aenter__(self):
        await self.client.start()
        return self.client

    async def __aexit__(self, *_):
        await self.client.close()


def codes(response):
    return [it[1] for it in response.topic_errors]


async def topics(bootstrap):
    async with Admin(bootstrap) as admin:
        left = NewTopic("left", 3, 2, topic_configs={"retention.ms": "12345"})
        placed = NewTopic("placed", -1, -1, replica_assignments={0: [1, 2], 1: [3, 1]})
        check_equal(codes(await admin.create_topics([left, placed, NewTopic("gone", 1, 1)])), [0, 0, 0], "created")
        await admin.create_topics([NewTopic("only-validated", 1, 1)], validate_only=True)
        check_equal(codes(await admin.create_topics([left])), [36], "created again")
        await admin.create_partitions({"left": NewPartitions(5)})
        await admin.delete_topics(["gone"])
        found = (await admin.describe_topics(["left"]))[0]
        check_equal((found["topic"], len(found["partitions"])), ("left", 5), "described")
        # Brokers learn of a change one after another, and any of them may be asked.
        for _ in range(100):
            if "gone" not in (listed := await admin.list_topics()):
                break
            await asyncio.sleep(0.1)
        check("gone" not in listed, "a deleted topic is listed")


async def configs(bootstrap):
    async with Admin(bootstrap) as admin:
        await admin.create_topics([NewTopic("configured", 1, 1)])
        resource = ConfigResource(ConfigResourceType.TOPIC, "configured", {"segment.bytes": "2097152"})
        altered = await admin.alter_configs([resource])
        check_equal([it[0] for it in altered[0].resources], [0], "altered")
        resource = ConfigResource(ConfigResourceType.TOPIC, "configured")
        found = await admin.describe_configs([resource], include_synonyms=True)
        entry = {it[0]: it for it in found[0].resources[0][4]}["segment.bytes"]
        check_equal(entry[1], "2097152", "a topic's own")
        check("log.segment.bytes" in str(entry), "its synonym")
        found = await admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, "1")])
        check_equal({it[0]: it[1] for it in found[0].resources[0][4]}["node.id"], "1", "the broker's")


async def records(bootstrap):
    partition = TopicPartition("records", 0)
    async with Admin(bootstrap) as admin:
        deleted = await admin.delete_records({partition: RecordsToDelete(before_offset=30)})
        check_equal(deleted, {partition: 30}, "low watermark")
    async with consumer(bootstrap) as reader:
        reader.assign([partition])
        await reader.seek_to_beginning()
        check_equal((await records_of(reader, 1))[0].offset, 30, "first record left")


async def cluster(bootstrap):
    async with Admin(bootstrap) as admin:
        found = await admin.describe_cluster()
        check_equal(sorted(it["node_id"] for it in found["brokers"]), [1, 2, 3], "brokers")
        check(found["controller_id"] in (1, 2, 3), "controller")


async def node_dies(bootstrap):
    told, read, acked, is_told, n = until_told_to_stop(), set(), set(), False, 0
    written = asyncio.Event()

    async def follow():
        async with consumer(bootstrap) as reader:
            reader.assign(everywhere("node-dies"))
            await reader.seek_to_beginning()
            while not written.is_set() or len(read) < n:
                for polled in (await reader.getmany(timeout_ms=200)).values():
                    read.update(int(it.key[2:]) for it in polled)

    follower = asyncio.create_task(follow())
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
        sent = []
        while not told.is_set():
            it = await producer.send("node-dies", value(n), key(n), partition=n % READ_PARTITIONS)
            it.add_done_callback(lambda it, n=n: it.exception() or acked.add(n))
            sent.append(it)
            n += 1
            # Slow enough that there is something left to be sent while a node dies.
            await asyncio.sleep(0.003)
            if len(acked) > 100 and not is_told:
                is_told = True
                say(event="running")
        await asyncio.wait_for(asyncio.gather(*sent), 60)
    written.set()
    await asyncio.wait_for(follower, 60)
    check_equal(len(read), n, "records read while a node died")
    return {"sent": n}


GROUP = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 500}


def member_of(bootstrap, group, **settings):
    return consumer(bootstrap, READ_TOPIC, group_id=group, **(GROUP | settings))


async def group_resume(bootstrap):
    seen, went_on = {}, set()
    async with member_of(bootstrap, "group-resume") as first:
        for it in await records_of(first, 120):
            seen[it.partition] = seen.get(it.partition, 0) + 1
        await first.commit()
    async with member_of(bootstrap, "group-resume") as second:
        for it in await records_of(second, READ_PARTITIONS * READ_RECORDS - 120):
            if it.partition not in went_on:
                went_on.add(it.partition)
                check_equal(it.offset, seen.get(it.partition, 0), "where the next member goes on")
        await second.commit()
        committed = [await second.committed(it) for it in everywhere()]
        check_equal(committed, [READ_RECORDS] * READ_PARTITIONS, "committed")


async def until_shared(members, sizes):
    async def shared():
        while sorted(len(it.assignment()) for it in members) != sorted(sizes):
            await asyncio.sleep(0.05)
    try:
        await asyncio.wait_for(shared(), 2 * TIMEOUT)
    except TimeoutError:
        raise AssertionError([it.assignment() for it in members]) from None
    owned = [p for it in members for p in it.assignment()]
    check_equal(len(owned), len(set(owned)), "a partition has one owner")


async def group_rebalance(bootstrap, group="group-rebalance", **settings):
    members = []
    for sizes in ([3], [1, 2], [1, 1, 1]):
        members.append(member_of(bootstrap, group, **settings))
        await members[-1].start()
        await until_shared(members, sizes)
    await members.pop(0).stop()
    await until_shared(members, [1, 2])
    for it in members:
        await it.stop()


async def group_sticky(bootstrap):
    await group_rebalance(bootstrap, "group-sticky", partition_assignment_strategy=[StickyPartitionAssignor])


async def group_pattern(bootstrap):
    async with consumer(bootstrap, group_id="group-pattern", **GROUP) as member:
        member.subscribe(pattern="^pattern-.*")
        found = {it.topic for it in await records_of(member, 20)}
        check_equal(sorted(found), ["pattern-a", "pattern-b"], "topics of a pattern")


async def group_static(bootstrap):
    for _ in range(2):
        async with member_of(bootstrap, "group-static", group_instance_id="steady") as member:
            await until_shared([member], [3])


async def group_admin(bootstrap):
    async with Admin(bootstrap) as admin, member_of(bootstrap, "group-admin") as member:
        await records_of(member, 300)
        await member.commit()
        listed = await admin.list_consumer_groups()
        check("group-admin" in [it[0] for it in listed], "not listed")
        found = (await admin.describe_consumer_groups(["group-admin"]))[0].groups[0]
        check_equal((found[1], found[2], len(found[5])), ("group-admin", "Stable", 1), "described")
        offsets = await admin.list_consumer_group_offsets("group-admin")
        check_equal([it.offset for it in offsets.values()], [READ_RECORDS] * READ_PARTITIONS, "offsets")


run(aiokafka.__version__, {
    "acks-0": with_acks("acks-0", 0), "acks-1": with_acks("acks-1", 1), "acks-all": with_acks("acks-all", "all"),
    "gzip": with_codec("gzip"), "snappy": with_codec("snappy"), "lz4": with_codec("lz4"), "zstd": with_codec("zstd"),
} | {name: to_its_end(scenario) for name, scenario in {
    "idempotent": idempotent, "nulls": nulls, "assign": assign, "seek": seek, "pause": pause,
    "timestamps": timestamps, "isolation": isolation, "topics": topics, "configs": configs, "records": records,
    "cluster": cluster, "node-dies": node_dies, "group-resume": group_resume, "group-rebalance": group_rebalance,
    "group-sticky": group_sticky, "group-pattern": group_pattern, "group-static": group_static,
    "group-admin": group_admin,
}.items()})
