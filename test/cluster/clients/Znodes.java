import java.util.Properties;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import kafka.api.LeaderAndIsr;
import kafka.cluster.Broker;
import kafka.controller.LeaderIsrAndControllerEpoch;
import kafka.zk.BrokerIdZNode;
import kafka.zk.BrokerIdsZNode;
import kafka.zk.ClusterIdZNode;
import kafka.zk.ConfigEntityZNode;
import kafka.zk.ControllerEpochZNode;
import kafka.zk.ControllerZNode;
import kafka.zk.TopicPartitionStateZNode;
import kafka.zk.TopicPartitionsZNode;
import kafka.zk.TopicZNode;
import kafka.zk.TopicsZNode;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.network.ListenerName;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/** What the last Apache Kafka with ZooKeeper reads in the nodes of a cluster, one line for each: Znodes HOST:PORT */
public final class Znodes {
  private final ZooKeeper zooKeeper;

  private Znodes(ZooKeeper zooKeeper) {
    this.zooKeeper = zooKeeper;
  }

  private byte[] data(String path) throws Exception {
    return zooKeeper.getData(path, false, null);
  }

  private void read() throws Exception {
    System.out.println("cluster " + ClusterIdZNode.fromJson(data(ClusterIdZNode.path())));
    System.out.println("controller " + ControllerZNode.decode(data(ControllerZNode.path())).get());
    int controllerEpoch = ControllerEpochZNode.decode(data(ControllerEpochZNode.path()));
    for (String id : new TreeSet<>(zooKeeper.getChildren(BrokerIdsZNode.path(), false))) {
      int number = Integer.parseInt(id);
      Broker broker = BrokerIdZNode.decode(number, data(BrokerIdZNode.path(number))).broker();
      Node node = broker.node(new ListenerName("PLAINTEXT"));
      System.out.println("broker " + node.id() + " " + node.host() + ":" + node.port());
    }
    for (String topic : new TreeSet<>(zooKeeper.getChildren(TopicsZNode.path(), false)))
      topic(topic, controllerEpoch);
  }

  private void topic(String topic, int controllerEpoch) throws Exception {
    TopicZNode.TopicIdReplicaAssignment assigned = TopicZNode.decode(topic, data(TopicZNode.path(topic)));
    // As Kafka has it: a topic without values of its own may lack the node.
    String configPath = ConfigEntityZNode.path("topics", topic);
    boolean hasConfig = zooKeeper.exists(configPath, false) != null;
    Properties config = hasConfig ? ConfigEntityZNode.decode(data(configPath)) : new Properties();
    System.out.println("topic " + topic + " " + assigned.topicId().get() + " " + config);
    for (String index : new TreeSet<>(zooKeeper.getChildren(TopicPartitionsZNode.path(topic), false))) {
      TopicPartition partition = new TopicPartition(topic, Integer.parseInt(index));
      Stat stat = new Stat();
      byte[] bytes = zooKeeper.getData(TopicPartitionStateZNode.path(partition), false, stat);
      LeaderIsrAndControllerEpoch state = TopicPartitionStateZNode.decode(bytes, stat).get();
      LeaderAndIsr leads = state.leaderAndIsr();
      String replicas = assigned.assignment().apply(partition).replicas().mkString(",");
      boolean isOfTerm = state.controllerEpoch() >= 1 && state.controllerEpoch() <= controllerEpoch;
      System.out.println("partition " + topic + " " + index + " " + replicas + " " + leads.leader() + " "
          + leads.leaderEpoch() + " " + leads.isr().mkString(",") + " " + isOfTerm);
    }
  }

  public static void main(String[] args) throws Exception {
    CountDownLatch connected = new CountDownLatch(1);
    ZooKeeper zooKeeper = new ZooKeeper(args[0], 10_000, (event) -> {
      if (event.getState() == KeeperState.SyncConnected) connected.countDown();
    });
    connected.await();
    new Znodes(zooKeeper).read();
    zooKeeper.close();
  }
}
