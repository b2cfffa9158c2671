import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Apache Kafka's Java client against a broker; compiles against 2.8 and later: java InteropClient HOST:PORT */
public final class InteropClient {
  /** A record as it was sent and has to come back. Bytes are shown in Latin-1, so that all of them survive. */
  record Row(long offset, String key, String value, List<String> headers, long timestamp) {}

  final String name = "java";
  final String bootstrap;
  final Admin admin;
  final List<List<Row>> expected = new ArrayList<>();
  long clock = 1_700_000_000_000L;

  InteropClient(String bootstrap) {
    this.bootstrap = bootstrap;
    this.admin = Admin.create(settings());
    for (int i = 0; i < 4; i++) expected.add(new ArrayList<>());
  }

  public static void main(String[] args) throws Exception {
    InteropClient client = new InteropClient(args[0]);
    client.run();
    JavaAdmin.run(client);
    if (args.length > 1) {
      Class.forName(args[1]).getDeclaredMethod("run", InteropClient.class).invoke(null, client);
    }
    Steps.done();
    System.exit(0);
  }

  void run() {
    Steps.step("create topic", this::createTopic);
    Steps.step("produce with acks 0, 1 and all", this::acks);
    Steps.step("produce with every codec", this::everyCodec);
    Steps.step("keys, headers, null values, timestamps", this::contents);
    Steps.step("batches of 1 and of 1000", this::batches);
    Steps.step("consume by assign", this::assign);
    Steps.step("group of two, one joins later, one leaves", () -> groupOfTwo("two", RangeAssignor.class.getName()));
    Steps.step("cooperative group of two", () -> groupOfTwo("cooperative", CooperativeStickyAssignor.class.getName()));
    Steps.step("static member comes back without a rebalance", this::staticMember);
    Steps.step("commit, restart, resume", this::resume);
    Steps.step("idempotent producer over a restart", this::idempotent);
  }

  Properties settings() {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", bootstrap);
    settings.put("reconnect.backoff.max.ms", "500");
    return settings;
  }

  void create(String topic, int partitions) throws Exception {
    NewTopic described = new NewTopic(topic, partitions, (short) 1).configs(Map.of("retention.ms", "-1"));
    admin.createTopics(List.of(described)).all().get(30, TimeUnit.SECONDS);
  }

  private void createTopic() throws Exception {
    create(name, 4);
    Steps.check(Steps.failure(() -> create(name, 4)) instanceof TopicExistsException, "created twice");
  }

  KafkaProducer<byte[], byte[]> producer(String... more) {
    Properties settings = settings();
    settings.put("key.serializer", ByteArraySerializer.class.getName());
    settings.put("value.serializer", ByteArraySerializer.class.getName());
    settings.put("linger.ms", "5");
    for (int i = 0; i < more.length; i += 2) settings.put(more[i], more[i + 1]);
    return new KafkaProducer<>(settings);
  }

  KafkaConsumer<byte[], byte[]> consumer(String... more) {
    Properties settings = settings();
    settings.put("key.deserializer", ByteArrayDeserializer.class.getName());
    settings.put("value.deserializer", ByteArrayDeserializer.class.getName());
    settings.put("auto.offset.reset", "earliest");
    settings.put("enable.auto.commit", "false");
    settings.put("heartbeat.interval.ms", "200");
    settings.put("session.timeout.ms", "10000");
    for (int i = 0; i < more.length; i += 2) settings.put(more[i], more[i + 1]);
    return new KafkaConsumer<>(settings);
  }

  static String text(byte[] bytes) {
    return bytes == null ? null : new String(bytes, java.nio.charset.StandardCharsets.ISO_8859_1);
  }

  private static List<String> text(Iterable<Header> headers) {
    List<String> shown = new ArrayList<>();
    for (Header header : headers) shown.add(header.key() + "=" + text(header.value()));
    return shown;
  }

  private Future<RecordMetadata> send(
      KafkaProducer<byte[], byte[]> producer, int partition, byte[] key, byte[] value, Header... headers) {
    clock += 10;
    List<Row> rows = expected.get(partition);
    rows.add(new Row(rows.size(), text(key), text(value), text(Arrays.asList(headers)), clock));
    return producer.send(new ProducerRecord<>(name, partition, clock, key, value, Arrays.asList(headers)));
  }

  private void acks() throws Exception {
    for (String acks : List.of("1", "all", "0")) {
      try (KafkaProducer<byte[], byte[]> producer = producer("acks", acks, "enable.idempotence", "false")) {
        for (int i = 0; i < 3; i++) {
          int partition = acks.equals("0") ? 0 : 1;
          Future<RecordMetadata> sent = send(producer, partition, null, ("acks " + acks + i).getBytes(UTF_8));
          if (!acks.equals("0")) Steps.equal(sent.get().offset(), expected.get(1).size() - 1L);
          else Steps.equal(sent.get().hasOffset(), false);
        }
      }
    }
  }

  private void everyCodec() throws Exception {
    for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
      try (KafkaProducer<byte[], byte[]> producer = producer("compression.type", codec)) {
        for (int i = 0; i < 50; i++) send(producer, 2, null, (codec + " " + i + " ").repeat(20).getBytes(UTF_8));
      }
    }
  }

  private void contents() throws Exception {
    byte[] all = new byte[256];
    for (int i = 0; i < 256; i++) all[i] = (byte) i;
    try (KafkaProducer<byte[], byte[]> producer = producer()) {
      send(producer, 2, "key".getBytes(UTF_8), "with a key".getBytes(UTF_8));
      send(producer, 2, "tombstone".getBytes(UTF_8), null);
      send(producer, 2, new byte[0], new byte[0]);
      send(producer, 2, all, all);
      send(producer, 2, null, "with headers".getBytes(UTF_8),
          new RecordHeader("one", "1".getBytes(UTF_8)), new RecordHeader("umlaut \u00e4\u20ac", all),
          new RecordHeader("empty", new byte[0]), new RecordHeader("null", (byte[]) null),
          new RecordHeader("one", "again".getBytes(UTF_8)));
    }
  }

  private void batches() throws Exception {
    try (KafkaProducer<byte[], byte[]> producer = producer("batch.size", "1000000", "linger.ms", "100")) {
      Steps.equal(send(producer, 3, null, "alone".getBytes(UTF_8)).get().offset(), 0L);
      Future<RecordMetadata> last = null;
      for (int i = 0; i < 1000; i++) last = send(producer, 3, ("" + i).getBytes(UTF_8), ("many " + i).getBytes(UTF_8));
      Steps.equal(last.get().offset(), 1000L);
    }
  }

  static Row row(ConsumerRecord<byte[], byte[]> record) {
    Steps.equal(record.timestampType(), TimestampType.CREATE_TIME);
    return new Row(record.offset(), text(record.key()), text(record.value()), text(record.headers()), record.timestamp());
  }

  /** Reads by assignment from the given offsets until `count` records came, and nothing more. */
  List<List<Row>> read(String topic, Map<Integer, Long> starts, int count) {
    List<List<Row>> rows = IntStream.range(0, 4).mapToObj(i -> (List<Row>) new ArrayList<Row>()).toList();
    try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
      consumer.assign(starts.keySet().stream().map(p -> new TopicPartition(topic, p)).toList());
      starts.forEach((partition, offset) -> consumer.seek(new TopicPartition(topic, partition), offset));
      int total = 0;
      long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
      while (total < count) {
        Steps.check(System.nanoTime() < deadline, "only " + total + " of " + count + " records came");
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
          rows.get(record.partition()).add(row(record));
          total++;
        }
      }
      Steps.check(consumer.poll(Duration.ofMillis(300)).isEmpty() && total == count, "too many records");
    }
    return rows;
  }

  void checkEverything() {
    int count = expected.stream().mapToInt(List::size).sum();
    List<List<Row>> got = read(name, Map.of(0, 0L, 1, 0L, 2, 0L, 3, 0L), count);
    for (int partition = 0; partition < 4; partition++) Steps.equal(got.get(partition), expected.get(partition));
  }

  private void assign() {
    checkEverything();
    Steps.equal(read(name, Map.of(3, 500L), 501).get(3), expected.get(3).subList(500, 1001));
    try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
      TopicPartition partition = new TopicPartition(name, 3);
      Steps.equal(consumer.beginningOffsets(List.of(partition)), Map.of(partition, 0L));
      Steps.equal(consumer.endOffsets(List.of(partition)), Map.of(partition, 1001L));
      long time = expected.get(3).get(700).timestamp();
      OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, time)).get(partition);
      Steps.equal(found.offset(), 700L);
      Steps.equal(found.timestamp(), time);
    }
  }

  /** A group member with its own thread; notes its assignment and what it gets. */
  final class Member {
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Thread thread = new Thread(this::poll);
    private Map<TopicPartition, OffsetAndMetadata> toCommit = Map.of();
    private Set<Integer> assignment = Set.of();
    private boolean stopping;
    private int generation;
    private Exception error;
    final List<ConsumerRecord<byte[], byte[]>> log = new ArrayList<>();

    Member(String topic, String... settings) {
      consumer = consumer(settings);
      consumer.subscribe(List.of(topic));
      thread.start();
    }

    private void poll() {
      try (consumer) {
        while (!isStopping()) {
          Collection<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
          consumer.poll(Duration.ofMillis(100)).forEach(records::add);
          note(records);
        }
        if (!toCommit.isEmpty()) consumer.commitSync(toCommit);
      } catch (Exception thrown) {
        error = thrown;
      }
    }

    private synchronized boolean isStopping() {
      return stopping;
    }

    private synchronized void note(Collection<ConsumerRecord<byte[], byte[]>> records) {
      log.addAll(records);
      assignment = consumer.assignment().stream().map(TopicPartition::partition).collect(Collectors.toSet());
      generation = consumer.groupMetadata().generationId();
      notifyAll();
    }

    synchronized int generation() {
      return generation;
    }

    synchronized Set<Integer> assigned(int count) throws Exception {
      until(() -> assignment.size() == count, count + " partitions");
      return new HashSet<>(assignment);
    }

    synchronized void received(int count) throws Exception {
      until(() -> log.size() >= count, count + " records");
    }

    private void until(BooleanSupplier condition, String what) throws Exception {
      long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
      while (!condition.getAsBoolean()) {
        if (error != null) throw error;
        Steps.check(System.nanoTime() < deadline, "waited for " + what + ": " + assignment + ", " + log.size());
        wait(100);
      }
    }

    void stop(Map<TopicPartition, OffsetAndMetadata> commit) throws Exception {
      synchronized (this) {
        toCommit = commit;
        stopping = true;
      }
      thread.join();
      if (error != null) throw error;
    }
  }

  private void groupOfTwo(String group, String assignor) throws Exception {
    String topic = name + "-" + group;
    create(topic, 4);
    String[] settings = {
      "group.id", topic, "partition.assignment.strategy", assignor, "enable.auto.commit", "true"
    };
    try (KafkaProducer<byte[], byte[]> producer = producer()) {
      Member first = new Member(topic, settings);
      first.assigned(4);
      sendRound(producer, topic, 0);
      first.received(40);
      Member second = new Member(topic, settings);
      Set<Integer> together = second.assigned(2);
      together.addAll(first.assigned(2));
      Steps.equal(together, Set.of(0, 1, 2, 3));
      sendRound(producer, topic, 1);
      first.received(60);
      second.received(20);
      second.stop(Map.of());
      first.assigned(4);
      sendRound(producer, topic, 2);
      first.received(100);
      first.stop(Map.of());
      List<ConsumerRecord<byte[], byte[]>> all = new ArrayList<>(first.log);
      all.addAll(second.log);
      all.sort(Comparator.comparingLong(ConsumerRecord::offset));
      for (int partition = 0; partition < 4; partition++) {
        int wanted = partition;
        List<String> sent = new ArrayList<>();
        for (int i = 0; i < 120; i++) if (i % 4 == partition) sent.add(i / 40 + "/" + i % 40);
        List<String> got = all.stream().filter(r -> r.partition() == wanted).map(r -> text(r.value())).toList();
        Steps.equal(got, sent);
      }
    }
  }

  private void sendRound(KafkaProducer<byte[], byte[]> producer, String topic, int round) {
    for (int i = 0; i < 40; i++) {
      producer.send(new ProducerRecord<>(topic, i % 4, null, (round + "/" + i).getBytes(UTF_8)));
    }
    producer.flush();
  }

  private void staticMember() throws Exception {
    String topic = name + "-static";
    create(topic, 2);
    Member stays = new Member(topic, "group.id", topic, "group.instance.id", "stays");
    Member returns = new Member(topic, "group.id", topic, "group.instance.id", "returns");
    Set<Integer> before = returns.assigned(1);
    stays.assigned(1);
    int generation = stays.generation();
    returns.stop(Map.of());
    Member again = new Member(topic, "group.id", topic, "group.instance.id", "returns");
    Steps.equal(again.assigned(1), before);
    Steps.equal(again.generation(), generation);
    again.stop(Map.of());
    stays.stop(Map.of());
  }

  private void resume() throws Exception {
    String topic = name + "-resume";
    create(topic, 1);
    TopicPartition partition = new TopicPartition(topic, 0);
    try (KafkaProducer<byte[], byte[]> producer = producer()) {
      for (int i = 0; i < 20; i++) producer.send(new ProducerRecord<>(topic, 0, null, ("" + i).getBytes(UTF_8)));
      producer.flush();
      Member member = new Member(topic, "group.id", topic);
      member.received(20);
      OffsetAndMetadata position = new OffsetAndMetadata(12, "a note");
      member.stop(Map.of(partition, position));
      Steps.restart("stop");
      Steps.equal(admin.listConsumerGroupOffsets(topic).partitionsToOffsetAndMetadata().get(), Map.of(partition, position));
      producer.send(new ProducerRecord<>(topic, 0, null, "after".getBytes(UTF_8))).get();
      Member resumed = new Member(topic, "group.id", topic);
      resumed.received(9);
      resumed.stop(Map.of());
      Steps.equal(
          resumed.log.stream().map(r -> text(r.value())).toList(),
          List.of("12", "13", "14", "15", "16", "17", "18", "19", "after"));
    }
    checkEverything();
  }

  private void idempotent() throws Exception {
    String topic = name + "-idempotent";
    create(topic, 1);
    List<Future<RecordMetadata>> sent = Collections.synchronizedList(new ArrayList<>());
    try (KafkaProducer<byte[], byte[]> producer =
        producer("enable.idempotence", "true", "acks", "all", "retries", "" + Integer.MAX_VALUE,
            "max.in.flight.requests.per.connection", "5")) {
      produce(producer, topic, 0, 100, sent);
      producer.flush();
      Thread during = new Thread(() -> produce(producer, topic, 100, 1500, sent));
      during.start();
      Thread.sleep(300);
      Steps.restart("kill");
      during.join();
      producer.flush();
    }
    Steps.equal(sent.size(), 1500);
    List<Row> got = read(topic, Map.of(0, 0L), 1500).get(0);
    for (int i = 0; i < 1500; i++) {
      Steps.equal(got.get(i).value(), "" + i);
      Steps.equal(got.get(i).offset(), (long) i);
      Steps.equal(sent.get(i).get().offset(), (long) i);
    }
  }

  private static void produce(
      KafkaProducer<byte[], byte[]> producer, String topic, int from, int to, List<Future<RecordMetadata>> sent) {
    try {
      for (int i = from; i < to; i++) {
        sent.add(producer.send(new ProducerRecord<>(topic, 0, null, ("" + i).getBytes(UTF_8))));
        Thread.sleep(2);
      }
    } catch (InterruptedException interrupted) {
      throw new IllegalStateException(interrupted);
    }
  }
}
