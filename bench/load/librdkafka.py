"""librdkafka with the settings it ships with: one producer, and members of a group.

librdkafka.py BOOTSTRAP TOPIC PARTITIONS RATE MEMBERS
  ready   is written when every partition has acknowledged, and been read by the group, whose members have committed
  begin   on standard input: the measured time begins
  end     on standard input: it ends; what was measured follows in one line of JSON when all records have their answers
"""

import json
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, libversion

VALUE = bytes(1000)
COMMIT_EVERY = 0.1


class Gaps:
    """The longest time in which one of several things did not happen."""

    def __init__(self, count):
        self.last = [None] * count
        self.longest = 0.0
        self.lock = threading.Lock()

    def happened(self, index):
        with self.lock:
            self._see(index, time.monotonic())

    def _see(self, index, now):
        before = self.last[index]
        if before is not None:
            self.longest = max(self.longest, now - before)
        self.last[index] = now

    def all_happened(self):
        return all(last is not None for last in self.last)

    def begin(self):
        with self.lock:
            self.last = [time.monotonic()] * len(self.last)
            self.longest = 0.0

    def end(self):
        with self.lock:
            now = time.monotonic()
            for index in range(len(self.last)):
                self._see(index, now)
            return self.longest * 1000


class Load:
    def __init__(self, bootstrap, topic, partitions, rate, members):
        self.bootstrap, self.topic, self.partitions, self.rate = bootstrap, topic, partitions, rate
        self.acks = Gaps(partitions)
        self.records = Gaps(partitions if members > 0 else 0)
        self.commits = Gaps(members)
        self.acknowledged = 0
        self.failed = 0
        self.why = {}
        self.stopping = threading.Event()
        self.leaving = threading.Event()
        self.producing = threading.Thread(target=self.produce)
        self.consuming = [threading.Thread(target=self.consume, args=(member,)) for member in range(members)]

    def answered(self, error, message):
        if error is None:
            self.acknowledged += 1
            self.acks.happened(message.partition())
        else:
            self.failed += 1
            self.why[error.name()] = self.why.get(error.name(), 0) + 1

    def produce(self):
        producer = Producer({"bootstrap.servers": self.bootstrap, "acks": "all", "log_level": 0})
        started = time.monotonic()
        sent = 0
        while not self.stopping.is_set():
            while sent < (time.monotonic() - started) * self.rate:
                try:
                    producer.produce(self.topic, VALUE, partition=sent % self.partitions, on_delivery=self.answered)
                except BufferError:
                    break
                sent += 1
            producer.poll(0.002)
        left = producer.flush(60)
        if left > 0:
            self.failed += left
            self.why["without an answer"] = left

    def consume(self, member):
        under_way = False

        def committed(error, partitions):
            nonlocal under_way
            under_way = False
            if error is None and any(each.error is None for each in partitions):
                self.commits.happened(member)

        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "bench-" + self.topic,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "on_commit": committed,
                "log_level": 0,
            }
        )
        consumer.subscribe([self.topic])
        last = time.monotonic()
        dirty = False
        while not self.leaving.is_set():
            for message in consumer.consume(500, timeout=0.01):
                if message.error() is None:
                    self.records.happened(message.partition())
                    dirty = True
            if dirty and not under_way and time.monotonic() - last >= COMMIT_EVERY:
                last = time.monotonic()
                dirty = False
                try:
                    under_way = True
                    consumer.commit(asynchronous=True)
                except KafkaException:
                    under_way = False
        consumer.close()

    def all_gaps(self):
        return (self.acks, self.records, self.commits)

    def run(self):
        for thread in [self.producing, *self.consuming]:
            thread.start()
        while not all(gaps.all_happened() for gaps in self.all_gaps()):
            time.sleep(0.01)
        print("ready", flush=True)
        acks = records = commits = acknowledged = 0
        for line in sys.stdin:
            if line.strip() == "begin":
                acknowledged = self.acknowledged
                for gaps in self.all_gaps():
                    gaps.begin()
            elif line.strip() == "end":
                acks, records, commits = (gaps.end() for gaps in self.all_gaps())
                acknowledged = self.acknowledged - acknowledged
                break
        self.stopping.set()
        self.producing.join()
        self.leaving.set()
        for thread in self.consuming:
            thread.join()
        said = {
            "version": libversion()[0],
            "acknowledged": acknowledged,
            "failed": self.failed,
            "why": self.why,
            "longestGapMs": acks,
            "recordsGapMs": records,
            "commitsGapMs": commits,
        }
        print(json.dumps(said), flush=True)


Load(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])).run()
