// Kafka's Java consumer as it comes out of the box, as a member of a group.
//
// Subscribes to a topic, says how many records it was given until they are as many as asked for, commits, leaves.
// Arguments: bootstrap addresses, topic, group, records to wait for, and where it is not the default the group
// protocol. A topic between slashes is a regular expression, for the broker to resolve.

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.serialization.StringDeserializer;

public class DefaultConsumer {
    public static void main(String[] arguments) {
        Map<String, Object> config = new HashMap<>(Map.of(
            "bootstrap.servers", arguments[0], "group.id", arguments[2], "auto.offset.reset", "earliest"));
        if (arguments.length > 4) {
            config.put("group.protocol", arguments[4]);
        }
        long nWanted = Long.parseLong(arguments[3]);
        long deadline = System.nanoTime() + Duration.ofSeconds(90).toNanos();
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            String topic = arguments[1];
            if (topic.startsWith("/")) {
                consumer.subscribe(new SubscriptionPattern(topic.substring(1, topic.length() - 1)));
            } else {
                consumer.subscribe(List.of(topic));
            }
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
