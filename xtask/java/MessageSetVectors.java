import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.LegacyRecord;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.utils.BufferSupplier;
import org.apache.kafka.common.utils.ByteBufferOutputStream;
import org.apache.kafka.common.utils.CloseableIterator;

/**
 * Logs of the message formats 0 and 1, alone and among newer batches, and what Kafka's classes read from them: a file for
 * the bytes and one for the records, or, in its place, one for the error.
 */
final class MessageSetVectors {
    private static final long TIME = 1_400_000_000_000L;

    private final Path dir;
    private final Map<String, Compression> codecs = new LinkedHashMap<>();
    private int sets;

    MessageSetVectors(Path dir) {
        this.dir = dir;
        codecs.put("none", Compression.NONE);
        codecs.put("gzip", Compression.gzip().build());
        codecs.put("snappy", Compression.snappy().build());
        codecs.put("lz4", Compression.lz4().build());
    }

    /** Returns the number of message sets. */
    int write(long seed) throws IOException {
        Files.createDirectories(dir);
        Random random = new Random(seed);
        for (Map.Entry<String, Compression> codec : codecs.entrySet()) {
            Compression with = codec.getValue();
            boolean wrapped = with != Compression.NONE;
            for (byte magic = 0; magic <= 1; magic++) {
                String name = "v" + magic + "-" + codec.getKey();
                add(name, build(magic, with, 0, mixed()));
                add(name + "-one", build(magic, with, 12_345_678_901L, mixed().subList(4, 5)));
                add(name + "-large", build(magic, with, 1000, large()));
                // Several behind each other, as a fetch response has them.
                add(name + "-run", build(magic, with, 70, mixed()), build(magic, with, 80, large()),
                    build(magic, with, 90, mixed().subList(0, 3)));
                add(name + "-hole", compacted(magic, with, List.of(1, 4, 5, 6, 9), mixed()));
                add(name + "-tail-gone", compacted(magic, with, List.of(0, 3), mixed()));
                for (int i = 0; i < 3; i++) {
                    add(name + "-random-" + i, build(magic, with, random.nextInt(1 << 20), random(random)));
                }
                if (wrapped) {
                    add(name + "-empty", wrapper(magic, 3, with, TimestampType.CREATE_TIME, ByteBuffer.allocate(0)));
                    add(name + "-twice", wrapper(magic, 9, with, TimestampType.CREATE_TIME, build(magic, with, 0, mixed())));
                    add(name + "-other-magic", wrapper(magic, 9, with, TimestampType.CREATE_TIME,
                        build((byte) (1 - magic), Compression.NONE, 0, mixed())));
                }
            }
            add("v1-" + codec.getKey() + "-append-time",
                build((byte) 1, with, TimestampType.LOG_APPEND_TIME, 40, TIME + 7, mixed()),
                build((byte) 1, with, TimestampType.LOG_APPEND_TIME, 60, TIME + 8, mixed()));
            if (wrapped) {
                // As a producer sends it: the broker has not given the wrapper its last offset yet.
                add("v1-" + codec.getKey() + "-producer", wrapper((byte) 1, 0, with, TimestampType.CREATE_TIME,
                    build((byte) 1, Compression.NONE, 0, mixed())));
                add("v1-" + codec.getKey() + "-offsets", wrapper((byte) 1, 4, with, TimestampType.CREATE_TIME,
                    build((byte) 1, Compression.NONE, 0, mixed())));
            }
        }
        // Within one log: what was there before an upgrade, and after it. Without gzip, see Vectors.compare.
        add("mixed-log", build((byte) 0, Compression.NONE, 0, mixed()), build((byte) 0, codecs.get("lz4"), 10, mixed()),
            build((byte) 1, codecs.get("snappy"), 20, mixed()), build((byte) 1, Compression.NONE, 30, mixed()),
            build((byte) 2, Compression.zstd().build(), 40, mixed()), build((byte) 1, codecs.get("lz4"), 50, mixed()),
            build((byte) 2, Compression.NONE, 60, mixed()));
        add("mixed-times", build((byte) 1, Compression.NONE, TimestampType.CREATE_TIME, 0, 0, mixed()),
            build((byte) 1, Compression.NONE, TimestampType.LOG_APPEND_TIME, 10, TIME, mixed()),
            build((byte) 1, codecs.get("lz4"), TimestampType.LOG_APPEND_TIME, 20, TIME, mixed()),
            build((byte) 0, Compression.NONE, 30, mixed()));
        return sets;
    }

    /** Reads all of it, as a consumer that checks checksums does. */
    private void add(String name, ByteBuffer... parts) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (ByteBuffer part : parts) {
            bytes.write(array(part));
        }
        Files.write(dir.resolve(name + ".bin"), bytes.toByteArray());
        StringBuilder records = new StringBuilder();
        try {
            for (MutableRecordBatch batch : MemoryRecords.readableRecords(ByteBuffer.wrap(bytes.toByteArray())).batches()) {
                dump(batch, records);
            }
            Files.writeString(dir.resolve(name + ".records"), records);
        } catch (KafkaException e) {
            Files.writeString(dir.resolve(name + ".error"), e.getMessage() + "\n");
        }
        sets++;
    }

    /** A line for each record: offset, timestamp, its type, key, value; and one for the offset behind what is compressed. */
    private static void dump(MutableRecordBatch batch, StringBuilder out) {
        batch.ensureValid();
        try (CloseableIterator<Record> records = batch.streamingIterator(BufferSupplier.NO_CACHING)) {
            while (records.hasNext()) {
                Record record = records.next();
                record.ensureValid();
                boolean appended = batch.timestampType() == TimestampType.LOG_APPEND_TIME;
                out.append(record.offset()).append(' ').append(record.timestamp()).append(appended ? " append " : " create ");
                out.append(BatchVectors.text(record.hasKey() ? record.key() : null)).append(' ');
                out.append(BatchVectors.text(record.hasValue() ? record.value() : null)).append('\n');
            }
        }
        if (batch.isCompressed()) {
            out.append("next ").append(batch.nextOffset()).append('\n');
        }
    }

    private static ByteBuffer build(byte magic, Compression compression, long baseOffset, List<SimpleRecord> records) {
        TimestampType type = magic == 0 ? TimestampType.NO_TIMESTAMP_TYPE : TimestampType.CREATE_TIME;
        return build(magic, compression, type, baseOffset, RecordBatch.NO_TIMESTAMP, records);
    }

    private static ByteBuffer build(byte magic, Compression compression, TimestampType type, long baseOffset, long appendTime,
            List<SimpleRecord> records) {
        try (MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1 << 16), magic, compression, type,
                baseOffset, appendTime)) {
            for (SimpleRecord record : records) {
                builder.append(magic == 0 ? RecordBatch.NO_TIMESTAMP : record.timestamp(), record.key(), record.value());
            }
            return builder.build().buffer();
        }
    }

    /** As the log cleaner of the time left it: this version's writes in the newest format. */
    private static ByteBuffer compacted(byte magic, Compression compression, List<Integer> kept, List<SimpleRecord> records) {
        TimestampType type = magic == 0 ? TimestampType.NO_TIMESTAMP_TYPE : TimestampType.CREATE_TIME;
        try (MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1 << 16), magic, compression, type,
                500 + kept.get(0), RecordBatch.NO_TIMESTAMP)) {
            for (int index : kept) {
                SimpleRecord record = records.get(index);
                long timestamp = magic == 0 ? RecordBatch.NO_TIMESTAMP : record.timestamp();
                builder.appendWithOffset(500 + index, timestamp, record.key(), record.value());
            }
            return builder.build().buffer();
        }
    }

    /** A compressed message around bytes that Kafka's own builder would not put there. */
    private static ByteBuffer wrapper(byte magic, long offset, Compression compression, TimestampType type, ByteBuffer content)
            throws IOException {
        ByteBufferOutputStream value = new ByteBufferOutputStream(1 << 12);
        try (OutputStream out = compression.wrapForOutput(value, magic)) {
            out.write(array(content));
        }
        value.buffer().flip();
        CompressionType codec = compression.type();
        ByteArrayOutputStream message = new ByteArrayOutputStream();
        LegacyRecord.write(new DataOutputStream(message), magic, magic == 0 ? RecordBatch.NO_TIMESTAMP : TIME, null,
            value.buffer(), codec, type);
        ByteBuffer bytes = ByteBuffer.allocate(12 + message.size());
        bytes.putLong(offset).putInt(message.size()).put(message.toByteArray()).flip();
        return bytes;
    }

    private static byte[] array(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }

    private static List<SimpleRecord> mixed() {
        List<SimpleRecord> records = new ArrayList<>();
        records.add(new SimpleRecord(TIME, (byte[]) null, null));
        records.add(new SimpleRecord(TIME - 1, bytes(""), bytes("")));
        records.add(new SimpleRecord(TIME + 86_400_000, bytes("k"), null));
        records.add(new SimpleRecord(0, null, bytes("v")));
        records.add(new SimpleRecord(-1, bytes("no time"), bytes("\u00e4\u4e2d\ud83e\udda6")));
        records.add(new SimpleRecord(Long.MAX_VALUE, bytes("end of time"), new byte[] {0, -1, 127, -128, '%', '~', ' ', '\n'}));
        records.add(new SimpleRecord(TIME, bytes("same"), bytes("same")));
        records.add(new SimpleRecord(TIME, bytes("same"), bytes("same")));
        records.add(new SimpleRecord(TIME + 1, bytes("k".repeat(63)), bytes("v".repeat(8200))));
        records.add(new SimpleRecord(TIME + 2, bytes("last"), bytes("one")));
        return records;
    }

    private static List<SimpleRecord> large() {
        List<SimpleRecord> records = new ArrayList<>();
        records.add(new SimpleRecord(TIME, bytes("small"), bytes("before")));
        records.add(new SimpleRecord(TIME + 1, bytes("large"), bytes("the same again, ".repeat(6_000))));
        records.add(new SimpleRecord(TIME + 2, bytes("small"), bytes("behind")));
        return records;
    }

    private static List<SimpleRecord> random(Random random) {
        List<SimpleRecord> records = new ArrayList<>();
        for (int i = random.nextInt(30); i >= 0; i--) {
            long timestamp = random.nextInt(8) == 0 ? -1 : TIME + random.nextInt();
            records.add(new SimpleRecord(timestamp, bytes(random, 12), bytes(random, 60)));
        }
        return records;
    }

    private static byte[] bytes(Random random, int most) {
        if (random.nextInt(6) == 0) {
            return null;
        }
        byte[] bytes = new byte[random.nextInt(most)];
        random.nextBytes(bytes);
        return bytes;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
