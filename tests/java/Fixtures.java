// Lets a real Kafka broker write the partitions of log/tests/fixtures/kafka-4, and Kafka's own reader say
// what is in them. Run by `make kafka-fixtures`; its README there says what each folder holds.

import java.io.File;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringSerializer;

public class Fixtures {
    /** Of every record that carries its own time: the same bytes in each run, as far as it goes. */
    static final long BEGINNING_MS = 1_700_000_000_000L;

    static final Map<String, Map<String, String>> TOPICS = Map.of(
        "codecs", Map.of("internal.segment.bytes", "2048", "index.interval.bytes", "300"),
        "transactions", Map.of("internal.segment.bytes", "1024", "index.interval.bytes", "300"),
        "compacted", Map.of("internal.segment.bytes", "1500", "index.interval.bytes", "300",
            "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01", "file.delete.delay.ms", "100",
            "delete.retention.ms", "1000000000"),
        "appendtime", Map.of("internal.segment.bytes", "1024", "index.interval.bytes", "300",
            "message.timestamp.type", "LogAppendTime"));

    public static void main(String[] arguments) throws Exception {
        Path out = Path.of(arguments[0]).toAbsolutePath();
        Path work = Files.createTempDirectory("kafka-fixtures");
        Path logs = work.resolve("logs");
        String address = "127.0.0.1:" + freePort();
        Path properties = work.resolve("server.properties");
        Files.write(properties, properties(logs, address));
        java(work, "kafka.tools.StorageTool", "format", "--standalone", "--cluster-id", "4L6g3nShT-eMCtK--X86sw",
            "--config", properties.toString());

        Process broker = start(work, properties);
        try {
            createTopics(address);
            beforeTheRestart(address);
            untilCleaned(logs);
        } finally {
            stop(broker);
        }
        // The second life begins a new leader epoch, and replays what the first wrote.
        broker = start(work, properties);
        try {
            afterTheRestart(address);
        } finally {
            stop(broker);
        }
        for (String topic : TOPICS.keySet()) {
            keep(logs.resolve(topic + "-0"), out.resolve(topic + "-0"), out.resolve(topic + "-0.txt"));
        }
        System.out.println("kept in " + out + ", the broker's own files in " + work);
        // The producer left open would go on asking for a broker that is gone.
        System.exit(0);
    }

    static void beforeTheRestart(String address) throws Exception {
        codecs(address, 0);
        transactions(address);
        compacted(address);
        appendTime(address);
    }

    /** A batch of five records and one of a single record by each codec, each by a producer of its own. */
    static void codecs(String address, int first) {
        int n = first;
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            try (var producer = producer(address, Map.of("compression.type", codec))) {
                for (int i = 0; i < 5; i++, n++) {
                    producer.send(record("codecs", n, n % 4 == 0 ? null : "key-" + n, (codec + " " + n + ", ").repeat(12)));
                }
                producer.flush();
                var single = record("codecs", n, "key-" + n, n % 2 == 0 ? null : codec + " alone");
                single.headers().add("codec", codec.getBytes()).add("empty", null);
                producer.send(single);
                producer.flush();
                n++;
            }
        }
    }

    /** Interleaved: one commits, one aborts twice, one that stays open over the end of the log. */
    static void transactions(String address) throws Exception {
        try (var commits = transactional(address, "commits"); var aborts = transactional(address, "aborts")) {
            int n = 0;
            for (int round = 0; round < 3; round++) {
                commits.beginTransaction();
                aborts.beginTransaction();
                for (int i = 0; i < 4; i++, n += 2) {
                    send(commits, record("transactions", n, "commits", "committed " + n));
                    send(aborts, record("transactions", n + 1, "aborts", "aborted " + (n + 1)));
                }
                commits.commitTransaction();
                aborts.abortTransaction();
            }
        }
        var open = transactional(address, "open");
        open.beginTransaction();
        send(open, record("transactions", 100, "open", "undecided"));
        try (var aborts = transactional(address, "late")) {
            aborts.beginTransaction();
            send(aborts, record("transactions", 101, "late", "aborted behind the open one"));
            aborts.abortTransaction();
        }
        // Not closed by `close()`, which would abort it.
        leaveOpen.add(open);
    }

    static final List<KafkaProducer<String, String>> leaveOpen = new ArrayList<>();

    /** Ten keys written over and over, some deleted: what is left has holes, and batches without records. */
    static void compacted(String address) {
        try (var producer = producer(address, Map.of("compression.type", "lz4"))) {
            for (int n = 0; n < 60; n++) {
                producer.send(record("compacted", n, "key-" + n % 10, n % 17 == 0 ? null : "value " + n));
                if (n % 4 == 3) {
                    producer.flush();
                }
            }
        }
        try (var producer = producer(address, Map.of())) {
            for (int n = 60; n < 66; n++) {
                producer.send(record("compacted", n, "gone-" + n % 2, n < 64 ? "value " + n : null));
            }
        }
        // Each a batch of one, so that whole batches go away; the last one of an idempotent producer stays, empty.
        try (var producer = producer(address, Map.of())) {
            for (int n = 66; n < 120; n++) {
                send(producer, record("compacted", n, "key-" + n % 7, "value " + n));
            }
        }
        try (var producer = producer(address, Map.of("enable.idempotence", "false"))) {
            for (int n = 120; n < 170; n++) {
                send(producer, record("compacted", n, "key-" + n % 3, "value " + n));
            }
        }
        // Fills what stays active, so that everything above is cleaned.
        try (var producer = producer(address, Map.of())) {
            for (int n = 170; n < 200; n++) {
                send(producer, record("compacted", n, "filler-" + n, "value " + n));
            }
        }
    }

    static void appendTime(String address) {
        for (String codec : List.of("none", "zstd")) {
            try (var producer = producer(address, Map.of("compression.type", codec))) {
                for (int n = 0; n < 12; n++) {
                    producer.send(record("appendtime", n, "key-" + n, codec + " " + n));
                    if (n % 3 == 2) {
                        producer.flush();
                    }
                }
            }
        }
    }

    static void afterTheRestart(String address) throws Exception {
        codecs(address, 30);
        try (var producer = transactional(address, "after")) {
            producer.beginTransaction();
            send(producer, record("transactions", 102, "after", "committed in the second life"));
            producer.commitTransaction();
        }
        // The coordinator promises the marker, and writes it behind the answer.
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", address))) {
            var partition = new TopicPartition("transactions", 0);
            until("the last marker", () -> admin.listOffsets(Map.of(partition, OffsetSpec.latest()))
                .partitionResult(partition).get().offset() == 35);
        }
    }

    static ProducerRecord<String, String> record(String topic, int n, String key, String value) {
        return new ProducerRecord<>(topic, 0, BEGINNING_MS + n * 1000L, key, value);
    }

    static void send(KafkaProducer<String, String> producer, ProducerRecord<String, String> record) {
        producer.send(record);
        producer.flush();
    }

    static KafkaProducer<String, String> producer(String address, Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", address, "linger.ms", 10_000));
        config.putAll(more);
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    static KafkaProducer<String, String> transactional(String address, String id) {
        var producer = producer(address, Map.of("transactional.id", id, "transaction.timeout.ms", 900_000));
        producer.initTransactions();
        return producer;
    }

    static void createTopics(String address) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", address))) {
            List<NewTopic> topics = new ArrayList<>();
            TOPICS.forEach((name, config) -> topics.add(new NewTopic(name, 1, (short) 1).configs(config)));
            admin.createTopics(topics).all().get(60, TimeUnit.SECONDS);
        }
    }

    /** Until the cleaner has reached the last segment, and what it replaced is gone. */
    static void untilCleaned(Path logs) throws Exception {
        Path folder = logs.resolve("compacted-0");
        Path checkpoint = logs.resolve("cleaner-offset-checkpoint");
        until("compaction", () -> {
            List<String> names;
            try (Stream<Path> files = Files.list(folder)) {
                names = files.map(it -> it.getFileName().toString()).toList();
            }
            long last = names.stream().filter(it -> it.endsWith(".log"))
                .mapToLong(it -> Long.parseLong(it.replace(".log", ""))).max().getAsLong();
            return names.stream().noneMatch(it -> it.endsWith(".deleted")) && Files.exists(checkpoint)
                && Files.readString(checkpoint).contains("compacted 0 " + last);
        });
    }

    static void until(String what, Callable<Boolean> holds) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(120);
        while (!holds.call()) {
            if (System.nanoTime() > deadline) {
                throw new TimeoutException("no " + what + " within two minutes");
            }
            Thread.sleep(100);
        }
    }

    /** The partition's files as Kafka left them, and what Kafka's reader says of them. */
    static void keep(Path from, Path to, Path description) throws Exception {
        Files.createDirectories(to);
        try (Stream<Path> old = Files.list(to)) {
            for (Path file : old.toList()) {
                Files.delete(file);
            }
        }
        List<String> names = new ArrayList<>();
        try (Stream<Path> files = Files.list(from)) {
            for (Path file : files.sorted().toList()) {
                String name = file.getFileName().toString();
                Files.copy(file, to.resolve(name), StandardCopyOption.REPLACE_EXISTING);
                if (name.matches("\\d{20}\\..*")) {
                    names.add(name);
                }
            }
        }
        Files.write(description, dumped(to, names));
    }

    static List<String> dumped(Path folder, List<String> names) throws Exception {
        Process dump = command(folder, "org.apache.kafka.tools.DumpLogSegments", "--deep-iteration",
            "--print-data-log", "--files", String.join(",", names)).redirectErrorStream(true).start();
        List<String> lines = new String(dump.getInputStream().readAllBytes())
            .replace(folder + "/", "").lines().toList();
        if (dump.waitFor() != 0) {
            throw new IllegalStateException(String.join("\n", lines));
        }
        return lines;
    }

    static List<String> properties(Path logs, String address) throws Exception {
        String controller = "127.0.0.1:" + freePort();
        return List.of("process.roles=broker,controller", "node.id=1", "log.dirs=" + logs,
            "listeners=PLAINTEXT://" + address + ",CONTROLLER://" + controller,
            "controller.listener.names=CONTROLLER", "controller.quorum.bootstrap.servers=" + controller,
            "offsets.topic.replication.factor=1", "offsets.topic.num.partitions=1",
            "transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
            "transaction.state.log.num.partitions=1", "log.cleaner.backoff.ms=100",
            "log.cleaner.dedupe.buffer.size=1048577", "auto.create.topics.enable=false");
    }

    static Process start(Path work, Path properties) throws Exception {
        File log = work.resolve("broker.log").toFile();
        return command(work, "kafka.Kafka", properties.toString()).redirectErrorStream(true)
            .redirectOutput(ProcessBuilder.Redirect.appendTo(log)).start();
    }

    static void stop(Process broker) throws Exception {
        broker.destroy();
        if (!broker.waitFor(60, TimeUnit.SECONDS)) {
            broker.destroyForcibly();
            throw new TimeoutException("the broker did not stop cleanly: its indexes are not cut to size");
        }
    }

    static void java(Path folder, String... command) throws Exception {
        if (command(folder, command).inheritIO().start().waitFor() != 0) {
            throw new IllegalStateException(String.join(" ", command));
        }
    }

    static ProcessBuilder command(Path folder, String... command) {
        List<String> words = new ArrayList<>(List.of(ProcessHandle.current().info().command().orElse("java"),
            "-Xmx512m", "-XX:+UseSerialGC", "-cp", System.getProperty("java.class.path")));
        words.addAll(List.of(command));
        return new ProcessBuilder(words).directory(folder.toFile());
    }

    static int freePort() throws Exception {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }
}
