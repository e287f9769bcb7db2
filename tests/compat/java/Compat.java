// Kafka's own Java client, producer, consumer and admin, with default settings but where a scenario says otherwise.
//
// Arguments: addresses, then the names of scenarios, both with commas. Prints one line of JSON for each.

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.quota.*;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.AppInfoParser;

public class Compat {
    static final int RECORDS = 100;
    static final String READ_TOPIC = "read";
    static final int READ_PARTITIONS = 3;
    static final int READ_RECORDS = 100;
    static final long READ_FROM_MS = 1_700_000_000_000L;
    static final Duration TIMEOUT = Duration.ofSeconds(30);

    interface Scenario {
        void run() throws Exception;
    }

    static String bootstrap;
    static final Map<String, Scenario> SCENARIOS = new LinkedHashMap<>();
    /** What else is to be told of a scenario, as JSON. */
    static String facts = "";

    public static void main(String[] arguments) {
        bootstrap = arguments[0];
        declare();
        say("{\"version\":\"" + AppInfoParser.getVersion() + "\"}");
        for (String name : arguments[1].split(",")) {
            facts = "";
            String result;
            try {
                SCENARIOS.get(name).run();
                result = "\"ok\":true" + facts;
            } catch (Throwable error) {
                result = "\"ok\":false,\"reason\":\"" + escaped(error + place(error)) + "\"";
            }
            say("{\"scenario\":\"" + name + "\"," + result + "}");
        }
        // Clients of a failed scenario may still have threads.
        System.exit(0);
    }

    static void declare() {
        SCENARIOS.put("acks-0", () -> produce("acks-0", Map.of("acks", "0", "enable.idempotence", "false")));
        SCENARIOS.put("acks-1", () -> produce("acks-1", Map.of("acks", "1", "enable.idempotence", "false")));
        SCENARIOS.put("acks-all", () -> produce("acks-all", Map.of("acks", "all", "enable.idempotence", "false")));
        SCENARIOS.put("idempotent", () -> produce("idempotent", Map.of()));
        for (String codec : List.of("gzip", "snappy", "lz4", "zstd")) {
            SCENARIOS.put(codec, () -> produce(codec, Map.of("compression.type", codec)));
        }
        SCENARIOS.put("nulls", Compat::nulls);
        SCENARIOS.put("assign", () -> assign(Map.of()));
        SCENARIOS.put("isolation", () -> assign(Map.of("isolation.level", "read_committed")));
        SCENARIOS.put("seek", Compat::seek);
        SCENARIOS.put("pause", Compat::pause);
        SCENARIOS.put("timestamps", Compat::timestamps);
        SCENARIOS.put("topics", Compat::topics);
        SCENARIOS.put("configs", Compat::configs);
        SCENARIOS.put("records", Compat::records);
        SCENARIOS.put("cluster", Compat::cluster);
        SCENARIOS.put("log-dirs", Compat::logDirs);
        SCENARIOS.put("producers", Compat::producers);
        SCENARIOS.put("quotas", Compat::quotas);
        SCENARIOS.put("node-dies", Compat::nodeDies);
        SCENARIOS.put("group-resume", () -> resume("group-resume", Map.of()));
        SCENARIOS.put("new-resume", () -> resume("new-resume", NEW));
        SCENARIOS.put("group-rebalance", () -> rebalance("group-rebalance", Map.of()));
        SCENARIOS.put("group-sticky", () -> rebalance("group-sticky", strategy("StickyAssignor")));
        SCENARIOS.put("group-cooperative", () -> rebalance("group-cooperative", strategy("CooperativeStickyAssignor")));
        SCENARIOS.put("new-rebalance", () -> rebalance("new-rebalance", NEW));
        SCENARIOS.put("group-pattern", () -> pattern("group-pattern", Map.of()));
        SCENARIOS.put("new-pattern", Compat::newPattern);
        SCENARIOS.put("group-static", () -> steady("group-static", Map.of()));
        SCENARIOS.put("new-static", () -> steady("new-static", NEW));
        SCENARIOS.put("group-admin", () -> groupAdmin("group-admin", Map.of()));
        SCENARIOS.put("new-admin", () -> groupAdmin("new-admin", NEW));
    }

    static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    static String escaped(String text) {
        return text.replace("\\", "\\\\").replace("\"", "'").replaceAll("\\s+", " ");
    }

    static String place(Throwable error) {
        return Arrays.stream(error.getStackTrace())
            .filter(it -> it.getClassName().startsWith("Compat")).findFirst()
            .map(it -> " at line " + it.getLineNumber()).orElse("");
    }

    static void check(boolean isSo, String what) {
        if (!isSo) {
            throw new AssertionError(what);
        }
    }

    static void checkEqual(Object found, Object wanted, String what) {
        check(found.equals(wanted), what + ": " + found + " where " + wanted + " belongs");
    }

    interface Question {
        boolean ask() throws Exception;
    }

    /** Brokers learn of a change one after another, and any of them may be asked. */
    static void eventually(String what, Question isSo) throws Exception {
        long deadline = System.nanoTime() + TIMEOUT.toNanos();
        while (!isSo.ask()) {
            check(System.nanoTime() < deadline, what);
            Thread.sleep(10);
        }
    }

    static String key(long n) {
        return "k-" + n;
    }

    static String value(long n) {
        return "v-" + n + " " + "again ".repeat(20);
    }

    static Map<String, Object> with(Map<String, String> settings) {
        Map<String, Object> all = new HashMap<>(settings);
        all.put("bootstrap.servers", bootstrap);
        return all;
    }

    static Producer<String, String> producer(Map<String, String> settings) {
        return new KafkaProducer<>(with(settings), new StringSerializer(), new StringSerializer());
    }

    static void produce(String topic, Map<String, String> settings) throws Exception {
        Map<String, String> all = new HashMap<>(settings);
        all.put("linger.ms", "20");
        try (var producer = producer(all)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int n = 0; n < RECORDS; n++) {
                sent.add(producer.send(new ProducerRecord<>(topic, 0, key(n), value(n))));
            }
            for (var it : sent) {
                it.get(30, TimeUnit.SECONDS);
            }
        }
    }

    static void nulls() throws Exception {
        try (var producer = producer(Map.of())) {
            var first = new ProducerRecord<>("nulls", 0, "k", "v");
            first.headers().add("a", "1".getBytes()).add("a", "2".getBytes()).add("empty", new byte[0]);
            producer.send(first).get();
            producer.send(new ProducerRecord<>("nulls", 0, null, "v")).get();
            producer.send(new ProducerRecord<>("nulls", 0, "k", null)).get();
        }
    }

    static KafkaConsumer<String, String> consumer(Map<String, String> settings) {
        Map<String, Object> all = with(settings);
        all.put("auto.offset.reset", "earliest");
        all.put("enable.auto.commit", "false");
        return new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
    }

    static List<TopicPartition> everywhere(String topic) {
        List<TopicPartition> all = new ArrayList<>();
        for (int partition = 0; partition < READ_PARTITIONS; partition++) {
            all.add(new TopicPartition(topic, partition));
        }
        return all;
    }

    static List<ConsumerRecord<String, String>> recordsOf(Consumer<String, String> reader, int wanted) {
        List<ConsumerRecord<String, String>> found = new ArrayList<>();
        long deadline = System.nanoTime() + TIMEOUT.toNanos();
        while (found.size() < wanted) {
            check(System.nanoTime() < deadline, found.size() + " of " + wanted + " records came");
            reader.poll(Duration.ofMillis(200)).forEach(found::add);
        }
        return found;
    }

    static Map<Integer, Long> readAll(Consumer<String, String> reader, int wanted) {
        Map<Integer, Long> found = new TreeMap<>();
        for (var it : recordsOf(reader, wanted)) {
            long n = found.getOrDefault(it.partition(), 0L);
            boolean isSo = it.offset() == n && it.key().equals(key(n)) && it.value().equals(value(n));
            check(isSo, "partition " + it.partition() + " has " + it.offset() + " where " + n + " belongs");
            found.put(it.partition(), n + 1);
        }
        return found;
    }

    static void assign(Map<String, String> settings) {
        try (var reader = consumer(settings)) {
            reader.assign(everywhere(READ_TOPIC));
            readAll(reader, READ_PARTITIONS * READ_RECORDS);
        }
    }

    static void seek() {
        try (var reader = consumer(Map.of("max.poll.records", "1"))) {
            var partition = new TopicPartition(READ_TOPIC, 1);
            reader.assign(List.of(partition));
            for (long offset : new long[] {90, 50, 10}) {
                reader.seek(partition, offset);
                checkEqual(recordsOf(reader, 1).get(0).offset(), offset, "after a seek");
                checkEqual(reader.position(partition), offset + 1, "position");
            }
        }
    }

    static void pause() {
        try (var reader = consumer(Map.of())) {
            var paused = List.of(new TopicPartition(READ_TOPIC, 0));
            reader.assign(everywhere(READ_TOPIC));
            reader.pause(paused);
            var found = readAll(reader, (READ_PARTITIONS - 1) * READ_RECORDS);
            check(!found.containsKey(0), "a paused partition was read");
            reader.resume(paused);
            checkEqual(readAll(reader, READ_RECORDS), Map.of(0, 100L), "what came after it was resumed");
        }
    }

    static void timestamps() throws Exception {
        try (var reader = consumer(Map.of()); var admin = admin()) {
            Map<TopicPartition, Long> at = new HashMap<>();
            everywhere(READ_TOPIC).forEach(it -> at.put(it, READ_FROM_MS + 40_000));
            reader.offsetsForTimes(at).values().forEach(it -> checkEqual(it.offset(), 40L, "offset of a time"));
            reader.beginningOffsets(at.keySet()).values().forEach(it -> checkEqual(it, 0L, "beginning"));
            reader.endOffsets(at.keySet()).values().forEach(it -> checkEqual(it, 100L, "end"));
            Map<OffsetSpec, Long> specs = Map.of(OffsetSpec.earliest(), 0L, OffsetSpec.latest(), 100L,
                OffsetSpec.maxTimestamp(), 99L, OffsetSpec.earliestLocal(), 0L,
                OffsetSpec.forTimestamp(READ_FROM_MS + 40_000), 40L);
            var partition = new TopicPartition(READ_TOPIC, 0);
            for (var spec : specs.entrySet()) {
                long found = admin.listOffsets(Map.of(partition, spec.getKey())).partitionResult(partition).get().offset();
                checkEqual(found, spec.getValue(), spec.getKey().getClass().getSimpleName());
            }
            // Nothing is kept elsewhere, and that is an answer too.
            checkEqual(admin.listOffsets(Map.of(partition, OffsetSpec.latestTiered())).partitionResult(partition).get().offset(),
                -1L, "latest tiered");
        }
    }

    static Admin admin() {
        return Admin.create(with(Map.of()));
    }

    static void topics() throws Exception {
        try (var admin = admin()) {
            var left = new NewTopic("left", 3, (short) 2).configs(Map.of("retention.ms", "12345"));
            var created = admin.createTopics(List.of(left, new NewTopic("placed", Map.of(0, List.of(1, 2), 1, List.of(3, 1))),
                new NewTopic("gone", Optional.empty(), Optional.empty())));
            created.all().get();
            checkEqual(created.numPartitions("left").get(), 3, "partitions it was made with");
            checkEqual(created.config("left").get().get("retention.ms").value(), "12345", "config it was made with");
            admin.createTopics(List.of(new NewTopic("only-validated", 1, (short) 1)),
                new CreateTopicsOptions().validateOnly(true)).all().get();
            try {
                admin.createTopics(List.of(left)).all().get();
                throw new AssertionError("created twice");
            } catch (ExecutionException error) {
                check(error.getCause() instanceof TopicExistsException, "creating again: " + error);
            }
            admin.createPartitions(Map.of("left", NewPartitions.increaseTo(5))).all().get();
            admin.deleteTopics(List.of("gone")).all().get();
            eventually("the new partitions are described", () ->
                admin.describeTopics(List.of("left")).allTopicNames().get().get("left").partitions().size() == 5);
            eventually("a deleted topic is not listed", () -> !admin.listTopics().names().get().contains("gone"));
        }
    }

    static void configs() throws Exception {
        try (var admin = admin()) {
            admin.createTopics(List.of(new NewTopic("configured", 1, (short) 1))).all().get();
            var resource = new ConfigResource(ConfigResource.Type.TOPIC, "configured");
            var set = new AlterConfigOp(new ConfigEntry("segment.bytes", "2097152"), AlterConfigOp.OpType.SET);
            admin.incrementalAlterConfigs(Map.of(resource, List.of(set))).all().get();
            var options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
            eventually("the change is described", () -> {
                var entry = admin.describeConfigs(List.of(resource), options).all().get().get(resource).get("segment.bytes");
                return entry.value().equals("2097152") && entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG
                    && entry.synonyms().size() >= 2 && !entry.documentation().isEmpty()
                    && entry.type() != ConfigEntry.ConfigType.UNKNOWN;
            });
            var broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
            checkEqual(admin.describeConfigs(List.of(broker)).all().get().get(broker).get("node.id").value(), "1", "node.id");
            check(admin.listConfigResources(Set.of(ConfigResource.Type.TOPIC), new ListConfigResourcesOptions()).all().get()
                .contains(resource), "a topic is not among the resources");
        }
    }

    static void records() throws Exception {
        var partition = new TopicPartition("records", 0);
        try (var admin = admin(); var reader = consumer(Map.of())) {
            var deleted = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(30)));
            checkEqual(deleted.lowWatermarks().get(partition).get().lowWatermark(), 30L, "low watermark");
            reader.assign(List.of(partition));
            checkEqual(recordsOf(reader, 1).get(0).offset(), 30L, "first record left");
        }
    }

    static void cluster() throws Exception {
        try (var admin = admin()) {
            var found = admin.describeCluster();
            checkEqual(found.nodes().get().size(), 3, "brokers");
            check(found.controller().get().id() > 0 && !found.clusterId().get().isEmpty(), "controller and cluster");
            checkEqual(admin.describeMetadataQuorum().quorumInfo().get().voters().size(), 3, "voters");
            var features = admin.describeFeatures().featureMetadata().get();
            check(features.finalizedFeatures().containsKey("metadata.version"), "features: " + features);
        }
    }

    static void logDirs() throws Exception {
        try (var admin = admin()) {
            var found = admin.describeLogDirs(List.of(1, 2, 3)).allDescriptions().get();
            for (var ofBroker : found.values()) {
                for (var dir : ofBroker.values()) {
                    check(dir.error() == null && !dir.replicaInfos().isEmpty() && dir.totalBytes().isPresent(), "" + dir);
                }
            }
        }
    }

    static void producers() throws Exception {
        produce("producers", Map.of());
        var partition = new TopicPartition("producers", 0);
        try (var admin = admin()) {
            var found = admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers();
            checkEqual(found.size(), 1, "producers");
            checkEqual(found.get(0).lastSequence(), RECORDS - 1, "last sequence");
            check(found.get(0).currentTransactionStartOffset().isEmpty(), "no transaction is open");
        }
    }

    static void quotas() throws Exception {
        try (var admin = admin()) {
            var entity = new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, "quoted"));
            var set = new ClientQuotaAlteration.Op("producer_byte_rate", 1e6);
            admin.alterClientQuotas(List.of(new ClientQuotaAlteration(entity, List.of(set)))).all().get();
            var filter = ClientQuotaFilter.containsOnly(List.of(
                ClientQuotaFilterComponent.ofEntity(ClientQuotaEntity.CLIENT_ID, "quoted")));
            eventually("a quota is described as it was set", () ->
                admin.describeClientQuotas(filter).entities().get().equals(Map.of(entity, Map.of("producer_byte_rate", 1e6))));
            var unset = new ClientQuotaAlteration.Op("producer_byte_rate", null);
            admin.alterClientQuotas(List.of(new ClientQuotaAlteration(entity, List.of(unset)))).all().get();
            eventually("a quota that was taken back is gone", () ->
                admin.describeClientQuotas(filter).entities().get().isEmpty());
        }
    }

    static void nodeDies() throws Exception {
        AtomicBoolean isTold = new AtomicBoolean();
        Thread watcher = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (Exception ended) {
                // As good as an end.
            }
            isTold.set(true);
        });
        watcher.setDaemon(true);
        watcher.start();
        Set<String> acked = ConcurrentHashMap.newKeySet();
        Set<String> read = ConcurrentHashMap.newKeySet();
        AtomicReference<Exception> failed = new AtomicReference<>();
        AtomicBoolean isWritten = new AtomicBoolean();
        Thread follower = new Thread(() -> {
            try (var reader = consumer(Map.of())) {
                reader.assign(everywhere("node-dies"));
                while (!isWritten.get() || read.size() < acked.size()) {
                    reader.poll(Duration.ofMillis(200)).forEach(it -> read.add(it.key()));
                }
            } catch (Exception error) {
                failed.compareAndSet(null, error);
            }
        });
        follower.setDaemon(true);
        follower.start();
        long n = 0;
        boolean isRunning = false;
        try (var producer = producer(Map.of())) {
            while (!isTold.get()) {
                String key = key(n);
                producer.send(new ProducerRecord<>("node-dies", (int) (n % READ_PARTITIONS), key, value(n)), (it, error) -> {
                    if (error == null) {
                        acked.add(key);
                    } else {
                        failed.compareAndSet(null, error);
                    }
                });
                n++;
                // Slow enough that there is something left to be sent while a node dies.
                Thread.sleep(3);
                if (acked.size() > 100 && !isRunning) {
                    isRunning = true;
                    say("{\"event\":\"running\"}");
                }
            }
        }
        isWritten.set(true);
        follower.join(60_000);
        if (failed.get() != null) {
            throw failed.get();
        }
        checkEqual((long) acked.size(), n, "records acked");
        checkEqual((long) read.size(), n, "records read while a node died");
        facts = ",\"sent\":" + n;
    }

    static final Map<String, String> NEW = Map.of("group.protocol", "consumer");

    static Map<String, String> strategy(String name) {
        return Map.of("partition.assignment.strategy", "org.apache.kafka.clients.consumer." + name);
    }

    static KafkaConsumer<String, String> member(String group, Map<String, String> settings) {
        Map<String, String> all = new HashMap<>(settings);
        all.put("group.id", group);
        if (!settings.containsKey("group.protocol")) {
            all.put("session.timeout.ms", "6000");
            all.put("heartbeat.interval.ms", "500");
        }
        all.put("max.poll.records", "60");
        return consumer(all);
    }

    static KafkaConsumer<String, String> subscribed(String group, Map<String, String> settings) {
        var found = member(group, settings);
        found.subscribe(List.of(READ_TOPIC));
        return found;
    }

    static void resume(String group, Map<String, String> settings) {
        Map<Integer, Long> seen = new HashMap<>();
        int nSeen;
        try (var first = subscribed(group, settings)) {
            var records = recordsOf(first, 120);
            records.forEach(it -> seen.merge(it.partition(), 1L, Long::sum));
            nSeen = records.size();
            first.commitSync();
        }
        try (var second = subscribed(group, settings)) {
            Set<Integer> isOn = new HashSet<>();
            for (var it : recordsOf(second, READ_PARTITIONS * READ_RECORDS - nSeen)) {
                if (isOn.add(it.partition())) {
                    checkEqual(it.offset(), seen.getOrDefault(it.partition(), 0L), "where the next member goes on");
                }
            }
            second.commitSync();
            var committed = second.committed(Set.copyOf(everywhere(READ_TOPIC)));
            committed.values().forEach(it -> checkEqual(it.offset(), 100L, "committed"));
        }
    }

    /** Polled by one thread each, as an application would. */
    static class Member {
        final KafkaConsumer<String, String> consumer;
        final AtomicBoolean isLeaving = new AtomicBoolean();
        final AtomicReference<Throwable> failed = new AtomicReference<>();
        volatile Set<TopicPartition> owned = Set.of();
        final Thread thread;

        Member(KafkaConsumer<String, String> consumer) {
            this.consumer = consumer;
            thread = new Thread(() -> {
                try (consumer) {
                    while (!isLeaving.get()) {
                        consumer.poll(Duration.ofMillis(50));
                        owned = Set.copyOf(consumer.assignment());
                    }
                } catch (Throwable error) {
                    failed.set(error);
                }
                owned = Set.of();
            });
            thread.setDaemon(true);
            thread.start();
        }

        void leave() throws InterruptedException {
            isLeaving.set(true);
            thread.join(TIMEOUT.toMillis());
            check(failed.get() == null, "a member failed: " + failed.get());
        }
    }

    static void untilShared(List<Member> members, List<Integer> sizes) throws Exception {
        eventually("members share the partitions as " + sizes, () -> {
            members.forEach(it -> check(it.failed.get() == null, "a member failed: " + it.failed.get()));
            var counts = members.stream().map(it -> it.owned.size()).sorted().collect(Collectors.toList());
            Set<TopicPartition> all = new HashSet<>();
            members.forEach(it -> all.addAll(it.owned));
            return counts.equals(sizes) && all.size() == READ_PARTITIONS;
        });
    }

    static void rebalance(String group, Map<String, String> settings) throws Exception {
        List<Member> members = new ArrayList<>();
        for (var sizes : List.of(List.of(3), List.of(1, 2), List.of(1, 1, 1))) {
            members.add(new Member(subscribed(group, settings)));
            untilShared(members, sizes);
        }
        members.remove(0).leave();
        untilShared(members, List.of(1, 2));
        for (var it : members) {
            it.leave();
        }
    }

    static void checkTopicsOfPattern(Consumer<String, String> member) {
        Set<String> topics = new HashSet<>();
        recordsOf(member, 20).forEach(it -> topics.add(it.topic()));
        checkEqual(topics, Set.of("pattern-a", "pattern-b"), "topics of a pattern");
    }

    static void pattern(String group, Map<String, String> settings) {
        try (var member = member(group, settings)) {
            member.subscribe(Pattern.compile("pattern-.*"));
            checkTopicsOfPattern(member);
        }
    }

    static void newPattern() {
        try (var member = member("new-pattern", NEW)) {
            member.subscribe(new SubscriptionPattern("pattern-.*"));
            checkTopicsOfPattern(member);
        }
    }

    static void steady(String group, Map<String, String> settings) throws Exception {
        Map<String, String> all = new HashMap<>(settings);
        all.put("group.instance.id", "steady");
        for (int time = 0; time < 2; time++) {
            var it = new Member(subscribed(group, all));
            untilShared(List.of(it), List.of(3));
            it.leave();
        }
    }

    static void groupAdmin(String group, Map<String, String> settings) throws Exception {
        var first = new TopicPartition(READ_TOPIC, 0);
        try (var admin = admin()) {
            try (var member = subscribed(group, settings)) {
                recordsOf(member, READ_PARTITIONS * READ_RECORDS);
                member.commitSync();
                check(admin.listGroups().all().get().stream().anyMatch(it -> it.groupId().equals(group)), "not listed");
                var found = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
                checkEqual(found.groupState(), GroupState.STABLE, "state");
                checkEqual(found.members().size(), 1, "members");
                checkEqual(found.members().iterator().next().assignment().topicPartitions().size(), 3, "assigned");
            }
            admin.alterConsumerGroupOffsets(group, Map.of(first, new OffsetAndMetadata(7))).all().get();
            var offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            checkEqual(offsets.get(first).offset(), 7L, "altered offset");
            checkEqual(offsets.size(), READ_PARTITIONS, "partitions with an offset");
            admin.deleteConsumerGroupOffsets(group, Set.of(first)).all().get();
            offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            check(!offsets.containsKey(first), "a deleted offset is there");
            admin.deleteConsumerGroups(List.of(group)).all().get();
            check(admin.listGroups().all().get().stream().noneMatch(it -> it.groupId().equals(group)), "listed after it was deleted");
        }
    }
}
