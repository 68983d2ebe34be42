import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.zip.ZipFile;

import org.apache.kafka.common.errors.InvalidMetadataException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.protocol.Errors;

/** Copies the message schemas out of the jar and lists its error codes: code, name, retriable, invalid metadata. */
public class Extract {
    public static void main(String[] args) throws Exception {
        Path directory = Path.of(args[1]);
        Files.createDirectories(directory);
        try (ZipFile jar = new ZipFile(args[0])) {
            for (var entry : Collections.list(jar.entries())) {
                String name = entry.getName();
                if (name.startsWith("common/message/") && name.endsWith(".json")) {
                    try (InputStream in = jar.getInputStream(entry)) {
                        Files.write(directory.resolve(name.substring("common/message/".length())), in.readAllBytes());
                    }
                }
            }
        }
        StringBuilder errors = new StringBuilder();
        for (Errors error : Errors.values()) {
            var exception = error.exception();
            errors.append(error.code()).append('\t').append(error.name())
                .append('\t').append(exception instanceof RetriableException)
                .append('\t').append(exception instanceof InvalidMetadataException).append('\n');
        }
        Files.writeString(directory.resolve("errors.tsv"), errors);
    }
}
