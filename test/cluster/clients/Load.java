import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Scanner;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Apache Kafka's Java client as load: its arguments, and the lines that it prints and reads, are those of load.py. */
public final class Load {
  private static final int KEYS = 12;
  private static volatile boolean stopping;
  private static volatile boolean leaving;

  private Load() {}

  private static synchronized void say(String line) {
    System.out.println(line.replace('\n', ' '));
    System.out.flush();
  }

  private static Properties brisk(String bootstrap) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", bootstrap);
    settings.put("reconnect.backoff.ms", "20");
    settings.put("reconnect.backoff.max.ms", "200");
    settings.put("retry.backoff.ms", "20");
    settings.put("retry.backoff.max.ms", "200");
    settings.put("socket.connection.setup.timeout.ms", "2000");
    settings.put("request.timeout.ms", "4000");
    return settings;
  }

  private static void produce(String bootstrap, String topic, String name, int rate) {
    Properties settings = brisk(bootstrap);
    settings.put("enable.idempotence", "true");
    settings.put("acks", "all");
    settings.put("linger.ms", "5");
    settings.put("delivery.timeout.ms", "120000");
    settings.put("max.block.ms", "120000");
    try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
      long started = System.nanoTime();
      long sent = 0;
      while (!stopping) {
        for (; sent < (System.nanoTime() - started) * rate / 1_000_000_000L && !stopping; sent++) {
          String value = name + " " + sent % KEYS + " " + sent / KEYS;
          producer.send(new ProducerRecord<>(topic, name + "-" + sent % KEYS, value), (where, error) -> {
            if (error == null) say("a " + value + " " + where.partition() + " " + where.offset());
            else say("f " + value + " " + error);
          });
        }
        pause();
      }
    }
  }

  private static void pause() {
    try {
      Thread.sleep(5);
    } catch (InterruptedException interrupted) {
      stopping = true;
    }
  }

  /** What was read and is not committed yet; of partitions that were taken away others tell. */
  private static final class Progress implements ConsumerRebalanceListener {
    final Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {}

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
      next.keySet().removeAll(partitions);
    }
  }

  private static void consume(String bootstrap, String topic, String group, int member) {
    Properties settings = brisk(bootstrap);
    settings.put("group.id", group);
    settings.put("client.id", "member-" + member);
    settings.put("enable.auto.commit", "false");
    settings.put("auto.offset.reset", "earliest");
    settings.put("session.timeout.ms", "6000");
    settings.put("heartbeat.interval.ms", "500");
    settings.put("fetch.max.wait.ms", "100");
    Progress progress = new Progress();
    try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
      consumer.subscribe(List.of(topic), progress);
      long lastNs = System.nanoTime();
      while (!leaving) {
        try {
          for (ConsumerRecord<String, String> each : consumer.poll(Duration.ofMillis(50))) {
            say("r " + group + " " + each.partition() + " " + each.offset());
            progress.next.put(new TopicPartition(topic, each.partition()), new OffsetAndMetadata(each.offset() + 1));
          }
          if (progress.next.isEmpty() || System.nanoTime() - lastNs < 100_000_000L) continue;
          lastNs = System.nanoTime();
          consumer.commitSync(progress.next, Duration.ofSeconds(20));
          progress.next.forEach((at, kept) -> say("k " + group + " " + at.partition() + " " + kept.offset()));
          progress.next.clear();
        } catch (KafkaException error) {
          say("e " + group + " " + error);
        }
      }
    }
  }

  public static void main(String[] args) throws Exception {
    List<Thread> producers = new ArrayList<>();
    List<Thread> members = new ArrayList<>();
    for (int at = 2; at < args.length; at++) {
      String[] member = args[at].split("/");
      String[] producer = args[at].split(":");
      if (member.length == 1)
        producers.add(new Thread(() -> produce(args[0], args[1], producer[0], Integer.parseInt(producer[1]))));
      else
        for (int number = 0; number < Integer.parseInt(member[1]); number++) {
          int name = number;
          members.add(new Thread(() -> consume(args[0], args[1], member[0], name)));
        }
    }
    for (Thread each : producers) each.start();
    for (Thread each : members) each.start();
    Scanner asked = new Scanner(System.in);
    while (asked.hasNextLine()) {
      String what = asked.nextLine();
      if (what.equals("leave")) break;
      if (!what.equals("stop")) continue;
      stopping = true;
      for (Thread each : producers) each.join();
      say("done");
    }
    stopping = true;
    leaving = true;
    for (Thread each : members) each.join();
    System.exit(0);
  }
}
