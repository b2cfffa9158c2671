"""confluent-kafka (librdkafka) against a broker: python confluent_client.py HOST:PORT"""

import sys
import threading
import time

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
)

from scenario import PEER_IS_KAFKA, AlreadyExists, Member, Record, Scenario, equal, say, step

FAST = {
    "log_level": 0,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 500,
    "retry.backoff.ms": 50,
    "retry.backoff.max.ms": 200,
}


def to_record(message):
    if message.error():
        raise KafkaException(message.error())
    kind, timestamp = message.timestamp()
    assert kind == 1, f"not the creation time: {kind}"
    return Record(
        message.key(),
        message.value(),
        timestamp,
        message.headers() or [],
        message.partition(),
        message.offset(),
    )


class ConfluentProducer:
    def __init__(self, settings):
        self.producer = Producer(settings)
        self.offsets = []
        self.errors = []

    def send(self, topic, partition, record):
        self.producer.produce(
            topic,
            value=record.value,
            key=record.key,
            partition=partition,
            timestamp=record.timestamp,
            headers=record.headers,
            on_delivery=self.delivered,
        )
        self.producer.poll(0)

    def delivered(self, error, message):
        if error:
            self.errors.append(error)
        else:
            self.offsets.append(message.offset())

    def flush(self):
        equal(self.producer.flush(60), 0)
        equal(self.errors, [])
        offsets, self.offsets = self.offsets, []
        return offsets

    def close(self):
        equal(self.producer.flush(60), 0)


class ConfluentMember(Member):
    def __init__(self, settings, topic):
        super().__init__()
        self.topic = topic
        self.consumer = Consumer(settings)
        self.consumer.subscribe([topic], on_assign=self.assign, on_revoke=self.revoke)
        self.thread = threading.Thread(target=self.poll)
        self.thread.start()

    def assign(self, consumer, partitions):
        self.note_assignment(p.partition for p in partitions)

    def revoke(self, consumer, partitions):
        self.note_assignment([])

    def poll(self):
        try:
            while not self.stopping.is_set():
                message = self.consumer.poll(0.1)
                if message is not None:
                    self.note(to_record(message))
        except Exception as error:
            self.error = error

    def commit(self, offset, metadata):
        # The answer to a commit comes through the queue that poll reads.
        self.stop_polling()
        position = TopicPartition(self.topic, 0, offset, metadata)
        [committed] = self.consumer.commit(offsets=[position], asynchronous=False)
        assert committed.error is None, committed.error

    def stop_polling(self):
        self.stopping.set()
        self.thread.join()

    def stop(self):
        self.stop_polling()
        self.consumer.close()


class Confluent:
    codecs = ["none", "gzip", "snappy", "lz4", "zstd"]

    def __init__(self, bootstrap):
        self.base = {"bootstrap.servers": bootstrap, **FAST}
        self.admin = AdminClient(self.base)

    def create_topic(self, name, partitions):
        topic = NewTopic(name, partitions, 1, config={"retention.ms": "-1"})
        try:
            self.admin.create_topics([topic])[name].result(30)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                raise AlreadyExists from error
            raise

    def producer(self, acks=-1, codec="none", idempotent=False):
        settings = {**self.base, "compression.type": codec, "linger.ms": 5}
        if idempotent:
            settings["enable.idempotence"] = True
        else:
            settings["acks"] = acks
        return ConfluentProducer(settings)

    def read(self, topic, starts, count):
        consumer = Consumer({**self.base, "group.id": "unused", "enable.auto.commit": False})
        consumer.assign([TopicPartition(topic, p, offset) for p, offset in starts.items()])
        records = []
        while len(records) < count:
            message = consumer.poll(30)
            assert message is not None, f"only {len(records)} of {count} records came"
            records.append(to_record(message))
        extra = consumer.poll(0.3)
        assert extra is None, f"more records than were sent: {extra.error() or to_record(extra)}"
        consumer.close()
        return records

    def member(self, group, topic, auto_commit):
        settings = {
            **self.base,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": auto_commit,
            "heartbeat.interval.ms": 200,
            "session.timeout.ms": 10000,
        }
        return ConfluentMember(settings, topic)

    def committed(self, group, topic, partition):
        consumer = Consumer({**self.base, "group.id": group})
        [position] = consumer.committed([TopicPartition(topic, partition)], timeout=30)
        consumer.close()
        return position.offset, position.metadata


class Admin:
    def __init__(self, name, client):
        self.name = name
        self.client = client

    def run(self):
        step("admin: cluster and topics", self.cluster)
        step("admin: configs", self.configs)
        step("admin: groups", self.groups)
        step("admin: offsets", self.offsets)
        step("admin: partitions, records, topics", self.topics)
        step("admin: access control is off", self.acls)
        step("transactions end in an error that says why, at once", self.transactions)

    def transactions(self):
        producer = Producer({**FAST, "bootstrap.servers": sys.argv[1], "transactional.id": f"{self.name}-tx"})
        started = time.monotonic()
        try:
            producer.init_transactions(30)
            assert PEER_IS_KAFKA
        except KafkaException as failure:
            error = failure.args[0]
            assert not PEER_IS_KAFKA and time.monotonic() - started < 10, str(error)
            equal(error.code(), KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
            assert error.fatal() and "no transactions" in error.str(), error.str()

    def cluster(self):
        cluster = self.client.describe_cluster(request_timeout=30).result(30)
        assert cluster.cluster_id
        equal(len(cluster.nodes), 1)
        equal(cluster.controller.id, cluster.nodes[0].id)
        metadata = self.client.list_topics(timeout=30)
        equal(sorted(metadata.topics[self.name].partitions), [0, 1, 2, 3])

    def configs(self):
        resource = ConfigResource(
            ConfigResource.Type.TOPIC,
            self.name,
            incremental_configs=[
                ConfigEntry("max.message.bytes", "2000000", incremental_operation=AlterConfigOpType.SET),
                ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.APPEND),
            ],
        )
        self.client.incremental_alter_configs([resource])[resource].result(30)
        topic = ConfigResource(ConfigResource.Type.TOPIC, self.name)
        entries = self.client.describe_configs([topic])[topic].result(30)
        equal(entries["max.message.bytes"].value, "2000000")
        equal(entries["retention.ms"].value, "-1")
        equal(entries["cleanup.policy"].value, "delete,compact")
        node = self.client.describe_cluster().result(30).nodes[0].id
        broker = ConfigResource(ConfigResource.Type.BROKER, str(node))
        assert "log.retention.ms" in self.client.describe_configs([broker])[broker].result(30)

    def groups(self):
        two = f"{self.name}-two"
        listed = self.client.list_consumer_groups(request_timeout=30).result(30)
        equal(listed.errors, [])
        assert two in [group.group_id for group in listed.valid]
        described = self.client.describe_consumer_groups([two], request_timeout=30)[two].result(30)
        equal(described.state.name, "EMPTY")
        topic = f"{self.name}-group"
        move = ConsumerGroupTopicPartitions(two, [TopicPartition(topic, 0, 3)])
        self.client.alter_consumer_group_offsets([move])[two].result(30)
        ask = ConsumerGroupTopicPartitions(two, [TopicPartition(topic, 0)])
        [offset] = self.client.list_consumer_group_offsets([ask])[two].result(30).topic_partitions
        equal(offset.offset, 3)
        self.client.delete_consumer_groups([two])[two].result(30)
        listed = self.client.list_consumer_groups(request_timeout=30).result(30)
        assert two not in [group.group_id for group in listed.valid]

    def offsets(self):
        partition = TopicPartition(self.name, 3)

        def ask(spec):
            asked = self.client.list_offsets(
                {partition: spec}, isolation_level=IsolationLevel.READ_UNCOMMITTED
            )
            return asked[partition].result(30).offset

        equal(ask(OffsetSpec.earliest()), 0)
        equal(ask(OffsetSpec.latest()), 1001)
        equal(ask(OffsetSpec.max_timestamp()), 1000)

    def topics(self):
        self.client.create_partitions([NewPartitions(f"{self.name}-group", 6)])[f"{self.name}-group"].result(30)
        equal(len(self.client.list_topics(f"{self.name}-group", 30).topics[f"{self.name}-group"].partitions), 6)
        partition = TopicPartition(self.name, 3, 600)
        [deleted] = self.client.delete_records([partition]).values()
        equal(deleted.result(30).low_watermark, 600)
        self.client.delete_topics([f"{self.name}-group"])[f"{self.name}-group"].result(30)
        assert f"{self.name}-group" not in self.client.list_topics(timeout=30).topics

    def acls(self):
        # describe_acls of this library loses an error of the whole answer.
        acl = AclBinding(
            ResourceType.TOPIC,
            self.name,
            ResourcePatternType.LITERAL,
            "User:somebody",
            "*",
            AclOperation.READ,
            AclPermissionType.ALLOW,
        )
        try:
            self.client.create_acls([acl])[acl].result(30)
        except KafkaException as error:
            equal(error.args[0].code(), KafkaError.SECURITY_DISABLED)
        else:
            raise AssertionError("access control is off, but it answered")


if __name__ == "__main__":
    confluent = Confluent(sys.argv[1])
    Scenario("confluent", confluent).run()
    Admin("confluent", confluent.admin).run()
    say({"done": True})
