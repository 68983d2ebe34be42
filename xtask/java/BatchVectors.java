import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.LongPredicate;

import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.compress.Lz4BlockOutputStream;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.DefaultRecordBatch;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecords.RecordFilter;
import org.apache.kafka.common.record.internal.MemoryRecords.RecordFilter.BatchRetention;
import org.apache.kafka.common.record.internal.MemoryRecords.RecordFilter.BatchRetentionResult;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.utils.BufferSupplier;
import org.apache.kafka.common.utils.CloseableIterator;

/** Record batches: a file for each, beside a manifest of their headers and lists of their records. */
final class BatchVectors {
    private static final long TIME = 1_700_000_000_000L;
    private static final long NONE = RecordBatch.NO_PRODUCER_ID;

    private final Path dir;
    private final StringBuilder manifest = new StringBuilder();
    private final Map<String, String> lists = new LinkedHashMap<>();

    BatchVectors(Path dir) {
        this.dir = dir;
    }

    /** Reads the batches that are there and compares with their description. */
    void check() throws IOException {
        int batches = 0;
        int records = 0;
        for (String line : Files.readAllLines(dir.resolve("manifest.txt"))) {
            String name = line.substring(0, line.indexOf(' '));
            String list = line.split(" ")[1].substring("records=".length());
            MutableRecordBatch batch = only(ByteBuffer.wrap(Files.readAllBytes(dir.resolve(name + ".bin"))));
            expect(name, line, describe(name, list, batch));
            String expected = Files.readString(dir.resolve(list + ".records"));
            expect(name, expected, dump(batch));
            batches++;
            records += batch.countOrNull();
        }
        System.out.printf("%d batches with %d records read as described%n", batches, records);
    }

    private static void expect(String name, String expected, String actual) {
        if (!expected.equals(actual)) {
            throw new AssertionError(name + "\n described: " + expected + "\n read:      " + actual);
        }
    }

    /** Returns the number of batches. */
    int write(long seed) throws IOException {
        Files.createDirectories(dir);
        Map<String, Compression> codecs = new LinkedHashMap<>();
        codecs.put("none", Compression.NONE);
        codecs.put("gzip", Compression.gzip().build());
        codecs.put("snappy", Compression.snappy().build());
        codecs.put("lz4", Compression.lz4().build());
        codecs.put("zstd", Compression.zstd().build());
        for (Map.Entry<String, Compression> codec : codecs.entrySet()) {
            add(codec.getKey() + "-one", codec.getValue(), one());
            add(codec.getKey() + "-mixed", codec.getValue(), mixed());
            if (codec.getValue() != Compression.NONE) {
                add(codec.getKey() + "-large", codec.getValue(), large());
            }
        }
        add("none-thousand", Compression.NONE, thousand());
        add("snappy-thousand", Compression.snappy().build(), thousand());
        for (int level : new int[] {1, 6, 9}) {
            add("gzip-" + level + "-thousand", Compression.gzip().level(level).build(), thousand());
        }
        for (int level : new int[] {1, 9, 17}) {
            add("lz4-" + level + "-thousand", Compression.lz4().level(level).build(), thousand());
        }
        for (int level : new int[] {-131072, 1, 3, 22}) {
            add("zstd-" + level + "-thousand", Compression.zstd().level(level).build(), thousand());
        }

        for (int level = 1; level <= 17; level++) {
            if (level <= 9) {
                add("gzip-" + level + "-hundred", Compression.gzip().level(level).build(), thousand().subList(0, 100));
            }
            add("lz4-" + level + "-hundred", Compression.lz4().level(level).build(), thousand().subList(0, 100));
        }
        for (int level = -7; level <= 22; level++) {
            add("zstd-" + level + "-hundred", Compression.zstd().level(level).build(), thousand().subList(0, 100));
        }
        for (Map.Entry<String, Compression> codec : codecs.entrySet()) {
            add(codec.getKey() + "-ten-thousand", codec.getValue(), tenThousand());
        }
        random(new Random(seed), codecs);

        add("none-append-time", build(Compression.NONE, TimestampType.LOG_APPEND_TIME, 5_000_000_000L, NONE, (short) -1, -1,
            false, 12, mixed()));
        add("gzip-append-time", build(Compression.gzip().build(), TimestampType.LOG_APPEND_TIME, 7, NONE, (short) -1, -1,
            false, 0, thousand().subList(0, 20)));
        for (String codec : List.of("snappy", "lz4", "zstd")) {
            add(codec + "-append-time", build(codecs.get(codec), TimestampType.LOG_APPEND_TIME, 7, NONE, (short) -1, -1, false, 0,
                thousand().subList(0, 20)));
        }
        add("transactional-none", build(Compression.NONE, TimestampType.CREATE_TIME, 9, 4711, (short) 0, 12, true, 5, mixed()));
        add("idempotent", build(Compression.NONE, TimestampType.CREATE_TIME, 0, 4711, (short) 3, Integer.MAX_VALUE - 1,
            false, -1, mixed()));
        add("transactional", build(Compression.zstd().build(), TimestampType.CREATE_TIME, 1L << 40, Long.MAX_VALUE,
            Short.MAX_VALUE, 0, true, 5, mixed()));
        add("commit", marker(ControlRecordType.COMMIT, 0));
        add("abort", marker(ControlRecordType.ABORT, Integer.MAX_VALUE));

        for (String codec : List.of("none", "lz4", "zstd")) {
            ByteBuffer batch = build(codecs.get(codec), TimestampType.CREATE_TIME, 900, 8, (short) 1, 55, false, 2,
                thousand().subList(0, 40));
            add(codec + "-hole", compact(batch.duplicate(), 0, offset -> offset % 3 == 1 || offset == 900));
            add(codec + "-tail-gone", compact(batch.duplicate(), 0, offset -> offset > 905 && offset < 910));
            add(codec + "-emptied", compact(batch.duplicate(), 0, offset -> false));
        }
        // A tombstone among the kept records makes the cleaner write a delete horizon (KIP-534).
        ByteBuffer tombstones = build(Compression.NONE, TimestampType.CREATE_TIME, 60, NONE, (short) -1, -1, false, 2, mixed());
        add("delete-horizon", compact(tombstones, TIME + 99_000, offset -> offset != 60));

        add("lz4-frame-4m-blocks-checksums", lz4(7, true));
        add("lz4-frame-256k-blocks", lz4(5, false));

        Files.writeString(dir.resolve("manifest.txt"), manifest);
        for (Map.Entry<String, String> list : lists.entrySet()) {
            Files.writeString(dir.resolve(list.getValue() + ".records"), list.getKey());
        }
        check();
        return manifest.toString().split("\n").length;
    }

    private void add(String name, Compression compression, List<SimpleRecord> records) throws IOException {
        add(name, build(compression, TimestampType.CREATE_TIME, 0, NONE, (short) -1, -1, false, -1, records));
    }

    private void add(String name, ByteBuffer bytes) throws IOException {
        byte[] array = new byte[bytes.remaining()];
        bytes.duplicate().get(array);
        Files.write(dir.resolve(name + ".bin"), array);
        MutableRecordBatch batch = only(bytes);
        String list = lists.computeIfAbsent(dump(batch), content -> name);
        manifest.append(describe(name, list, batch)).append('\n');
    }

    private static ByteBuffer build(Compression compression, TimestampType type, long baseOffset, long producerId, short epoch,
            int sequence, boolean transactional, int leaderEpoch, List<SimpleRecord> records) {
        try (MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1 << 16), RecordBatch.CURRENT_MAGIC_VALUE,
                compression, type, baseOffset, type == TimestampType.LOG_APPEND_TIME ? TIME + 5 : RecordBatch.NO_TIMESTAMP,
                producerId, epoch, sequence, transactional, leaderEpoch)) {
            records.forEach(builder::append);
            return builder.build().buffer();
        }
    }

    private static ByteBuffer marker(ControlRecordType type, int coordinatorEpoch) {
        return MemoryRecords.withEndTransactionMarker(33, TIME, 6, 4711, (short) 3,
            new EndTransactionMarker(type, coordinatorEpoch)).buffer();
    }

    /** What the log cleaner leaves. */
    private static ByteBuffer compact(ByteBuffer log, long now, LongPredicate keep) {
        ByteBuffer target = ByteBuffer.allocate(1 << 16);
        RecordFilter filter = new RecordFilter(now, 1000) {
            @Override
            protected BatchRetentionResult checkBatchRetention(RecordBatch batch) {
                return new BatchRetentionResult(BatchRetention.RETAIN_EMPTY, false);
            }

            @Override
            protected boolean shouldRetainRecord(RecordBatch batch, Record record) {
                return keep.test(record.offset());
            }
        };
        MemoryRecords.readableRecords(log.duplicate()).filterTo(filter, target, BufferSupplier.NO_CACHING);
        target.flip();
        return target;
    }

    /** The records of the large batch in an LZ4 frame that Java's producer has no setting for. */
    private static ByteBuffer lz4(int blockSize, boolean checksums) throws IOException {
        ByteBuffer plain = build(Compression.NONE, TimestampType.CREATE_TIME, 0, NONE, (short) -1, -1, false, -1, large());
        int header = DefaultRecordBatch.RECORD_BATCH_OVERHEAD;
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        try (OutputStream out = new Lz4BlockOutputStream(body, blockSize, 9, checksums, false)) {
            out.write(plain.array(), plain.arrayOffset() + header, plain.remaining() - header);
        }
        MutableRecordBatch batch = only(plain);
        ByteBuffer bytes = ByteBuffer.allocate(header + body.size());
        bytes.position(header);
        bytes.put(body.toByteArray());
        bytes.flip();
        DefaultRecordBatch.writeHeader(bytes, 0, (int) batch.lastOffset(), header + body.size(),
            RecordBatch.CURRENT_MAGIC_VALUE, CompressionType.LZ4, TimestampType.CREATE_TIME,
            ((DefaultRecordBatch) batch).baseTimestamp(), batch.maxTimestamp(), NONE, (short) -1, -1, false, false, false, -1,
            batch.countOrNull());
        bytes.position(0);
        return bytes;
    }

    private static List<SimpleRecord> one() {
        return List.of(new SimpleRecord(TIME, bytes("key"), bytes("value")));
    }

    private static List<SimpleRecord> mixed() {
        List<SimpleRecord> records = new ArrayList<>();
        records.add(new SimpleRecord(TIME, (byte[]) null, null));
        records.add(new SimpleRecord(TIME - 1, bytes(""), bytes("")));
        records.add(new SimpleRecord(TIME + 86_400_000, bytes("k"), null));
        records.add(new SimpleRecord(0, null, bytes("v")));
        records.add(new SimpleRecord(-1, bytes("no time"), bytes("\u00e4\u4e2d\ud83e\udda6")));
        records.add(new SimpleRecord(Long.MAX_VALUE, bytes("end of time"), new byte[] {0, -1, 127, -128, '%', '~', ' ', '\n'}));
        records.add(new SimpleRecord(TIME, bytes("h"), bytes("v"), headers("a", "1")));
        records.add(new SimpleRecord(TIME, bytes("h"), bytes("v"), headers("b", "2", "a", null, "b", "3", "b", "2", "", "", "a", "")));
        records.add(new SimpleRecord(TIME, (byte[]) null, null, headers("\u00fcber=schrift", "100%")));
        records.add(new SimpleRecord(TIME, bytes("k".repeat(63)), bytes("v".repeat(64)), headers("h".repeat(200), "x".repeat(8200))));
        return records;
    }

    private static List<SimpleRecord> large() {
        List<SimpleRecord> records = new ArrayList<>();
        records.add(new SimpleRecord(TIME, bytes("small"), bytes("before")));
        records.add(new SimpleRecord(TIME + 1, bytes("large"), bytes("the same again, ".repeat(12_345))));
        records.add(new SimpleRecord(TIME + 2, bytes("large"), bytes("0".repeat(80_000))));
        records.add(new SimpleRecord(TIME + 3, bytes("small"), bytes("behind")));
        return records;
    }

    private static List<SimpleRecord> thousand() {
        List<SimpleRecord> records = new ArrayList<>();
        int state = 42;
        for (int i = 0; i < 1000; i++) {
            state = state * 1_664_525 + 1_013_904_223;
            String value = String.format("%d-%08x", i, state);
            byte[] key = i % 10 == 0 ? null : bytes("k" + (state >>> 24));
            Header[] headers = i % 100 == 0 ? headers("n", Integer.toString(i)) : new Header[0];
            records.add(new SimpleRecord(TIME + i / 7, key, bytes(value), headers));
        }
        return records;
    }

    private static List<SimpleRecord> tenThousand() {
        List<SimpleRecord> records = new ArrayList<>();
        for (int i = 0; i < 10_000; i++) {
            records.add(new SimpleRecord(TIME + i / 100, null, bytes(Integer.toString(i))));
        }
        return records;
    }

    /** Batches whose every field is by chance. */
    private void random(Random random, Map<String, Compression> codecs) throws IOException {
        for (Map.Entry<String, Compression> codec : codecs.entrySet()) {
            for (int i = 0; i < 4; i++) {
                List<SimpleRecord> records = new ArrayList<>();
                for (int left = random.nextInt(20); left >= 0; left--) {
                    Header[] headers = new Header[random.nextInt(4) == 0 ? random.nextInt(4) : 0];
                    for (int h = 0; h < headers.length; h++) {
                        headers[h] = new RecordHeader("h" + random.nextInt(), bytes(random, 9));
                    }
                    records.add(new SimpleRecord(TIME + random.nextInt(), bytes(random, 9), bytes(random, 40), headers));
                }
                boolean producer = random.nextBoolean();
                add("random-" + codec.getKey() + "-" + i, build(codec.getValue(),
                    random.nextBoolean() ? TimestampType.CREATE_TIME : TimestampType.LOG_APPEND_TIME, random.nextLong() >>> 2,
                    producer ? random.nextLong() >>> 1 : NONE, (short) (producer ? random.nextInt(1 << 15) : -1),
                    producer ? random.nextInt(Integer.MAX_VALUE) : -1, producer && random.nextBoolean(), random.nextInt() >>> 1,
                    records));
            }
        }
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

    private static Header[] headers(String... keysAndValues) {
        Header[] headers = new Header[keysAndValues.length / 2];
        for (int i = 0; i < headers.length; i++) {
            String value = keysAndValues[2 * i + 1];
            headers[i] = new RecordHeader(keysAndValues[2 * i], value == null ? null : bytes(value));
        }
        return headers;
    }

    private static MutableRecordBatch only(ByteBuffer bytes) {
        MutableRecordBatch only = null;
        int size = bytes.remaining();
        for (MutableRecordBatch batch : MemoryRecords.readableRecords(bytes).batches()) {
            if (only != null || batch.sizeInBytes() != size) {
                throw new AssertionError("not one batch");
            }
            only = batch;
        }
        only.ensureValid();
        return only;
    }

    private static String describe(String name, String list, MutableRecordBatch batch) {
        return String.format("%s records=%s base_offset=%d size=%d leader_epoch=%d crc=%d compression=%s timestamp_type=%s "
                + "transactional=%s control=%s delete_horizon=%d last_offset=%d next_offset=%d max_timestamp=%d "
                + "producer_id=%d producer_epoch=%d base_sequence=%d last_sequence=%d count=%d",
            name, list, batch.baseOffset(), batch.sizeInBytes(), batch.partitionLeaderEpoch(), batch.checksum(),
            batch.compressionType().name, batch.timestampType(), batch.isTransactional(), batch.isControlBatch(),
            batch.deleteHorizonMs().orElse(-1), batch.lastOffset(), batch.nextOffset(), batch.maxTimestamp(),
            batch.producerId(), batch.producerEpoch(), batch.baseSequence(), batch.lastSequence(), batch.countOrNull());
    }

    /** A line for each record: offset, timestamp, key, value and headers. */
    private static String dump(MutableRecordBatch batch) {
        StringBuilder out = new StringBuilder();
        try (CloseableIterator<Record> records = batch.streamingIterator(BufferSupplier.NO_CACHING)) {
            while (records.hasNext()) {
                Record record = records.next();
                record.ensureValid();
                out.append(record.offset() - batch.baseOffset()).append(' ').append(record.timestamp());
                out.append(' ').append(text(record.hasKey() ? record.key() : null));
                out.append(' ').append(text(record.hasValue() ? record.value() : null));
                for (Header header : record.headers()) {
                    out.append(' ').append(text(ByteBuffer.wrap(bytes(header.key()))));
                    out.append('=').append(text(header.value() == null ? null : ByteBuffer.wrap(header.value())));
                }
                out.append('\n');
            }
        }
        return out.toString();
    }

    /** Null as ~, bytes that are not plain as %XX, and what repeats itself as unit*count. */
    static String text(ByteBuffer buffer) {
        if (buffer == null) {
            return "~";
        }
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        for (int unit = 1; bytes.length >= 64 && unit <= 32; unit++) {
            if (bytes.length % unit == 0
                    && Arrays.equals(bytes, 0, bytes.length - unit, bytes, unit, bytes.length)) {
                return escape(Arrays.copyOf(bytes, unit)) + "*" + bytes.length / unit;
            }
        }
        return escape(bytes);
    }

    private static String escape(byte[] bytes) {
        StringBuilder out = new StringBuilder();
        for (byte b : bytes) {
            char c = (char) (b & 0xff);
            if (c < 128 && (Character.isLetterOrDigit(c) || c == '-' || c == '.')) {
                out.append(c);
            } else {
                out.append(String.format("%%%02x", (int) c));
            }
        }
        return out.toString();
    }
}
