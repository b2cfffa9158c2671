import java.io.PrintStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;

/**
 * Writes what Apache Kafka's own encoders make of every message in every version: bytes and the values in them.
 *
 * <p>To do it again, get kafka-clients, kafka-group-coordinator, kafka-metadata and what they need into a directory with Maven's
 * dependency:copy-dependencies, then
 *
 * <pre>
 * java -cp 'DIR/*' GoldenMessages.java > apache-kafka-4.3.1.jsonl
 * java -cp 'DIR-OF-3.9.1/*' GoldenMessages.java apache-kafka-4.3.1.jsonl > apache-kafka-3.9.1.jsonl
 * </pre>
 *
 * The second run leaves out what is in the file of the first: 3.9.1 is there for the versions that 4.0 dropped.
 *
 * <p>Three variants of each: `full` has random values everywhere, `nulls` has null wherever the version allows it,
 * `defaults` has what the constructors set, with one element in each array.
 */
public class GoldenMessages {
  private static final int[] KEYS = {
    0, 1, 2, 3, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 27, 29, 30, 31, 32, 33, 34, 35, 36, 37, 42, 43,
    44, 45, 46, 47, 48, 50, 55, 56, 57, 60, 61, 65, 66, 74, 75
  };

  private static final String[] DATA = {
    "org.apache.kafka.common.message.ConsumerProtocolSubscription",
    "org.apache.kafka.common.message.ConsumerProtocolAssignment",
    "org.apache.kafka.coordinator.group.generated.OffsetCommitKey",
    "org.apache.kafka.coordinator.group.generated.OffsetCommitValue",
    "org.apache.kafka.coordinator.group.generated.GroupMetadataKey",
    "org.apache.kafka.coordinator.group.generated.GroupMetadataValue",
    "org.apache.kafka.common.metadata.TopicRecord",
    "org.apache.kafka.common.metadata.RemoveTopicRecord",
    "org.apache.kafka.common.metadata.PartitionRecord",
    "org.apache.kafka.common.metadata.PartitionChangeRecord",
    "org.apache.kafka.common.metadata.ConfigRecord",
    "org.apache.kafka.common.metadata.FeatureLevelRecord",
    "org.apache.kafka.common.metadata.ProducerIdsRecord",
    "org.apache.kafka.common.metadata.ClientQuotaRecord",
    "org.apache.kafka.common.metadata.AccessControlEntryRecord",
    "org.apache.kafka.common.metadata.RemoveAccessControlEntryRecord",
    "org.apache.kafka.common.metadata.UserScramCredentialRecord",
    "org.apache.kafka.common.metadata.RemoveUserScramCredentialRecord",
    "org.apache.kafka.common.metadata.DelegationTokenRecord",
    "org.apache.kafka.common.metadata.RemoveDelegationTokenRecord",
  };

  private enum Variant { full, nulls, defaults }

  private final PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
  private final Random random = new Random(20261122);
  private final Set<String> known = new HashSet<>();

  public static void main(String[] arguments) throws Exception {
    GoldenMessages golden = new GoldenMessages();
    for (String file : arguments) {
      for (String line : Files.readAllLines(Path.of(file))) golden.known.add(line.substring(0, line.indexOf(",\"bytes\"")));
    }
    golden.run();
  }

  private void run() throws Exception {
    for (int key : KEYS) {
      ApiMessageType type = ApiMessageType.fromApiKey((short) key);
      for (int v = type.lowestSupportedVersion(); v <= type.highestSupportedVersion(true); v++) {
        cases("request " + key, type.newRequest().getClass(), v);
        cases("response " + key, type.newResponse().getClass(), v);
      }
    }
    for (String name : DATA) {
      Class<?> type;
      try {
        type = Class.forName(name);
      } catch (ClassNotFoundException absentInThisVersion) {
        continue;
      }
      Message message = (Message) type.getConstructor().newInstance();
      // From 4.0 on a key's version is not in its schema any more but is the schema's own number: same bytes.
      if (name.endsWith("Key") && ((ApiMessage) message).apiKey() >= 0) continue;
      for (int v = message.lowestSupportedVersion(); v <= message.highestSupportedVersion(); v++) {
        cases("data " + type.getSimpleName(), type, v);
      }
    }
    out.flush();
  }

  private void cases(String what, Class<?> type, int version) throws Exception {
    for (Variant variant : Variant.values()) {
      String head = String.format("{\"message\":\"%s\",\"version\":%d,\"variant\":\"%s\"", what, version, variant);
      if (known.contains(head)) continue;
      Map<String, Object> values = new LinkedHashMap<>();
      Message message = (Message) build(type, version, variant, values);
      ObjectSerializationCache cache = new ObjectSerializationCache();
      ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, (short) version));
      message.write(new ByteBufferAccessor(buffer), cache, (short) version);
      if (buffer.hasRemaining()) throw new IllegalStateException("size of " + what);
      String bytes = Base64.getEncoder().encodeToString(buffer.array());
      out.println(head + ",\"bytes\":\"" + bytes + "\",\"value\":" + json(values) + "}");
    }
  }

  /** An instance with the fields that the version has; `values` gets what they hold. */
  private Object build(Class<?> type, int version, Variant variant, Map<String, Object> values) throws Exception {
    Constructor<?> constructor = type.getDeclaredConstructor();
    constructor.setAccessible(true);
    Object instance = constructor.newInstance();
    for (Map.Entry<String, Boolean> entry : fieldsOf(type, version).entrySet()) {
      Field field = field(type, entry.getKey());
      Object value = value(field, field.get(instance), version, variant, entry.getValue(), values);
      if (value != KEEP) field.set(instance, value);
    }
    return instance;
  }

  private static final Object KEEP = new Object();

  private Object value(Field field, Object present, int version, Variant variant, boolean nullable, Map<String, Object> values)
      throws Exception {
    String name = field.getName();
    Class<?> type = field.getType();
    if (variant == Variant.nulls && nullable) {
      values.put(name, null);
      return null;
    }
    if (Collection.class.isAssignableFrom(type)) {
      if (variant == Variant.defaults && present == null) return keep(values, name, null);
      return array(field, version, variant, values);
    }
    if (Message.class.isAssignableFrom(type)) {
      if (variant == Variant.defaults && present == null) return keep(values, name, null);
      Map<String, Object> inner = new LinkedHashMap<>();
      Object struct = build(type, version, variant, inner);
      values.put(name, inner);
      return struct;
    }
    if (variant == Variant.defaults) {
      if (isRecords(type)) {
        values.put(name, null);
        return null;
      }
      return keep(values, name, present);
    }
    // Java has no uint16: it is an int that must be no larger.
    boolean isUint16 = field.getDeclaringClass().getName().endsWith("DescribeQuorumResponseData$Listener") && name.equals("port");
    Object value = isUint16 ? (Object) random.nextInt(0x10000) : scalar(type);
    values.put(name, value);
    return value instanceof Records records ? records.toKafka(type) : value;
  }

  private static Object keep(Map<String, Object> values, String name, Object value) {
    values.put(name, value);
    return KEEP;
  }

  @SuppressWarnings({"unchecked", "rawtypes"})
  private Object array(Field field, int version, Variant variant, Map<String, Object> values) throws Exception {
    boolean list = field.getType() == List.class;
    ParameterizedType generic =
        (ParameterizedType) (list ? field.getGenericType() : field.getType().getGenericSuperclass());
    Class<?> element = (Class<?>) generic.getActualTypeArguments()[0];
    Collection collection = list ? new ArrayList<>() : (Collection) field.getType().getConstructor().newInstance();
    List<Object> dumped = new ArrayList<>();
    int count = variant == Variant.full ? 1 + random.nextInt(2) : 1;
    for (int i = 0; i < count; i++) {
      if (Message.class.isAssignableFrom(element)) {
        Map<String, Object> inner = new LinkedHashMap<>();
        collection.add(build(element, version, variant, inner));
        dumped.add(inner);
      } else {
        Object value = scalar(element);
        collection.add(value);
        dumped.add(value);
      }
    }
    values.put(field.getName(), dumped);
    return collection;
  }

  private Object scalar(Class<?> type) {
    if (type == boolean.class || type == Boolean.class) return random.nextBoolean();
    if (type == byte.class || type == Byte.class) return (byte) random.nextInt();
    if (type == short.class || type == Short.class) return (short) random.nextInt();
    if (type == int.class || type == Integer.class) return random.nextInt();
    if (type == long.class || type == Long.class) return random.nextLong() >> 10;
    if (type == double.class) return random.nextGaussian();
    if (type == String.class) return text();
    if (type == Uuid.class) return new Uuid(random.nextLong(), random.nextLong());
    if (type == byte[].class) return bytes();
    if (type == ByteBuffer.class) return ByteBuffer.wrap(bytes());
    if (isRecords(type)) return new Records(bytes());
    throw new IllegalStateException("type " + type);
  }

  /** Kafka 4.3 moved the record classes to another package. */
  private static boolean isRecords(Class<?> type) {
    return type.getSimpleName().equals("BaseRecords");
  }

  private record Records(byte[] bytes) {
    Object toKafka(Class<?> type) throws Exception {
      Class<?> memoryRecords = Class.forName(type.getPackageName() + ".MemoryRecords");
      return memoryRecords.getMethod("readableRecords", ByteBuffer.class).invoke(null, ByteBuffer.wrap(bytes));
    }
  }

  private byte[] bytes() {
    byte[] bytes = new byte[1 + random.nextInt(9)];
    random.nextBytes(bytes);
    return bytes;
  }

  private String text() {
    StringBuilder text = new StringBuilder();
    for (int left = 1 + random.nextInt(9); left > 0; left--) {
      int kind = random.nextInt(16);
      text.appendCodePoint(
          kind == 0 ? 0x1f600 + random.nextInt(64) : kind < 3 ? 0xa1 + random.nextInt(0x600) : 'a' + random.nextInt(26));
    }
    return text.toString();
  }

  /** Names in Java's spelling of the fields that the version has, and whether each may be null. */
  private static Map<String, Boolean> fieldsOf(Class<?> type, int version) throws Exception {
    Schema schema = (Schema) type.getField("SCHEMA_" + version).get(null);
    Map<String, Boolean> fields = new LinkedHashMap<>();
    for (BoundField bound : schema.fields()) {
      if (bound.def.type instanceof TaggedFields) {
        tagged(bound.def.type).forEach((tag, field) -> fields.put(camel(field.name), field.type.isNullable()));
      } else {
        fields.put(camel(bound.def.name), bound.def.type.isNullable());
      }
    }
    return fields;
  }

  @SuppressWarnings("unchecked")
  private static Map<Integer, org.apache.kafka.common.protocol.types.Field> tagged(Object type) throws Exception {
    Field fields = TaggedFields.class.getDeclaredField("fields");
    fields.setAccessible(true);
    return (Map<Integer, org.apache.kafka.common.protocol.types.Field>) fields.get(type);
  }

  private static String camel(String snake) {
    StringBuilder name = new StringBuilder();
    for (String part : snake.split("_")) {
      name.append(name.length() == 0 ? part : part.substring(0, 1).toUpperCase() + part.substring(1));
    }
    return name.toString();
  }

  private static Field field(Class<?> type, String name) {
    for (Field field : type.getDeclaredFields()) {
      if (!Modifier.isStatic(field.getModifiers()) && field.getName().equals(name)) {
        field.setAccessible(true);
        return field;
      }
    }
    throw new IllegalStateException(type + " has no " + name);
  }

  private static String json(Object value) {
    if (value instanceof Map<?, ?> map) {
      List<String> properties = new ArrayList<>();
      map.forEach((name, inner) -> properties.add("\"" + name + "\":" + json(inner)));
      return "{" + String.join(",", properties) + "}";
    }
    if (value instanceof List<?> list) {
      List<String> elements = new ArrayList<>();
      for (Object element : list) elements.add(json(element));
      return "[" + String.join(",", elements) + "]";
    }
    if (value instanceof byte[] bytes) return base64(bytes);
    if (value instanceof ByteBuffer buffer) return base64(buffer.array());
    if (value instanceof Records records) return base64(records.bytes());
    if (value instanceof String || value instanceof Uuid) return "\"" + value + "\"";
    return String.valueOf(value);
  }

  private static String base64(byte[] bytes) {
    return "\"base64:" + Base64.getEncoder().encodeToString(bytes) + "\"";
  }
}
