import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;

/**
 * A number for records, the same in every language: 64-bit FNV-1a over all that a record consists of. Numbers are
 * big-endian; what can be null stands behind its length, or -1, in 32 bits.
 */
final class Digest {
    private long state = 0xcbf29ce484222325L;

    void add(ConsumerRecord<byte[], byte[]> record) {
        add(record.timestamp(), record.key(), record.value(), record.headers().toArray());
    }

    void add(long timestamp, byte[] key, byte[] value, Header... headers) {
        bytes(ByteBuffer.allocate(8).putLong(timestamp).array());
        nullable(key);
        nullable(value);
        number(headers.length);
        for (Header header : headers) {
            nullable(header.key().getBytes(StandardCharsets.UTF_8));
            nullable(header.value());
        }
    }

    private void nullable(byte[] bytes) {
        number(bytes == null ? -1 : bytes.length);
        bytes(bytes == null ? new byte[0] : bytes);
    }

    private void number(int number) {
        bytes(ByteBuffer.allocate(4).putInt(number).array());
    }

    private void bytes(byte[] bytes) {
        for (byte b : bytes) {
            state = (state ^ (b & 0xff)) * 0x100000001b3L;
        }
    }

    @Override
    public String toString() {
        return String.format("%016x", state);
    }
}
