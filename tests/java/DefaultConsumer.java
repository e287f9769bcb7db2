// Kafka's Java consumer as it comes out of the box, as a member of a group.
//
// Subscribes to a topic, says how many records it was given until they are as many as asked for, commits, leaves.
// Arguments: bootstrap addresses, topic, group, records to wait for.

import java.time.Duration;
import java.util.List;
import java.util.Map;

import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

public class DefaultConsumer {
    public static void main(String[] arguments) {
        Map<String, Object> config = Map.of(
            "bootstrap.servers", arguments[0], "group.id", arguments[2], "auto.offset.reset", "earliest");
        long nWanted = Long.parseLong(arguments[3]);
        long deadline = System.nanoTime() + Duration.ofSeconds(90).toNanos();
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(arguments[1]));
            long nRead = 0;
            while (nRead < nWanted) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException(nRead + " of " + nWanted + " read");
                }
                nRead += consumer.poll(Duration.ofSeconds(1)).count();
            }
            consumer.commitSync();
            System.out.println("read " + nRead);
        }
    }
}
