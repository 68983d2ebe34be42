import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.record.internal.BaseRecords;
import org.apache.kafka.common.record.internal.MemoryRecords;

/** Values for a message's fields: the schema of a version says which it has, the setters take them. */
final class Values {
    enum Kind {
        /** As the constructor leaves them. */
        DEFAULTS,
        /** Null wherever the version allows it; arrays have an element, so that what is nested is seen. */
        NULLS,
        /** Nothing null, each tagged field set, unknown ones in every struct. */
        FULL,
        RANDOM,
    }

    private static final Map<Class<?>, Map<String, Method>> SETTERS = new ConcurrentHashMap<>();
    private static final String[] WORDS = {
        "orders", "payments-v2", "__consumer_offsets", "range", "cooperative-sticky", "a", "10.0.0.1", "rack-a", "0", "compact",
    };
    private static final String[] UNICODE = {"Zürich", "北京", "🦦", "e\u0301", "\u0000", "\"\\\n\t", "Ελλάδα", "\uFEFF\u202E"};
    private static final int[] LARGE = {126, 127, 128, 255, 256, 1000, 16382, 16383, 16384, Short.MAX_VALUE};

    private final Random random;
    private final Kind kind;
    private int depth;
    /** Keeps a case to one or two long values. */
    private int large = 2;

    Values(Random random, Kind kind) {
        this.random = random;
        this.kind = kind;
    }

    Object of(Class<?> type, Schema schema) throws ReflectiveOperationException {
        Object struct = type.getDeclaredConstructor().newInstance();
        if (kind == Kind.DEFAULTS) {
            return struct;
        }
        depth++;
        for (BoundField field : schema.fields()) {
            if (field.def.type instanceof TaggedFields tagged) {
                for (Field known : tagged.fields().values()) {
                    if (kind != Kind.RANDOM || random.nextBoolean()) {
                        set(struct, known);
                    }
                }
                unknown(tagged, ((Message) struct).unknownTaggedFields());
            } else {
                set(struct, field.def);
            }
        }
        depth--;
        return struct;
    }

    private void set(Object struct, Field field) throws ReflectiveOperationException {
        Method setter = SETTERS.computeIfAbsent(struct.getClass(), Values::setters).get(field.name.replace("_", ""));
        setter.invoke(struct, value(field.type, setter.getGenericParameterTypes()[0]));
    }

    private static Map<String, Method> setters(Class<?> type) {
        Map<String, Method> setters = new HashMap<>();
        for (Method method : type.getMethods()) {
            if (method.getName().startsWith("set") && method.getParameterCount() == 1) {
                setters.put(method.getName().substring(3).toLowerCase(Locale.ROOT), method);
            }
        }
        return setters;
    }

    private void unknown(TaggedFields tagged, List<RawTaggedField> unknown) {
        if (kind == Kind.NULLS || kind == Kind.RANDOM && random.nextInt(4) > 0) {
            return;
        }
        TreeSet<Integer> tags = new TreeSet<>();
        for (int i = random.nextInt(3); i >= 0; i--) {
            tags.add(10 + random.nextInt(random.nextBoolean() ? 200 : Integer.MAX_VALUE - 10));
        }
        tags.removeAll(tagged.fields().keySet());
        for (int tag : tags) {
            unknown.add(new RawTaggedField(tag, bytes()));
        }
    }

    private Object value(org.apache.kafka.common.protocol.types.Type wire, Type java) throws ReflectiveOperationException {
        if (wire.isNullable() && (kind == Kind.NULLS || kind == Kind.RANDOM && random.nextInt(4) == 0)) {
            return null;
        }
        if (wire.arrayElementType().isPresent()) {
            return array(wire.arrayElementType().get(), java);
        }
        if (wire instanceof Schema schema) {
            return of((Class<?>) java, schema);
        }
        if (java == boolean.class || java == Boolean.class) {
            return random.nextBoolean();
        } else if (java == byte.class || java == Byte.class) {
            return (byte) integer(Byte.MIN_VALUE, Byte.MAX_VALUE);
        } else if (java == short.class || java == Short.class) {
            return (short) integer(Short.MIN_VALUE, Short.MAX_VALUE);
        } else if (wire == org.apache.kafka.common.protocol.types.Type.UINT16) {
            return (int) integer(0, 0xffff);
        } else if (java == int.class || java == Integer.class) {
            return (int) integer(Integer.MIN_VALUE, Integer.MAX_VALUE);
        } else if (java == long.class || java == Long.class) {
            return integer(Long.MIN_VALUE, Long.MAX_VALUE);
        } else if (java == double.class) {
            return switch (random.nextInt(4)) {
                case 0 -> random.nextBoolean() ? -0.0 : Double.MIN_VALUE;
                case 1 -> -Double.MAX_VALUE;
                default -> random.nextGaussian() * 1e6;
            };
        } else if (java == String.class) {
            return string();
        } else if (java == byte[].class) {
            return bytes();
        } else if (java == ByteBuffer.class) {
            return ByteBuffer.wrap(bytes());
        } else if (java == Uuid.class) {
            return random.nextInt(8) == 0 ? Uuid.ZERO_UUID : new Uuid(random.nextLong(), random.nextLong());
        } else if (java == BaseRecords.class) {
            return MemoryRecords.readableRecords(ByteBuffer.wrap(bytes()));
        }
        throw new IllegalStateException("no values for " + wire + " as " + java);
    }

    @SuppressWarnings("unchecked")
    private Object array(org.apache.kafka.common.protocol.types.Type element, Type java) throws ReflectiveOperationException {
        Class<?> type = java instanceof Class<?> collection ? collection : ArrayList.class;
        Collection<Object> array = (Collection<Object>) type.getDeclaredConstructor().newInstance();
        // The collections that Kafka generates name their elements in the type that they extend.
        Type list = java instanceof Class<?> collection ? collection.getGenericSuperclass() : java;
        Type elementType = ((ParameterizedType) list).getActualTypeArguments()[0];
        int length = switch (kind) {
            case NULLS -> 1;
            case FULL -> 2;
            default -> length(!(element instanceof Schema));
        };
        for (int i = 0; i < length; i++) {
            array.add(value(element, elementType));
        }
        return array;
    }

    private int length(boolean simple) {
        if (simple && isLarge()) {
            return 130;
        }
        return random.nextInt(depth == 1 ? 4 : 3);
    }

    private boolean isLarge() {
        return large > 0 && random.nextInt(40) == 0 && large-- > 0;
    }

    private long integer(long min, long max) {
        return switch (random.nextInt(8)) {
            case 0 -> min;
            case 1 -> max;
            case 2 -> 0;
            case 3 -> Math.max(min, -1);
            case 4, 5 -> random.nextInt(128);
            default -> min == Long.MIN_VALUE ? random.nextLong() : min + Math.floorMod(random.nextLong(), max - min + 1);
        };
    }

    private String string() {
        if (isLarge()) {
            // One unit over and over is long for a reader and short in the file.
            String unit = random.nextInt(4) == 0 ? "é" : WORDS[random.nextInt(WORDS.length)].substring(0, 1);
            int size = unit.getBytes(java.nio.charset.StandardCharsets.UTF_8).length;
            return unit.repeat(LARGE[random.nextInt(LARGE.length)] / size);
        }
        return switch (random.nextInt(8)) {
            case 0 -> "";
            case 1 -> UNICODE[random.nextInt(UNICODE.length)] + random.nextInt(100);
            case 2 -> WORDS[random.nextInt(WORDS.length)] + "-" + Integer.toHexString(random.nextInt());
            default -> WORDS[random.nextInt(WORDS.length)];
        };
    }

    private byte[] bytes() {
        if (isLarge()) {
            byte[] bytes = new byte[LARGE[random.nextInt(LARGE.length)]];
            java.util.Arrays.fill(bytes, (byte) random.nextInt());
            return bytes;
        }
        byte[] bytes = new byte[random.nextInt(6)];
        random.nextBytes(bytes);
        return bytes;
    }
}
