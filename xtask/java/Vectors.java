import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;

/**
 * Bytes by Kafka's own classes, and what those classes read from them. {@code cargo xtask vectors} compiles and runs this.
 *
 * <pre>
 *   write DIR SEED MESSAGE...   all vectors; a message is an API's name or the name of one outside of any API
 *   compare DIR OTHER           fails where the two do not hold the same
 *   read DIR                    reads the batches in DIR and compares them with their description
 * </pre>
 */
public final class Vectors {
    private Vectors() {
    }

    public static void main(String[] args) throws IOException, ReflectiveOperationException {
        Path dir = Path.of(args[1]);
        switch (args[0]) {
            case "write" -> {
                long seed = Long.parseLong(args[2]);
                List<String> names = Arrays.asList(args).subList(3, args.length);
                int messages = new MessageVectors(seed).write(dir.resolve("messages"), names);
                int batches = new BatchVectors(dir.resolve("batches")).write(seed);
                int sets = new MessageSetVectors(dir.resolve("message-sets")).write(seed);
                System.out.printf("%d messages in %d files, %d batches, %d message sets%n", messages, names.size(), batches, sets);
            }
            case "compare" -> compare(dir, Path.of(args[2]));
            case "read" -> new BatchVectors(dir).check();
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    private static void compare(Path dir, Path other) throws IOException {
        Set<Path> files = new TreeSet<>(files(dir));
        files.addAll(files(other));
        int different = 0;
        for (Path file : files) {
            if (!Files.exists(dir.resolve(file)) || !Files.exists(other.resolve(file))) {
                System.err.println("only in one: " + file);
                different++;
            } else if (!Arrays.equals(content(dir.resolve(file)), content(other.resolve(file)))) {
                System.err.println("differs: " + file);
                different++;
            }
        }
        if (different > 0) {
            System.exit(1);
        }
        System.out.println(files.size() + " files are the same");
    }

    private static Set<Path> files(Path dir) throws IOException {
        Set<Path> files = new TreeSet<>();
        for (String part : List.of("messages", "batches", "message-sets")) {
            try (Stream<Path> found = Files.walk(dir.resolve(part))) {
                found.filter(Files::isRegularFile).map(dir::relativize).forEach(files::add);
            }
        }
        return files;
    }

    /** Without what depends on the zlib that Java happens to use: how gzip has compressed. */
    private static byte[] content(Path file) throws IOException {
        String name = file.getFileName().toString();
        if (name.endsWith(".gz")) {
            try (InputStream in = new GZIPInputStream(Files.newInputStream(file))) {
                return in.readAllBytes();
            }
        } else if (name.equals("manifest.txt")) {
            return Files.readAllLines(file).stream()
                .map(line -> line.contains("gzip") ? line.replaceAll(" (size|crc)=-?\\d+", "") : line)
                .collect(Collectors.joining("\n")).getBytes();
        } else if (name.contains("gzip") && name.endsWith(".bin")) {
            return new byte[0];
        }
        return Files.readAllBytes(file);
    }
}
