import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListConfigResourcesOptions;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** The admin calls that came with 3.x and 4.x. */
final class ModernAdmin {
  private final InteropClient client;
  private final Admin admin;
  private final String topic;

  private ModernAdmin(InteropClient client) {
    this.client = client;
    this.admin = client.admin;
    this.topic = client.name;
  }

  static void run(InteropClient client) {
    ModernAdmin calls = new ModernAdmin(client);
    Steps.step("admin: topics by name and by id", calls::topics);
    Steps.step("admin: newer kinds of offsets", calls::offsets);
    Steps.step("admin: producers and transactions", calls::producers);
    Steps.step("admin: groups by state", calls::groups);
    Steps.step("admin: features and resources", calls::features);
  }

  private void topics() throws Exception {
    TopicDescription byName = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    Steps.equal(byName.partitions().size(), 4);
    Steps.check(!byName.topicId().equals(Uuid.ZERO_UUID), "no topic id");
    TopicCollection ids = TopicCollection.ofTopicIds(List.of(byName.topicId()));
    Steps.equal(admin.describeTopics(ids).allTopicIds().get().get(byName.topicId()).name(), topic);
    Throwable missing = Steps.failure(() -> admin.describeTopics(List.of("missing")).allTopicNames().get());
    Steps.check(missing instanceof UnknownTopicOrPartitionException, missing);
    NewTopic other = new NewTopic(topic + "-by-id", 1, (short) 1);
    Uuid id = admin.createTopics(List.of(other)).topicId(other.name()).get();
    admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all().get();
    Steps.check(!admin.listTopics().names().get().contains(other.name()), "deleted by id, but still there");
  }

  private void offsets() throws Exception {
    TopicPartition partition = new TopicPartition(topic, 3);
    Steps.equal(
        admin.listOffsets(Map.of(partition, OffsetSpec.maxTimestamp())).partitionResult(partition).get().offset(), 1000L);
    Steps.equal(
        admin.listOffsets(Map.of(partition, OffsetSpec.earliestLocal())).partitionResult(partition).get().offset(), 600L);
  }

  private void producers() throws Exception {
    TopicPartition partition = new TopicPartition(topic + "-idempotent", 0);
    List<ProducerState> active =
        admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers();
    Steps.equal(active.size(), 1);
    Steps.equal(active.get(0).lastSequence(), 1499);
    Steps.check(active.get(0).currentTransactionStartOffset().isEmpty(), active);
  }

  private void groups() throws Exception {
    Set<String> empty = admin.listGroups(ListGroupsOptions.forConsumerGroups().inGroupStates(Set.of(GroupState.EMPTY)))
        .all().get().stream().map(GroupListing::groupId).collect(Collectors.toSet());
    Steps.check(empty.contains(topic + "-resume"), empty);
    Set<String> stable = admin.listGroups(new ListGroupsOptions().inGroupStates(Set.of(GroupState.STABLE)))
        .all().get().stream().map(GroupListing::groupId).collect(Collectors.toSet());
    Steps.check(!stable.contains(topic + "-resume"), stable);
    Steps.equal(
        admin.describeConsumerGroups(List.of(topic + "-resume")).all().get().get(topic + "-resume").groupState(),
        GroupState.EMPTY);
    Steps.equal(
        admin.describeClassicGroups(List.of(topic + "-resume")).all().get().get(topic + "-resume").protocol(), "consumer");
  }

  private void features() throws Exception {
    Steps.check(admin.describeFeatures().featureMetadata().get() != null, "no features");
    Steps.equal(admin.listConfigResources(Set.of(ConfigResource.Type.CLIENT_METRICS), new ListConfigResourcesOptions()).all().get().size(), 0);
    Set<String> topics = admin.listConfigResources(Set.of(ConfigResource.Type.TOPIC), new ListConfigResourcesOptions())
        .all().get().stream().map(ConfigResource::name).collect(Collectors.toSet());
    Steps.check(topics.contains(topic), topics);
  }
}
