import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/** The records to write, from their description in the codec's {@code tests/vectors/peers/README.md}. */
final class Records {
    private static final long TIME = 1_700_000_000_000L;
    private static final String[] WORDS = {
        "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett", "kilo", "lima", "mike",
        "november", "oscar", "papa",
    };

    private Records() {
    }

    /** One record. */
    record Entry(long timestamp, byte[] key, byte[] value, List<Header> headers) {
        Entry(long timestamp, byte[] key, byte[] value) {
            this(timestamp, key, value, List.of());
        }
    }

    static List<Entry> of(String set) {
        return switch (set) {
            case "one" -> List.of(new Entry(TIME, bytes("k"), bytes("v"), List.of(header("h", bytes("1")))));
            case "parts" -> parts(List.of(header("b", bytes("2")), header("a", null), header("b", bytes("3")),
                header("", bytes("")), header("\u00e9", null)));
            case "map" -> parts(List.of(header("a", bytes("2")), header("b", bytes("")), header("\u00e9", bytes("3"))));
            case "lines" -> lines();
            case "noise" -> noise();
            case "blocks" -> List.of(new Entry(TIME, null, repeat('0', 131_061)),
                new Entry(TIME + 1, null, new Random(3).bytes(1000)),
                new Entry(TIME + 2, bytes("behind"), bytes("the blocks")));
            case "many" -> many();
            default -> throw new IllegalArgumentException("no set " + set);
        };
    }

    private static List<Entry> parts(List<Header> headers) {
        byte[] odd = {0, -1, 127, -128};
        return List.of(
            new Entry(TIME, null, null),
            new Entry(TIME - 1, bytes(""), bytes("")),
            new Entry(TIME + 1_000_000_000, bytes("tombstone"), null),
            new Entry(TIME, null, bytes("no key")),
            new Entry(TIME + 1, bytes("\u00fcn\u00ef"), bytes("c\u00f6de")),
            new Entry(TIME + 2, odd, odd),
            new Entry(TIME + 3, bytes("h"), bytes("headers"), headers),
            new Entry(TIME + 4, repeat('k', 3000), repeat('v', 9000), List.of(header("long", repeat('h', 3000)))));
    }

    private static List<Entry> lines() {
        Random random = new Random(1);
        List<Entry> entries = new ArrayList<>();
        for (int i = 0; i < 60; i++) {
            long user = random.below(50);
            String path = "/" + random.word() + "/" + random.word() + "/" + random.word();
            long ms = random.below(2000);
            boolean ok = random.below(2) == 1;
            String[] note = new String[6];
            for (int word = 0; word < note.length; word++) {
                note[word] = random.word();
            }
            String value = String.format("{\"id\":%d,\"user\":\"u%d\",\"path\":\"%s\",\"ms\":%d,\"ok\":%b,\"note\":\"%s\"}",
                i, user, path, ms, ok, String.join(" ", note));
            byte[] key = i % 2 == 0 ? bytes("u" + user) : null;
            List<Header> headers = i % 10 == 0
                ? List.of(header("trace", bytes(Long.toString(random.below(1 << 30))))) : List.of();
            entries.add(new Entry(TIME + 7 * i, key, bytes(value), headers));
        }
        return entries;
    }

    private static List<Entry> noise() {
        Random random = new Random(2);
        List<Entry> entries = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            entries.add(new Entry(TIME + i, null, random.bytes(600)));
        }
        return entries;
    }

    private static List<Entry> many() {
        List<Entry> entries = new ArrayList<>();
        for (int i = 0; i < 3000; i++) {
            entries.add(new Entry(TIME + i / 10, null, bytes("record number " + i)));
        }
        return entries;
    }

    private static Header header(String key, byte[] value) {
        return new RecordHeader(key, value);
    }

    private static byte[] repeat(char c, int count) {
        byte[] bytes = new byte[count];
        Arrays.fill(bytes, (byte) c);
        return bytes;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Knuth's linear congruential generator of 64 bits; what is drawn are its upper 31. */
    static final class Random {
        private long state;

        Random(long seed) {
            state = seed;
        }

        long below(long bound) {
            state = state * 6_364_136_223_846_793_005L + 1_442_695_040_888_963_407L;
            return (state >>> 33) % bound;
        }

        String word() {
            return WORDS[(int) below(WORDS.length)];
        }

        byte[] bytes(int count) {
            byte[] bytes = new byte[count];
            for (int i = 0; i < count; i++) {
                bytes[i] = (byte) below(256);
            }
            return bytes;
        }
    }
}
