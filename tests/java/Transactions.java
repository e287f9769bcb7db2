// What a transactional producer is told by a cluster without transactions, and how soon.
// Arguments: bootstrap addresses.

import java.util.Map;

import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Transactions {
    public static void main(String[] arguments) {
        Map<String, Object> config = Map.of("bootstrap.servers", arguments[0], "transactional.id", "t");
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            long began = System.nanoTime();
            try {
                producer.initTransactions();
                System.out.println("begun");
            } catch (Exception error) {
                long millis = (System.nanoTime() - began) / 1_000_000;
                System.out.println(millis + " " + error);
            }
        }
    }
}
