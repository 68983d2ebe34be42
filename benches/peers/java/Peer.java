import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * Java's client as a program; see {@code ../README.md}.
 *
 * <pre>
 *   version
 *   write BROKERS TOPIC PARTITION:CODEC:LEVEL:SET...
 *   read BROKERS TOPIC PARTITION:COUNT...
 *   produce BROKERS TOPIC RECORDS SIZE CODEC LINGER_MS BATCH_BYTES
 *   spread BROKERS TOPIC RECORDS SIZE CODEC LINGER_MS BATCH_BYTES PARTITIONS
 *   consume BROKERS TOPIC PARTITIONS RECORDS
 *   latency BROKERS TOPIC RECORDS SIZE
 * </pre>
 */
public final class Peer {
    private Peer() {
    }

    public static void main(String[] args) throws ExecutionException, InterruptedException {
        List<String> rest = Arrays.asList(args).subList(Math.min(3, args.length), args.length);
        switch (args[0]) {
            case "version" -> System.out.println(AppInfoParser.getVersion());
            case "write" -> {
                for (String batch : rest) {
                    write(args[1], args[2], batch.split(":"));
                }
            }
            case "read" -> read(args[1], args[2], rest);
            case "produce", "spread", "consume", "latency" -> Measured.run(args[0], args[1], args[2], rest);
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    private static void write(String brokers, String topic, String[] batch) throws ExecutionException, InterruptedException {
        int partition = Integer.parseInt(batch[0]);
        Map<String, Object> config = new TreeMap<>(Map.of("bootstrap.servers", brokers, "compression.type", batch[1],
            "batch.size", 1_000_000, "linger.ms", 1000));
        if (!batch[2].equals("-")) {
            config.put("compression." + batch[1] + ".level", Integer.parseInt(batch[2]));
        }
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (Records.Entry entry : Records.of(batch[3])) {
                sent.add(producer.send(new ProducerRecord<>(topic, partition, entry.timestamp(), entry.key(), entry.value(),
                    entry.headers())));
            }
            producer.flush();
        }
        for (Future<RecordMetadata> future : sent) {
            future.get();
        }
        System.out.println(partition);
    }

    private static void read(String brokers, String topic, List<String> readings) {
        Map<Integer, Integer> left = new TreeMap<>();
        Map<Integer, Digest> digests = new TreeMap<>();
        List<TopicPartition> partitions = new ArrayList<>();
        for (String reading : readings) {
            String[] words = reading.split(":");
            left.put(Integer.parseInt(words[0]), Integer.parseInt(words[1]));
            partitions.add(new TopicPartition(topic, Integer.parseInt(words[0])));
        }
        Map<Integer, Integer> counts = new TreeMap<>(left);
        Map<String, Object> config = Map.of("bootstrap.servers", brokers, "auto.offset.reset", "earliest",
            "enable.auto.commit", false);
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(partitions);
            while (!left.isEmpty()) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    int partition = record.partition();
                    Digest digest = digests.computeIfAbsent(partition, index -> new Digest());
                    digest.add(record);
                    if (!left.containsKey(partition)) {
                        System.out.println(partition + " more than expected");
                    } else if (left.merge(partition, -1, Integer::sum) == 0) {
                        left.remove(partition);
                        System.out.println(partition + " " + counts.get(partition) + " " + digest);
                    }
                }
            }
        }
    }
}
