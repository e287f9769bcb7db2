// Kafka's Java producer as it comes out of the box, idempotent, and what a consumer finds of what it sent.
//
// Sends numbers round robin to the partitions until its standard input ends, says now and then how many are
// acknowledged, then reads all of it back and refuses a loss, a duplicate and any disorder.
// Arguments: bootstrap addresses, topic, number of partitions.

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.LongSerializer;

public class DefaultProducer {
    static final AtomicLong acked = new AtomicLong();
    static final AtomicReference<Exception> failed = new AtomicReference<>();

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0];
        String topic = arguments[1];
        int nPartitions = Integer.parseInt(arguments[2]);
        AtomicBoolean finishing = new AtomicBoolean();
        Thread watcher = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (Exception ended) {
                // As good as an end.
            }
            finishing.set(true);
        });
        watcher.setDaemon(true);
        watcher.start();
        long nSent = send(bootstrap, topic, nPartitions, finishing);
        if (failed.get() != null) {
            throw failed.get();
        }
        if (acked.get() != nSent) {
            throw new IllegalStateException(acked.get() + " of " + nSent + " were acknowledged");
        }
        read(bootstrap, topic, nPartitions, nSent);
        System.out.println("sound " + nSent);
    }

    static long send(String bootstrap, String topic, int nPartitions, AtomicBoolean finishing) throws Exception {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap);
        long n = 0;
        try (var producer = new KafkaProducer<>(config, new LongSerializer(), new LongSerializer())) {
            while (!finishing.get() && failed.get() == null) {
                for (int i = 0; i < 100; i++, n++) {
                    var record = new ProducerRecord<>(topic, (int) (n % nPartitions), n, n);
                    producer.send(record, (metadata, error) -> {
                        if (error == null) {
                            acked.incrementAndGet();
                        } else {
                            failed.compareAndSet(null, error);
                        }
                    });
                }
                if (n % 1000 == 0) {
                    System.out.println("acked " + acked.get());
                }
                // Enough for several batches in flight, little enough to be read back soon.
                Thread.sleep(1);
            }
        }
        return n;
    }

    static void read(String bootstrap, String topic, int nPartitions, long nSent) {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap));
        try (var consumer = new KafkaConsumer<>(config, new LongDeserializer(), new LongDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            long[] next = new long[nPartitions];
            for (int partition = 0; partition < nPartitions; partition++) {
                partitions.add(new TopicPartition(topic, partition));
                next[partition] = partition;
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long nRead = 0;
            long deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
            while (nRead < nSent || !atEnd(consumer, partitions)) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException(nRead + " of " + nSent + " read back");
                }
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    long expected = next[record.partition()];
                    if (record.value() != expected || !record.key().equals(record.value())) {
                        throw new IllegalStateException("partition " + record.partition() + " offset "
                            + record.offset() + ": " + record.value() + " where " + expected + " belongs");
                    }
                    next[record.partition()] += nPartitions;
                    nRead++;
                }
            }
        }
    }

    static boolean atEnd(KafkaConsumer<Long, Long> consumer, List<TopicPartition> partitions) {
        Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
        return partitions.stream().allMatch(it -> consumer.position(it) == ends.get(it));
    }
}
