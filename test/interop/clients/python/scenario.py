"""What every Python client does with the broker: the steps, the expectations and the talk with the test.

An adapter (one per library) has:
  codecs                                        names of the compressions it can produce
  create_topic(name, partitions)                raises AlreadyExists
  producer(acks, codec, idempotent)             -> send(topic, partition, record), flush() -> offsets, close()
  read(topic, starts, count)                    -> Records, by assignment, without a group
  member(group, topic, auto_commit)             -> Member
  committed(group, topic, partition)            -> (offset, metadata)
"""

import json
import os
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field


class AlreadyExists(Exception):
    pass


@dataclass
class Record:
    """A record as it is sent, and as it has to come back."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: list = field(default_factory=list)
    partition: int = 0
    offset: int = -1


class Member:
    """A group member: a thread that polls, notes its assignment and what it got. The adapter runs it."""

    def __init__(self):
        self.assignment = set()
        self.log = []
        self.changed = threading.Condition()
        self.stopping = threading.Event()
        self.error = None

    def note_assignment(self, partitions):
        with self.changed:
            self.assignment = set(partitions)
            self.changed.notify_all()

    def note(self, record):
        with self.changed:
            self.log.append(record)
            self.changed.notify_all()

    def until(self, what, condition, seconds=30):
        with self.changed:
            met = self.changed.wait_for(lambda: self.error or condition(), seconds)
        if self.error:
            raise self.error
        if not met:
            why = f"waited {seconds} s for {what}: {self.assignment}, {len(self.log)} records\n{all_stacks()}"
            if waits_for_own_loop():
                say({"stuck": why})
                os._exit(1)
            raise AssertionError(why)

    def assigned(self, count):
        self.until(f"{count} partitions", lambda: len(self.assignment) == count)

    def received(self, count):
        self.until(f"{count} records", lambda: len(self.log) >= count)


def all_stacks():
    """Where each thread is: a client that does nothing for so long may wait for itself."""
    frames = sys._current_frames()
    return "\n".join(
        f"{thread.name}:\n" + "".join(traceback.format_stack(frames[thread.ident]))
        for thread in threading.enumerate()
        if thread.ident in frames
    )


def waits_for_own_loop():
    """kafka-python 3 may lose a task between its threads: who waits for it waits for ever, whatever the broker does."""
    for frame in sys._current_frames().values():
        while frame is not None:
            code = frame.f_code
            if code.co_name == "run" and code.co_filename.endswith("kafka/net/selector.py"):
                return True
            frame = frame.f_back
    return False


def say(message):
    print(json.dumps(message), flush=True)


def step(name, run):
    try:
        run()
        say({"ok": name})
    except Exception:
        say({"fail": name, "why": traceback.format_exc()})


def restart(how):
    """Has the broker stopped ("stop", "kill") and started again."""
    say({"restart": how})
    assert sys.stdin.readline() == "restarted\n"


def equal(actual, expected):
    assert actual == expected, f"got {str(actual)[:2000]}\nexpected {str(expected)[:2000]}"


# The same program shows against Apache Kafka that it is right.
PEER_IS_KAFKA = os.environ.get("SAMSA_TEST_PEER") == "kafka"


class Scenario:
    def __init__(self, name, adapter):
        self.name = name
        self.adapter = adapter
        self.topic = name
        self.expected = [[], [], [], []]
        self.clock = 1_700_000_000_000

    def run(self):
        step("create topic", self.create_topic)
        step("produce with acks 0, 1 and all", self.acks)
        step("produce with every codec", self.every_codec)
        step("keys, headers, null values, timestamps", self.contents)
        step("batches of 1 and of 1000", self.batches)
        step("consume by assign", self.assign)
        step("group of two, one joins later, one leaves", self.group_of_two)
        step("commit, restart, resume", self.resume)
        step("idempotent producer over a restart", self.idempotent)

    def create_topic(self):
        self.adapter.create_topic(self.topic, 4)
        try:
            self.adapter.create_topic(self.topic, 4)
        except AlreadyExists:
            return
        raise AssertionError("a topic was created twice")

    def send(self, producer, partition, value, key=None, headers=None):
        self.clock += 10
        listed = self.expected[partition]
        record = Record(key, value, self.clock, headers or [], partition, len(listed))
        listed.append(record)
        producer.send(self.topic, partition, record)

    def flush(self, producer, expected_offsets=None):
        offsets = producer.flush()
        if expected_offsets is not None:
            equal(offsets, expected_offsets)
        producer.close()

    def acks(self):
        for acks in [1, -1, 0]:
            producer = self.adapter.producer(acks=acks)
            for i in range(3):
                self.send(producer, 0 if acks == 0 else 1, b"acks %d %d" % (acks, i))
            self.flush(producer, {1: [0, 1, 2], -1: [3, 4, 5], 0: None}[acks])

    def every_codec(self):
        for codec in self.adapter.codecs:
            producer = self.adapter.producer(codec=codec)
            for i in range(50):
                self.send(producer, 2, f"{codec} {i} ".encode() * 20)
            self.flush(producer)

    def contents(self):
        producer = self.adapter.producer()
        self.send(producer, 2, b"with a key", b"key")
        self.send(producer, 2, None, b"tombstone")
        self.send(producer, 2, b"", b"")
        self.send(producer, 2, bytes(range(256)), bytes(range(256)))
        headers = [("one", b"1"), ("umlaut ä€😀", "ä€😀".encode()), ("empty", b""), ("one", b"again")]
        self.send(producer, 2, b"with headers", None, headers)
        self.flush(producer)

    def batches(self):
        producer = self.adapter.producer()
        self.send(producer, 3, b"alone")
        self.flush(producer, [0])
        producer = self.adapter.producer()
        for i in range(1000):
            self.send(producer, 3, b"many %d" % i, b"%d" % i)
        self.flush(producer, list(range(1, 1001)))

    def check_everything(self):
        count = sum(map(len, self.expected))
        got = self.adapter.read(self.topic, {p: 0 for p in range(4)}, count)
        for partition in range(4):
            equal([r for r in got if r.partition == partition], self.expected[partition])

    def assign(self):
        self.check_everything()
        equal(self.adapter.read(self.topic, {3: 500}, 501), self.expected[3][500:])

    def group_of_two(self):
        topic, group = f"{self.name}-group", f"{self.name}-two"
        self.adapter.create_topic(topic, 4)
        producer = self.adapter.producer()

        def send(turn):
            for i in range(40):
                producer.send(topic, i % 4, Record(None, b"%d/%d" % (turn, i), self.clock))
            producer.flush()

        first = self.adapter.member(group, topic, auto_commit=True)
        first.assigned(4)
        send(0)
        first.received(40)
        second = self.adapter.member(group, topic, auto_commit=True)
        first.assigned(2)
        second.assigned(2)
        equal(first.assignment | second.assignment, {0, 1, 2, 3})
        send(1)
        first.received(60)
        second.received(20)
        second.stop()
        first.assigned(4)
        send(2)
        first.received(100)
        first.stop()
        producer.close()
        for partition in range(4):
            got = [r for r in first.log + second.log if r.partition == partition]
            got.sort(key=lambda r: r.offset)
            sent = [b"%d/%d" % (turn, i) for turn in range(3) for i in range(40) if i % 4 == partition]
            equal([r.value for r in got], sent)
            equal([r.offset for r in got], list(range(len(sent))))

    def resume(self):
        topic, group = f"{self.name}-resume", f"{self.name}-resume"
        self.adapter.create_topic(topic, 1)
        producer = self.adapter.producer()
        for i in range(20):
            producer.send(topic, 0, Record(None, b"%d" % i, self.clock))
        producer.flush()
        member = self.adapter.member(group, topic, auto_commit=False)
        member.received(20)
        member.commit(12, "a note")
        member.stop()
        restart("stop")
        equal(self.adapter.committed(group, topic, 0), (12, "a note"))
        producer.send(topic, 0, Record(None, b"after", self.clock))
        producer.flush()
        producer.close()
        member = self.adapter.member(group, topic, auto_commit=False)
        member.received(9)
        member.stop()
        equal([r.value for r in member.log], [b"%d" % i for i in range(12, 20)] + [b"after"])
        equal([r.offset for r in member.log], list(range(12, 21)))
        self.check_everything()

    def idempotent(self):
        topic = f"{self.name}-idempotent"
        # Old timestamps would make the producer's state expire when the broker loads it.
        now = int(time.time() * 1000)
        self.adapter.create_topic(topic, 1)
        producer = self.adapter.producer(idempotent=True)
        errors = []

        def produce(start, end):
            try:
                for i in range(start, end):
                    producer.send(topic, 0, Record(None, b"%d" % i, now))
                    time.sleep(0.002)
                producer.flush()
            except Exception as error:
                errors.append(error)

        produce(0, 100)
        during = threading.Thread(target=produce, args=(100, 1500))
        during.start()
        time.sleep(0.3)
        restart("kill")
        during.join()
        producer.close()
        equal(errors, [])
        got = self.adapter.read(topic, {0: 0}, 1500)
        equal([r.value for r in got], [b"%d" % i for i in range(1500)])
        equal([r.offset for r in got], list(range(1500)))
