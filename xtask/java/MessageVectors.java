import java.io.IOException;
import java.io.OutputStream;
import java.io.OutputStreamWriter;
import java.io.Writer;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.zip.GZIPOutputStream;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;

import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * Messages in every version, with values from a seed: their bytes beside their JSON form.
 *
 * Each file is gzip over lines of JSON: first what the file is, then its cases.
 */
final class MessageVectors {
    /** Of each kind, how many cases a message has in a version. */
    private static final Map<Values.Kind, Integer> CASES = kinds();

    private final ObjectMapper json = new ObjectMapper();
    private final long seed;

    MessageVectors(long seed) {
        this.seed = seed;
    }

    private static Map<Values.Kind, Integer> kinds() {
        Map<Values.Kind, Integer> cases = new java.util.EnumMap<>(Values.Kind.class);
        cases.put(Values.Kind.DEFAULTS, 1);
        cases.put(Values.Kind.NULLS, 1);
        cases.put(Values.Kind.FULL, 1);
        cases.put(Values.Kind.RANDOM, 8);
        return cases;
    }

    /** One file for each API or message; returns the number of cases. */
    int write(Path dir, List<String> names) throws IOException, ReflectiveOperationException {
        Files.createDirectories(dir);
        Map<String, ApiMessageType> apis = new HashMap<>();
        for (ApiMessageType api : ApiMessageType.values()) {
            apis.put(api.name, api);
        }
        int count = 0;
        for (String name : names) {
            ObjectNode head = JsonNodeFactory.instance.objectNode();
            head.put("format", 1).put("kafka", AppInfoParser.getVersion()).put("seed", seed).put("name", name);
            List<JsonNode> cases = new ArrayList<>();
            ApiMessageType api = apis.get(name);
            if (api != null) {
                head.put("apiKey", api.apiKey());
                add(cases, api.newRequest().getClass(), api::requestHeaderVersion);
                add(cases, api.newResponse().getClass(), api::responseHeaderVersion);
            } else {
                add(cases, messageClass(name), null);
            }
            head.put("cases", cases.size());
            cases.add(0, head);
            compress(dir.resolve(name + ".jsonl.gz"), cases);
            count += cases.size() - 1;
        }
        return count;
    }

    private static Class<?> messageClass(String name) throws ClassNotFoundException {
        String type = ApiMessageType.class.getPackageName() + "." + name;
        try {
            return Class.forName(type + "Data");
        } catch (ClassNotFoundException e) {
            return Class.forName(type);
        }
    }

    private interface HeaderVersion {
        short of(short version);
    }

    private void add(List<JsonNode> cases, Class<?> type, HeaderVersion header) throws ReflectiveOperationException {
        String name = type.getSimpleName().replaceFirst("Data$", "");
        Schema[] schemas = (Schema[]) type.getField("SCHEMAS").get(null);
        Method toJson = Class.forName(type.getName() + "JsonConverter").getMethod("write", type, short.class, boolean.class);
        short lowest = type.getField("LOWEST_SUPPORTED_VERSION").getShort(null);
        short highest = type.getField("HIGHEST_SUPPORTED_VERSION").getShort(null);
        for (short version = lowest; version <= highest; version++) {
            for (Map.Entry<Values.Kind, Integer> entry : CASES.entrySet()) {
                for (int i = 0; i < entry.getValue(); i++) {
                    // A case's values do not depend on what else is written.
                    Random random = new Random(seed ^ (name + version + entry.getKey() + i).hashCode() * 0x9e3779b97f4a7c15L);
                    Message message = (Message) new Values(random, entry.getKey()).of(type, schemas[version]);
                    byte[] bytes = bytes(message, version);
                    expectRead(message, bytes, version);
                    ObjectNode line = JsonNodeFactory.instance.objectNode();
                    line.put("message", name).put("version", version);
                    if (header != null) {
                        line.put("headerVersion", header.of(version));
                    }
                    line.put("kind", entry.getKey().name().toLowerCase());
                    line.put("bytes", HexFormat.of().formatHex(bytes));
                    // Of records the converter writes their size or nothing at all.
                    line.set("json", (JsonNode) toJson.invoke(null, message, version, false));
                    cases.add(line);
                }
            }
        }
    }

    private static byte[] bytes(Message message, short version) {
        return MessageUtil.byteBufferToArray(MessageUtil.toByteBufferAccessor(message, version).buffer());
    }

    private static void expectRead(Message message, byte[] bytes, short version) throws ReflectiveOperationException {
        Message read = (Message) message.getClass().getDeclaredConstructor().newInstance();
        read.read(new ByteBufferAccessor(java.nio.ByteBuffer.wrap(bytes)), version);
        if (!java.util.Arrays.equals(bytes, bytes(read, version))) {
            throw new AssertionError(message.getClass() + " version " + version + " is not what was written: " + message);
        }
    }

    private void compress(Path file, List<JsonNode> lines) throws IOException {
        try (OutputStream out = Files.newOutputStream(file);
                OutputStream gzip = new GZIPOutputStream(out) {{
                        def.setLevel(9);
                    }};
                Writer writer = new OutputStreamWriter(gzip, StandardCharsets.UTF_8)) {
            for (JsonNode line : lines) {
                writer.write(json.writeValueAsString(line));
                writer.write('\n');
            }
        }
    }
}
