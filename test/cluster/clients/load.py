"""librdkafka as load: producers with idempotence, and members of groups. One line for each thing that happened.

load.py BOOTSTRAP TOPIC PRODUCER:RATE... GROUP/MEMBERS
  a NAME KEY N PARTITION OFFSET   a record was acknowledged (offset -1: the broker knew it already)
  f NAME KEY N WHY                a record was given up
  b NAME                          a producer begins a new epoch, and sends again what is under way
  r GROUP PARTITION OFFSET        a member of the group has read a record
  k GROUP PARTITION OFFSET        a commit was acknowledged
  s GROUP PARTITION OFFSET        a member begins at what the group committed
  e WHY                           something that is only told
  done                            everything was acknowledged or given up, after `stop` on standard input
"""

import logging
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

KEYS = 12
lock = threading.Lock()
stopping = threading.Event()
leaving = threading.Event()


def say(*words):
    with lock:
        sys.stdout.write(" ".join(str(word) for word in words) + "\n")
        sys.stdout.flush()


brisk = {
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 200,
    "retry.backoff.ms": 20,
    "retry.backoff.max.ms": 200,
    "topic.metadata.refresh.fast.interval.ms": 50,
    # Whoever is stopped closes nothing: a client goes elsewhere when it has waited this long.
    "socket.timeout.ms": 4000,
}
quiet = {**brisk, "log_level": 0}


class Epochs(logging.Handler):
    """What librdkafka says of its epochs, and nothing else."""

    def __init__(self, name):
        super().__init__()
        self.producer = name

    def emit(self, record):
        if "Beginning partition drain" in record.getMessage():
            say("b", self.producer)


def epochs_of(name):
    logger = logging.getLogger(f"epochs of {name}")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(Epochs(name))
    return logger


def produce(bootstrap, topic, name, rate):
    producer = Producer(
        {
            **brisk,
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 5,
            "message.timeout.ms": 120000,
            "debug": "eos",
            "log_level": 7,
            "error_cb": lambda error: say("e", name, error.fatal() and "FATAL", error.str().replace("\n", " ")),
        },
        logger=epochs_of(name),
    )

    def answered(key, n):
        def call(error, message):
            if error is not None:
                say("f", name, key, n, error.str().replace(" ", "_"))
            else:
                say("a", name, key, n, message.partition(), -1 if message.offset() is None else message.offset())

        return call

    started = time.monotonic()
    sent = 0
    while not stopping.is_set():
        while sent < (time.monotonic() - started) * rate:
            key, n = sent % KEYS, sent // KEYS
            try:
                producer.produce(topic, key=f"{name}-{key}", value=f"{name} {key} {n}", on_delivery=answered(key, n))
            except BufferError:
                break
            sent += 1
        producer.poll(0.005)
    left = producer.flush(120)
    if left > 0:
        say("f", name, 0, 0, f"{left}_records_are_not_answered")


def consume(bootstrap, topic, group, member):
    consumer = Consumer(
        {
            **quiet,
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "client.id": f"member-{member}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            "fetch.wait.max.ms": 100,
            "fetch.error.backoff.ms": 50,
            "error_cb": lambda error: say("e", group, error.str().replace("\n", " ")),
        }
    )

    def assigned(consumer, partitions):
        try:
            for each in consumer.committed(partitions, timeout=20):
                if each.error is None and each.offset >= 0:
                    say("s", group, each.partition, each.offset)
        except KafkaException as error:
            say("e", "committed:", error)

    consumer.subscribe([topic], on_assign=assigned)
    last = time.monotonic()
    dirty = False
    while not leaving.is_set():
        for message in consumer.consume(500, timeout=0.05):
            if message.error() is not None:
                if message.error().code() != KafkaError._PARTITION_EOF:
                    say("e", "consume:", message.error().str())
                continue
            say("r", group, message.partition(), message.offset())
            dirty = True
        if dirty and time.monotonic() - last > 0.1:
            last = time.monotonic()
            dirty = False
            # One at a time: of two that are under way librdkafka may send the second one first.
            try:
                for each in consumer.commit(asynchronous=False) or []:
                    if each.error is None and each.offset >= 0:
                        say("k", group, each.partition, each.offset)
            except KafkaException as error:
                say("e", "commit:", error)
    consumer.close()


def main():
    bootstrap, topic, *roles = sys.argv[1:]
    producers, members = [], []
    for role in roles:
        if "/" in role:
            group, count = role.split("/")
            for member in range(int(count)):
                members.append(threading.Thread(target=consume, args=(bootstrap, topic, group, member)))
        else:
            name, rate = role.split(":")
            producers.append(threading.Thread(target=produce, args=(bootstrap, topic, name, int(rate))))
    for thread in producers + members:
        thread.start()
    for line in sys.stdin:
        if line.strip() == "stop":
            stopping.set()
            for thread in producers:
                thread.join()
            say("done")
        elif line.strip() == "leave":
            break
    stopping.set()
    leaving.set()
    for thread in producers + members:
        thread.join()


main()
