import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Assignment;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.GroupSubscription;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.common.Cluster;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;

/** Times Java's assignors on the input of {@code benches/assignors.rs}. */
public class Assignors {
    static final int MEMBERS = 500, TOPICS = 200, PARTITIONS = 20, WARM_UP = 20, CALLS = 21;

    public static void main(String[] args) {
        for (boolean equal : new boolean[] {true, false}) {
            for (String name : List.of("range", "roundrobin", "sticky", "cooperative-sticky")) {
                ConsumerPartitionAssignor assignor = assignor(name);
                Map<String, Subscription> members = members(equal);
                time(name, equal, "first", assignor, members);
                time(name, equal, "one left", assignor, afterOneLeft(assignor, members));
            }
        }
    }

    static ConsumerPartitionAssignor assignor(String name) {
        return switch (name) {
            case "range" -> new RangeAssignor();
            case "roundrobin" -> new RoundRobinAssignor();
            case "sticky" -> new StickyAssignor();
            default -> new CooperativeStickyAssignor();
        };
    }

    static String topic(int topic) {
        return String.format("topic-%03d", topic);
    }

    static Cluster cluster() {
        Node node = new Node(0, "localhost", 9092);
        Node[] nodes = {node};
        List<PartitionInfo> partitions = new ArrayList<>();
        for (int topic = 0; topic < TOPICS; topic++) {
            for (int partition = 0; partition < PARTITIONS; partition++) {
                partitions.add(new PartitionInfo(topic(topic), partition, node, nodes, nodes));
            }
        }
        return new Cluster("cluster", List.of(node), partitions, new HashSet<>(), new HashSet<>());
    }

    static Map<String, Subscription> members(boolean equal) {
        Map<String, Subscription> members = new HashMap<>();
        for (int member = 0; member < MEMBERS; member++) {
            List<String> topics = new ArrayList<>();
            for (int topic = 0; topic < TOPICS; topic++) {
                int hash = ((member * TOPICS + topic) * (int) 2_654_435_761L) >>> 16;
                if (equal || hash % 10 <= member % 10) {
                    topics.add(topic(topic));
                }
            }
            members.put(String.format("consumer-%04d", member), new Subscription(topics));
        }
        return members;
    }

    static Map<String, Subscription> afterOneLeft(ConsumerPartitionAssignor assignor, Map<String, Subscription> members) {
        Map<String, Assignment> given = assignor.assign(cluster(), new GroupSubscription(members)).groupAssignment();
        Map<String, Subscription> rest = new HashMap<>();
        members.forEach((id, member) -> {
            ConsumerPartitionAssignor own = assignor(assignor.name());
            own.onAssignment(given.get(id), new ConsumerGroupMetadata("group", 1, id, Optional.empty()));
            ByteBuffer userData = own.subscriptionUserData(new HashSet<>(member.topics()));
            rest.put(id, new Subscription(member.topics(), userData, given.get(id).partitions(), 1, Optional.empty()));
        });
        rest.remove(String.format("consumer-%04d", MEMBERS / 2));
        return rest;
    }

    static void time(String name, boolean equal, String event, ConsumerPartitionAssignor assignor, Map<String, Subscription> members) {
        Cluster cluster = cluster();
        long[] nanos = new long[CALLS];
        for (int call = -WARM_UP; call < CALLS; call++) {
            // What a call leaves of the user data is read, as it is when a group rebalances.
            members.values().forEach(member -> { if (member.userData() != null) member.userData().rewind(); });
            long start = System.nanoTime();
            assignor.assign(cluster, new GroupSubscription(members));
            if (call >= 0) nanos[call] = System.nanoTime() - start;
        }
        Arrays.sort(nanos);
        System.out.printf("%-8s %-20s %-9s median %9.3f ms, fastest %9.3f ms%n",
            equal ? "equal" : "unequal", name, event, nanos[CALLS / 2] / 1e6, nanos[0] / 1e6);
    }
}
