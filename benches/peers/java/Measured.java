import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** What is measured; see {@code ../README.md}. */
final class Measured {
    /** How many bytes the different values have together. */
    private static final int VALUES_BYTES = 1 << 20;

    private Measured() {
    }

    static void run(String command, String brokers, String topic, List<String> words)
        throws ExecutionException, InterruptedException {
        int first = Integer.parseInt(words.get(0));
        int second = Integer.parseInt(words.get(1));
        switch (command) {
            case "produce", "spread" -> {
                int partitions = command.equals("spread") ? Integer.parseInt(words.get(5)) : 0;
                produce(topic, first, values(second), partitions, Map.of("bootstrap.servers", brokers,
                    "compression.type", words.get(2), "linger.ms", words.get(3), "batch.size", words.get(4)));
            }
            case "consume" -> consume(brokers, topic, first, second);
            default -> latency(topic, first, values(second), Map.of("bootstrap.servers", brokers, "linger.ms", 0));
        }
    }

    /** With partitions, records go to them in turn. */
    private static void produce(String topic, int records, List<byte[]> values, int partitions,
        Map<String, Object> config) throws ExecutionException {
        long started = System.nanoTime();
        AtomicInteger acknowledged = new AtomicInteger();
        AtomicReference<Exception> failure = new AtomicReference<>();
        Callback callback = (metadata, exception) -> {
            if (exception == null) {
                acknowledged.incrementAndGet();
            } else {
                failure.set(exception);
            }
        };
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (int i = 0; i < records; i++) {
                Integer partition = partitions == 0 ? null : i % partitions;
                producer.send(new ProducerRecord<>(topic, partition, null, values.get(i % values.size())), callback);
            }
            producer.flush();
        }
        if (failure.get() != null) {
            throw new ExecutionException(failure.get());
        }
        tell(started, "\"records\":%d,\"digest\":\"%s\"".formatted(acknowledged.get(), digest(values)));
    }

    private static void consume(String brokers, String topic, int partitions, int expected) {
        long started = System.nanoTime();
        Map<String, Object> config = Map.of("bootstrap.servers", brokers, "auto.offset.reset", "earliest",
            "enable.auto.commit", false, "max.poll.records", 10_000);
        List<TopicPartition> assigned = new ArrayList<>();
        for (int i = 0; i < partitions; i++) {
            assigned.add(new TopicPartition(topic, i));
        }
        int records = 0;
        long first = 0;
        long offsets = 0;
        long bytes = 0;
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(assigned);
            while (records < expected) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    if (records == 0) {
                        first = System.nanoTime() - started;
                    }
                    records++;
                    offsets += record.offset();
                    bytes += record.value().length;
                }
            }
        }
        tell(started, "\"records\":%d,\"offsets\":%d,\"bytes\":%d,\"first_us\":%d".formatted(records, offsets, bytes,
            first / 1000));
    }

    private static void latency(String topic, int records, List<byte[]> values, Map<String, Object> config)
        throws ExecutionException, InterruptedException {
        long started = System.nanoTime();
        long[] micros = new long[records];
        long first = 0;
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (int i = 0; i < records; i++) {
                long sent = System.nanoTime();
                producer.send(new ProducerRecord<>(topic, values.get(i % values.size()))).get();
                if (i == 0) {
                    first = System.nanoTime() - started;
                }
                micros[i] = (System.nanoTime() - sent) / 1000;
            }
        }
        Arrays.sort(micros);
        tell(started, "\"records\":%d,\"p50_us\":%d,\"p99_us\":%d,\"first_us\":%d".formatted(records,
            quantile(micros, 0.5), quantile(micros, 0.99), first / 1000));
    }

    private static long quantile(long[] sorted, double share) {
        return sorted[(int) Math.ceil(sorted.length * share) - 1];
    }

    private static void tell(long started, String fields) {
        System.out.println("{" + fields + ",\"secs\":" + (System.nanoTime() - started) / 1e9 + "}");
    }

    /** As in Rust: lines of JSON, cut where the value is long enough. */
    private static List<byte[]> values(int size) {
        Records.Random random = new Records.Random(4);
        int count = (VALUES_BYTES + size - 1) / Math.max(size, 1);
        List<byte[]> values = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            StringBuilder text = new StringBuilder();
            while (text.length() < size) {
                long high = random.below(1L << 31);
                long low = random.below(1L << 31);
                long user = random.below(100_000);
                long cents = random.below(100_000);
                String item = random.word();
                String note = random.word() + " " + random.word() + " " + random.word();
                boolean paid = random.below(2) == 1;
                text.append("{\"order\":\"").append(hex(high)).append(hex(low)).append("\",\"user\":").append(user)
                    .append(",\"item\":\"").append(item).append("\",\"cents\":").append(cents).append(",\"paid\":")
                    .append(paid).append(",\"note\":\"").append(note).append("\"}\n");
            }
            values.add(Arrays.copyOf(text.toString().getBytes(StandardCharsets.US_ASCII), size));
        }
        return values;
    }

    /** In eight digits: Java's own formatting would take longer than what is measured. */
    private static String hex(long number) {
        return Long.toHexString(number | 1L << 32).substring(1);
    }

    private static String digest(List<byte[]> values) {
        Digest digest = new Digest();
        for (byte[] value : values) {
            digest.add(0, null, value);
        }
        return digest.toString();
    }
}
