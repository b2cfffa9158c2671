"""kafka-python against a broker: python kafka_python_client.py HOST:PORT"""

import sys
import threading
import time

from kafka import (
    ConsumerRebalanceListener,
    KafkaAdminClient,
    KafkaConsumer,
    KafkaProducer,
    OffsetAndMetadata,
    TopicPartition,
)
from kafka.admin import (
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ConfigResource,
    ConfigResourceType,
    NewTopic,
    OffsetSpec,
    ResourcePatternFilter,
    ACLResourcePatternType,
    ResourceType,
)
from kafka.errors import SecurityDisabledError, TopicAlreadyExistsError, TransactionalIdAuthorizationFailedError

from scenario import PEER_IS_KAFKA, AlreadyExists, Member, Record, Scenario, equal, say, step


def to_record(message):
    equal(message.timestamp_type, 0)
    headers = list(message.headers)
    return Record(message.key, message.value, message.timestamp, headers, message.partition, message.offset)


class Producer:
    def __init__(self, settings):
        self.producer = KafkaProducer(**settings)
        self.futures = []

    def send(self, topic, partition, record):
        self.futures.append(
            self.producer.send(
                topic,
                value=record.value,
                key=record.key,
                headers=record.headers,
                partition=partition,
                timestamp_ms=record.timestamp,
            )
        )

    def flush(self):
        self.producer.flush()
        futures, self.futures = self.futures, []
        return [future.get(60).offset for future in futures]

    def close(self):
        self.producer.close()


class GroupMember(Member, ConsumerRebalanceListener):
    def __init__(self, settings, topic):
        super().__init__()
        self.topic = topic
        self.consumer = KafkaConsumer(**settings)
        # A member that learns of the partitions only after it joined joins again at once, and on a busy machine this
        # library (3.0.12) then sometimes stops in the middle: the broker has answered everything, it asks no more.
        self.consumer.partitions_for_topic(topic)
        self.consumer.subscribe([topic], listener=self)
        self.to_commit = None
        self.thread = threading.Thread(target=self.poll)
        self.thread.start()

    def on_partitions_assigned(self, assigned):
        self.note_assignment(p.partition for p in assigned)

    def on_partitions_revoked(self, revoked):
        self.note_assignment([])

    def poll(self):
        """The library is not safe for several threads, so everything is done here."""
        try:
            while not self.stopping.is_set():
                for messages in self.consumer.poll(timeout_ms=100).values():
                    for message in messages:
                        self.note(to_record(message))
            if self.to_commit:
                self.consumer.commit({TopicPartition(self.topic, 0): self.to_commit})
            self.consumer.close()
        except Exception as error:
            self.error = error

    def commit(self, offset, metadata):
        self.to_commit = OffsetAndMetadata(offset, metadata, -1)

    def stop(self):
        self.stopping.set()
        self.thread.join()
        if self.error:
            raise self.error


class KafkaPython:
    codecs = [None, "gzip", "snappy", "lz4", "zstd"]

    def __init__(self, bootstrap):
        self.base = {"bootstrap_servers": bootstrap, "reconnect_backoff_max_ms": 500}
        self.admin = KafkaAdminClient(**self.base)

    def create_topic(self, name, partitions):
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, topic_configs={"retention.ms": "-1"})
        try:
            self.admin.create_topics([topic])
        except TopicAlreadyExistsError as error:
            raise AlreadyExists from error

    def producer(self, acks=-1, codec=None, idempotent=False):
        return Producer(
            {
                **self.base,
                "acks": acks,
                "compression_type": codec,
                "enable_idempotence": idempotent,
                "linger_ms": 5,
            }
        )

    def read(self, topic, starts, count):
        consumer = KafkaConsumer(**self.base)
        consumer.assign([TopicPartition(topic, p) for p in starts])
        for partition, offset in starts.items():
            consumer.seek(TopicPartition(topic, partition), offset)
        records = []
        deadline = time.time() + 60
        while len(records) < count:
            assert time.time() < deadline, f"only {len(records)} of {count} records came"
            for messages in consumer.poll(timeout_ms=1000).values():
                records.extend(map(to_record, messages))
        equal(consumer.poll(timeout_ms=300), {})
        consumer.close()
        return records

    def member(self, group, topic, auto_commit):
        settings = {
            **self.base,
            "group_id": group,
            "auto_offset_reset": "earliest",
            "enable_auto_commit": auto_commit,
            "heartbeat_interval_ms": 200,
            "session_timeout_ms": 10000,
        }
        return GroupMember(settings, topic)

    def committed(self, group, topic, partition):
        consumer = KafkaConsumer(**self.base, group_id=group, enable_auto_commit=False)
        position = consumer.committed(TopicPartition(topic, partition), metadata=True)
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
        step("admin: offsets and producers", self.offsets)
        step("admin: log directories", self.log_dirs)
        step("admin: partitions, records, topics", self.topics)
        step("admin: access control is off", self.acls)
        step("the broker is taken for a recent one", self.inferred_version)
        step("transactions end in an error that says why, at once", self.transactions)

    def inferred_version(self):
        producer = KafkaProducer(bootstrap_servers=sys.argv[1])
        version = producer.config["api_version"]
        producer.close()
        assert version >= (4, 3), version

    def transactions(self):
        started = time.monotonic()
        try:
            producer = KafkaProducer(
                bootstrap_servers=sys.argv[1], transactional_id=f"{self.name}-tx", max_block_ms=30_000
            )
            producer.init_transactions()
            assert PEER_IS_KAFKA
        except TransactionalIdAuthorizationFailedError:
            assert not PEER_IS_KAFKA and time.monotonic() - started < 10

    def cluster(self):
        cluster = self.client.describe_cluster()
        equal(len(cluster["brokers"]), 1)
        assert cluster["cluster_id"]
        [described] = self.client.describe_topics([self.name])
        equal(sorted(p["partition_index"] for p in described["partitions"]), [0, 1, 2, 3])
        assert self.name in self.client.list_topics()

    def configs(self):
        altered = ConfigResource(ConfigResourceType.TOPIC, self.name, {"max.message.bytes": "2000000"})
        self.client.alter_configs([altered])
        asked = ConfigResource(ConfigResourceType.TOPIC, self.name)
        described = str(self.client.describe_configs([asked], config_filter="all"))
        assert "'max.message.bytes'" in described and "2000000" in described, described

    def groups(self):
        two, topic = f"{self.name}-two", f"{self.name}-group"
        assert two in str(self.client.list_groups())
        described = str(self.client.describe_groups([two]))
        assert "Empty" in described, described
        partition = TopicPartition(topic, 0)
        self.client.alter_group_offsets(two, {partition: OffsetAndMetadata(3, "", -1)})
        offsets = self.client.list_group_offsets(two)
        equal(offsets[two][partition].offset if two in offsets else offsets[partition].offset, 3)
        self.client.delete_group_offsets(two, [partition])
        self.client.delete_groups([two])
        assert two not in str(self.client.list_groups())

    def offsets(self):
        partition = TopicPartition(self.name, 3)

        def ask(spec):
            return self.client.list_partition_offsets({partition: spec})[partition].offset

        equal(ask(OffsetSpec.EARLIEST), 0)
        equal(ask(OffsetSpec.LATEST), 1001)
        producers = self.client.describe_producers([TopicPartition(f"{self.name}-idempotent", 0)])
        assert "1499" in str(producers), producers

    def log_dirs(self):
        described = str(self.client.describe_log_dirs())
        assert self.name in described, described

    def topics(self):
        topic = f"{self.name}-group"
        self.client.create_partitions({topic: 6})
        partition = TopicPartition(self.name, 3)
        deleted = self.client.delete_records({partition: 600})
        assert "600" in str(deleted), deleted
        self.client.delete_topics([topic])
        assert topic not in self.client.list_topics()

    def acls(self):
        everything = ACLFilter(
            principal=None,
            host=None,
            operation=ACLOperation.ANY,
            permission_type=ACLPermissionType.ANY,
            resource_pattern=ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
        )
        try:
            self.client.describe_acls(everything)
        except SecurityDisabledError:
            return
        raise AssertionError("access control is off, but it answered")


if __name__ == "__main__":
    adapter = KafkaPython(sys.argv[1])
    Scenario("kafka-python", adapter).run()
    Admin("kafka-python", adapter.admin).run()
    say({"done": True})
