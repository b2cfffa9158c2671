import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupListing;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.LogDirNotFoundException;
import org.apache.kafka.common.errors.SecurityDisabledException;
import org.apache.kafka.common.quota.ClientQuotaFilter;

/** The admin calls that every version of the client has. */
final class JavaAdmin {
  private final InteropClient client;
  private final Admin admin;
  private final String topic;

  private JavaAdmin(InteropClient client) {
    this.client = client;
    this.admin = client.admin;
    this.topic = client.name;
  }

  static void run(InteropClient client) {
    JavaAdmin calls = new JavaAdmin(client);
    Steps.step("admin: cluster", calls::cluster);
    Steps.step("admin: configs", calls::configs);
    Steps.step("admin: groups", calls::groups);
    Steps.step("admin: offsets", calls::offsets);
    Steps.step("admin: log directories", calls::logDirs);
    Steps.step("admin: partitions, records, topics", calls::topics);
    Steps.step("admin: leaders and reassignments", calls::leaders);
    Steps.step("admin: quotas, users, access control", calls::security);
  }

  private void cluster() throws Exception {
    DescribeClusterResult cluster = admin.describeCluster();
    Steps.equal(cluster.nodes().get().size(), 1);
    Node node = cluster.nodes().get().iterator().next();
    Steps.equal(cluster.controller().get().id(), node.id());
    Steps.equal(node.host() + ":" + node.port(), client.bootstrap);
    Steps.check(!cluster.clusterId().get().isEmpty(), "no cluster id");
    Steps.check(admin.listTopics().names().get().contains(topic), "the topic is not listed");
  }

  private void configs() throws Exception {
    ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
    alter(resource, "max.message.bytes", "2000000", AlterConfigOp.OpType.SET);
    alter(resource, "cleanup.policy", "compact", AlterConfigOp.OpType.APPEND);
    alter(resource, "retention.ms", null, AlterConfigOp.OpType.DELETE);
    Config config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
    Steps.equal(config.get("max.message.bytes").value(), "2000000");
    Steps.equal(config.get("max.message.bytes").source(), ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
    Steps.equal(config.get("cleanup.policy").value(), "delete,compact");
    Steps.equal(config.get("retention.ms").value(), "604800000");
    alter(resource, "cleanup.policy", "compact", AlterConfigOp.OpType.SUBTRACT);
    Throwable refused =
        Steps.failure(() -> alter(resource, "max.message.bytes", "many", AlterConfigOp.OpType.SET));
    Steps.check(refused instanceof InvalidConfigurationException, refused);
    String node = admin.describeCluster().nodes().get().iterator().next().idString();
    ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, node);
    Config brokerConfig = admin.describeConfigs(List.of(broker)).all().get().get(broker);
    Steps.equal(brokerConfig.get("log.segment.bytes").value(), "1073741824");
  }

  private void alter(ConfigResource resource, String key, String value, AlterConfigOp.OpType how) throws Exception {
    Collection<AlterConfigOp> change = List.of(new AlterConfigOp(new ConfigEntry(key, value), how));
    admin.incrementalAlterConfigs(Map.of(resource, change)).all().get();
  }

  private void groups() throws Exception {
    String group = topic + "-two";
    TopicPartition partition = new TopicPartition(group, 0);
    Steps.check(groupIds().contains(group), groupIds());
    Steps.equal(admin.describeConsumerGroups(List.of(group)).all().get().get(group).members().size(), 0);
    admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(3))).all().get();
    Steps.equal(offsetsOf(group).get(partition).offset(), 3L);
    admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all().get();
    Steps.check(!offsetsOf(group).containsKey(partition), offsetsOf(group));
    admin.deleteConsumerGroups(List.of(group)).all().get();
    Steps.check(!groupIds().contains(group), groupIds());
    Throwable missing = Steps.failure(() -> admin.deleteConsumerGroups(List.of("no such group")).all().get());
    Steps.check(missing instanceof GroupIdNotFoundException, missing);
  }

  private Map<TopicPartition, OffsetAndMetadata> offsetsOf(String group) throws Exception {
    return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
  }

  private Set<String> groupIds() throws Exception {
    return admin.listConsumerGroups().all().get().stream()
        .map(ConsumerGroupListing::groupId).collect(Collectors.toSet());
  }

  private void offsets() throws Exception {
    Steps.equal(offset(OffsetSpec.earliest()), 0L);
    Steps.equal(offset(OffsetSpec.latest()), 1001L);
    Steps.equal(offset(OffsetSpec.forTimestamp(client.expected.get(3).get(400).timestamp())), 400L);
  }

  private long offset(OffsetSpec spec) throws Exception {
    TopicPartition partition = new TopicPartition(topic, 3);
    return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get().offset();
  }

  private void logDirs() throws Exception {
    int node = admin.describeCluster().nodes().get().iterator().next().id();
    Map<String, LogDirDescription> dirs = admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node);
    Steps.equal(dirs.size(), 1);
    LogDirDescription dir = dirs.values().iterator().next();
    Steps.check(dir.error() == null, dir.error());
    Steps.check(dir.replicaInfos().get(new TopicPartition(topic, 3)).size() > 1000, dir.replicaInfos());
    TopicPartitionReplica replica = new TopicPartitionReplica(topic, 3, node);
    admin.alterReplicaLogDirs(Map.of(replica, dirs.keySet().iterator().next())).all().get();
    Throwable missing = Steps.failure(() -> admin.alterReplicaLogDirs(Map.of(replica, "/no/such/directory")).all().get());
    Steps.check(missing instanceof LogDirNotFoundException, missing);
  }

  private void topics() throws Exception {
    String other = topic + "-cooperative";
    admin.createPartitions(Map.of(other, NewPartitions.increaseTo(6))).all().get();
    Throwable refused =
        Steps.failure(() -> admin.createPartitions(Map.of(other, NewPartitions.increaseTo(2))).all().get());
    Steps.check(refused instanceof InvalidPartitionsException, refused);
    TopicPartition partition = new TopicPartition(topic, 3);
    Steps.equal(
        admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(600)))
            .lowWatermarks().get(partition).get().lowWatermark(),
        600L);
    Steps.equal(offset(OffsetSpec.earliest()), 600L);
    Steps.equal(client.read(topic, Map.of(3, 600L), 401).get(3), client.expected.get(3).subList(600, 1001));
    admin.deleteTopics(List.of(other)).all().get();
    Steps.check(!admin.listTopics().names().get().contains(other), "the topic is still listed");
  }

  private void leaders() throws Exception {
    TopicPartition partition = new TopicPartition(topic, 0);
    Throwable result = admin.electLeaders(ElectionType.PREFERRED, Set.of(partition)).partitions().get()
        .get(partition).orElse(null);
    Steps.check(result instanceof ElectionNotNeededException, result);
    Steps.equal(admin.listPartitionReassignments().reassignments().get(), Map.of());
  }

  private void security() throws Exception {
    Steps.equal(admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get(), Map.of());
    Steps.equal(admin.describeUserScramCredentials().all().get(), Map.of());
    Throwable refused = Steps.failure(() -> admin.describeAcls(AclBindingFilter.ANY).values().get());
    Steps.check(refused instanceof SecurityDisabledException, refused);
  }
}
