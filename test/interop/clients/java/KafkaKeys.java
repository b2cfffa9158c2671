import java.util.Collection;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.server.config.AbstractKafkaConfig;
import org.apache.kafka.server.config.DynamicBrokerConfig;
import org.apache.kafka.storage.internals.log.LogConfig;

/** Prints what Apache Kafka knows about each of its keys: resource, name, type, default, rule, when it can change. */
public class KafkaKeys {
  private static Collection<?> names(String field) throws Exception {
    var found = DynamicBrokerConfig.class.getDeclaredField(field);
    found.setAccessible(true);
    return (Collection<?>) found.get(null);
  }

  private static String text(Object value, ConfigDef.Type type) {
    if (value == null) return "null";
    try {
      return ConfigDef.convertToString(value, type);
    } catch (ClassCastException error) {
      return value.toString();
    }
  }

  private static void print(String resource, ConfigDef definitions) throws Exception {
    var dynamic = names("ALL_DYNAMIC_CONFIGS");
    var perBroker = names("PER_BROKER_CONFIGS");
    for (Map.Entry<String, ConfigDef.ConfigKey> entry : new TreeMap<>(definitions.configKeys()).entrySet()) {
      var key = entry.getValue();
      var update = !dynamic.contains(key.name) ? "read-only" : perBroker.contains(key.name) ? "per-broker" : "cluster-wide";
      System.out.println(String.join("|",
          resource,
          key.name,
          key.type.toString(),
          key.hasDefault() ? text(key.defaultValue, key.type) : "required",
          key.validator == null ? "any" : key.validator.toString(),
          resource.equals("topic") ? "cluster-wide" : update,
          key.internalConfig ? "internal" : "public"));
    }
  }

  public static void main(String[] arguments) throws Exception {
    print("topic", LogConfig.configDefCopy());
    print("broker", AbstractKafkaConfig.CONFIG_DEF);
  }
}
