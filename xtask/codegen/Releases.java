import java.util.Collection;
import java.util.List;

import org.apache.kafka.common.protocol.ApiKeys;

/** Lists what brokers of this jar's release serve: the API's name, its oldest and its newest version. */
public class Releases {
    public static void main(String[] args) throws Exception {
        for (ApiKeys api : brokerApis()) {
            System.out.println(api.name + "\t" + api.oldestVersion() + "\t" + api.latestVersion());
        }
    }

    /** Before controllers had APIs of their own, brokers served every API there was. */
    @SuppressWarnings("unchecked")
    private static Collection<ApiKeys> brokerApis() throws Exception {
        try {
            return (Collection<ApiKeys>) ApiKeys.class.getMethod("zkBrokerApis").invoke(null);
        } catch (NoSuchMethodException none) {
            return List.of(ApiKeys.values());
        }
    }
}
