import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.CompactArrayOf;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;

/**
 * Prints what Apache Kafka knows about each field of the messages that are asked for: APIs by their keys, records by the names of
 * their classes. A line for the message (versions, flexible ones), then one for each of its fields: path, type, versions, versions
 * in which it may be null, tag, default, and whether versions without it drop its value (`-` where there are none).
 */
public class KafkaFields {
  private static final class Facts {
    Field field;
    final TreeSet<Integer> versions = new TreeSet<>();
    final TreeSet<Integer> nullable = new TreeSet<>();
    /** Versions that have what the field is in, but not the field. */
    final TreeSet<Integer> without = new TreeSet<>();
    final TreeSet<String> types = new TreeSet<>();
    final TreeSet<String> tags = new TreeSet<>();
  }

  private record Shape(Type type, String tag) {}

  public static void main(String[] arguments) throws Exception {
    for (String argument : arguments) {
      if (argument.matches("\\d+")) {
        ApiMessageType type = ApiMessageType.fromApiKey(Short.parseShort(argument));
        print("request " + argument, type.newRequest());
        print("response " + argument, type.newResponse());
      } else {
        print("data " + argument.replaceAll(".*\\.", ""), (Message) Class.forName(argument).getConstructor().newInstance());
      }
    }
  }

  private static void print(String name, Message message) throws Exception {
    int lowest = message.lowestSupportedVersion();
    int highest = message.highestSupportedVersion();
    Map<String, Facts> all = new LinkedHashMap<>();
    TreeSet<Integer> flexible = new TreeSet<>();
    for (int v = lowest; v <= highest; v++) {
      Schema schema = schemaOf(message.getClass(), v);
      if (isFlexible(schema)) flexible.add(v);
      collect("", message.getClass(), schema, v, isFlexible(schema), all);
    }
    // A second time, now that all fields are known, to see which versions lack them.
    for (Map.Entry<String, Facts> entry : all.entrySet()) {
      int dot = entry.getKey().lastIndexOf('.');
      Iterable<Integer> within = dot < 0 ? range(lowest, highest) : all.get(entry.getKey().substring(0, dot)).versions;
      for (int v : within) if (!entry.getValue().versions.contains(v)) entry.getValue().without.add(v);
    }
    System.out.println(name + " " + lowest + "-" + highest + " flexible " + span(flexible));
    for (Map.Entry<String, Facts> entry : new TreeMap<>(all).entrySet()) {
      Facts facts = entry.getValue();
      System.out.println(String.join(" ",
          "  " + entry.getKey(),
          one(facts.types, entry.getKey()),
          span(facts.versions),
          span(facts.nullable),
          one(facts.tags, entry.getKey()),
          defaultOf(facts.field),
          ignorable(facts)));
    }
  }

  private static void collect(String prefix, Class<?> type, Schema schema, int version, boolean flexible, Map<String, Facts> all)
      throws Exception {
    for (Map.Entry<String, Shape> entry : shapes(schema).entrySet()) {
      String path = prefix + entry.getKey();
      Type shape = entry.getValue().type;
      Facts facts = all.computeIfAbsent(path, unused -> new Facts());
      facts.field = field(type, entry.getKey());
      facts.versions.add(version);
      if (shape.isNullable()) facts.nullable.add(version);
      facts.tags.add(entry.getValue().tag);
      Type element = shape.arrayElementType().orElse(null);
      facts.types.add(element == null ? nameOf(shape, flexible) : "[]" + nameOf(element, flexible));
      if (element != null && flexible != shape instanceof CompactArrayOf) throw new IllegalStateException(path);
      if (element instanceof Schema inner) collect(path + ".", elementOf(facts.field), inner, version, flexible, all);
      if (shape instanceof Schema inner) collect(path + ".", facts.field.getType(), inner, version, flexible, all);
    }
  }

  private static Map<String, Shape> shapes(Schema schema) {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    for (BoundField bound : schema.fields()) {
      if (bound.def.type instanceof TaggedFields tagged) {
        tagged.fields().forEach((tag, field) -> shapes.put(camel(field.name), new Shape(field.type, String.valueOf(tag))));
      } else {
        shapes.put(camel(bound.def.name), new Shape(bound.def.type, "-"));
      }
    }
    return shapes;
  }

  private static String nameOf(Type type, boolean flexible) {
    if (type instanceof Schema) return "struct";
    String name = type.toString();
    boolean sized = name.matches(".*(STRING|BYTES|RECORDS)$");
    if (sized && flexible != name.startsWith("COMPACT_")) throw new IllegalStateException(name);
    return name.replaceAll("COMPACT_|NULLABLE_", "").toLowerCase().replace("boolean", "bool");
  }

  private static boolean isFlexible(Schema schema) {
    for (BoundField bound : schema.fields()) if (bound.def.type instanceof TaggedFields) return true;
    return false;
  }

  private static Schema schemaOf(Class<?> type, int version) throws Exception {
    return (Schema) type.getField("SCHEMA_" + version).get(null);
  }

  private static Class<?> elementOf(Field field) {
    var generic = field.getType() == List.class ? field.getGenericType() : field.getType().getGenericSuperclass();
    return (Class<?>) ((ParameterizedType) generic).getActualTypeArguments()[0];
  }

  private static String defaultOf(Field field) throws Exception {
    Object value = field.get(instanceOf(field.getDeclaringClass()));
    if (value instanceof Message) return "{}";
    if (value instanceof Collection<?> collection && collection.isEmpty()) return "[]";
    if (value instanceof ByteBuffer || value instanceof byte[]) return "\"\"";
    if (value instanceof String || value instanceof Uuid) return "\"" + value + "\"";
    return String.valueOf(value);
  }

  /** Whether a version without the field drops a value that is not the default, or refuses to be written. */
  private static String ignorable(Facts facts) throws Exception {
    TreeSet<String> answers = new TreeSet<>();
    Class<?> type = facts.field.getDeclaringClass();
    for (int version : facts.without) {
      Message message = (Message) instanceOf(type);
      Object other = other(facts.field, facts.field.get(message));
      facts.field.set(message, other);
      // What the version has to have and is null by default.
      for (Map.Entry<String, Shape> entry : shapes(schemaOf(type, version)).entrySet()) {
        Field field = field(type, entry.getKey());
        if (field.get(message) == null && !entry.getValue().type.isNullable()) field.set(message, other(field, null));
      }
      try {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, (short) version));
        message.write(new ByteBufferAccessor(buffer), cache, (short) version);
        answers.add("ignorable");
      } catch (UnsupportedVersionException refused) {
        if (!refused.getMessage().contains("non-default")) throw refused;
        answers.add("refused");
      }
    }
    return answers.isEmpty() ? "-" : one(answers, facts.field.toString());
  }

  @SuppressWarnings({"unchecked", "rawtypes"})
  private static Object other(Field field, Object value) throws Exception {
    Class<?> type = field.getType();
    if (type == boolean.class) return !(Boolean) value;
    if (type == byte.class) return (byte) ((Byte) value ^ 1);
    if (type == short.class) return (short) ((Short) value ^ 1);
    if (type == int.class) return (Integer) value ^ 1;
    if (type == long.class) return (Long) value ^ 1;
    if (type == double.class) return (Double) value + 1;
    if (type == String.class) return "other";
    if (type == Uuid.class) return new Uuid(1, 1);
    if (type == byte[].class) return new byte[] {1};
    if (type == ByteBuffer.class) return ByteBuffer.wrap(new byte[] {1});
    if (Message.class.isAssignableFrom(type)) {
      Object struct = instanceOf(type);
      for (Field inner : type.getDeclaredFields()) {
        if (Modifier.isStatic(inner.getModifiers()) || inner.getName().startsWith("_")) continue;
        inner.setAccessible(true);
        inner.set(struct, other(inner, inner.get(struct)));
        return struct;
      }
    }
    if (Collection.class.isAssignableFrom(type)) {
      Collection collection = type == List.class ? new ArrayList<>() : (Collection) type.getConstructor().newInstance();
      Class<?> element = elementOf(field);
      collection.add(Message.class.isAssignableFrom(element) ? instanceOf(element) : boxed(element));
      return collection;
    }
    throw new IllegalStateException(field.toString());
  }

  private static Object boxed(Class<?> type) {
    if (type == String.class) return "other";
    if (type == Uuid.class) return new Uuid(1, 1);
    if (type == Byte.class) return (byte) 1;
    if (type == Short.class) return (short) 1;
    if (type == Integer.class) return 1;
    if (type == Long.class) return 1L;
    throw new IllegalStateException(type.toString());
  }

  private static Object instanceOf(Class<?> type) throws Exception {
    var constructor = type.getDeclaredConstructor();
    constructor.setAccessible(true);
    return constructor.newInstance();
  }

  private static Field field(Class<?> type, String name) throws Exception {
    Field field = type.getDeclaredField(name);
    field.setAccessible(true);
    return field;
  }

  private static String one(Collection<String> values, String what) {
    if (values.size() != 1) throw new IllegalStateException(what + ": " + values);
    return values.iterator().next();
  }

  private static Iterable<Integer> range(int from, int to) {
    List<Integer> versions = new ArrayList<>();
    for (int v = from; v <= to; v++) versions.add(v);
    return versions;
  }

  private static String span(TreeSet<Integer> versions) {
    if (versions.isEmpty()) return "-";
    if (versions.last() - versions.first() + 1 != versions.size()) throw new IllegalStateException(versions.toString());
    return versions.first() + "-" + versions.last();
  }

  private static String camel(String snake) {
    StringBuilder name = new StringBuilder();
    for (String part : snake.split("_")) {
      name.append(name.length() == 0 ? part : part.substring(0, 1).toUpperCase() + part.substring(1));
    }
    return name.toString();
  }
}
