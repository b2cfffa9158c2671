"""Writes what kafka-python's encoders make of the requests that it sends: bytes and the values in them.

    pip install kafka-python==2.0.2        (Python 3.11 or older)
    python kafka_python.py > kafka-python-2.0.2.jsonl
"""

import base64
import json

from kafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from kafka.protocol.admin import (
    ApiVersionRequest,
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteGroupsRequest,
    DeleteTopicsRequest,
    DescribeConfigsRequest,
    DescribeGroupsRequest,
    ListGroupsRequest,
)
from kafka.protocol.commit import GroupCoordinatorRequest, OffsetCommitRequest, OffsetFetchRequest
from kafka.protocol.fetch import FetchRequest
from kafka.protocol.group import HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest
from kafka.protocol.metadata import MetadataRequest
from kafka.protocol.offset import OffsetRequest
from kafka.protocol.produce import ProduceRequest


def binary(value):
    return "base64:" + base64.b64encode(value).decode()


def case(message, version, struct, value, skip=0):
    encoded = base64.b64encode(struct.encode()[skip:]).decode()
    line = {"message": message, "version": version, "variant": "kafka-python", "bytes": encoded, "value": value}
    print(json.dumps(line, separators=(",", ":")))


def request(classes, version, values, value):
    case(f"request {classes[version].API_KEY}", version, classes[version](*values), value)


BATCH = b"\x00\x01records\xff"

for v in range(8):
    topics = [("grüße", [(5, BATCH), (-1, b"x")])]
    value = {
        "acks": -1,
        "timeoutMs": 1500,
        "topicData": [
            {
                "name": "grüße",
                "partitionData": [{"index": 5, "records": binary(BATCH)}, {"index": -1, "records": binary(b"x")}],
            }
        ],
    }
    if v >= 3:
        value["transactionalId"] = "txn"
    request(ProduceRequest, v, (["txn"] if v >= 3 else []) + [-1, 1500, topics], value)

for v in range(12):
    partition = {"partition": 7, "fetchOffset": 2**40 + 3, "partitionMaxBytes": 1 << 20}
    row = [7]
    if v >= 9:
        partition["currentLeaderEpoch"] = 12
        row.append(12)
    row.append(2**40 + 3)
    if v >= 5:
        partition["logStartOffset"] = 99
        row.append(99)
    row.append(1 << 20)
    value = {"replicaId": -1, "maxWaitMs": 500, "minBytes": 1, "topics": [{"topic": "t", "partitions": [partition]}]}
    head = [-1, 500, 1]
    if v >= 3:
        head.append(52428800)
        value["maxBytes"] = 52428800
    if v >= 4:
        head.append(1)
        value["isolationLevel"] = 1
    if v >= 7:
        head += [4711, 17]
        value.update(sessionId=4711, sessionEpoch=17)
    tail = []
    if v >= 7:
        # Its schema of a forgotten topic is broken: it can only write that there is none.
        tail.append([])
        value["forgottenTopicsData"] = []
    if v >= 11:
        tail.append("rack-1")
        value["rackId"] = "rack-1"
    request(FetchRequest, v, [*head, [("t", [tuple(row)])], *tail], value)

for v in range(6):
    value = {"topics": [{"name": "a"}, {"name": "b"}]}
    if v >= 4:
        value["allowAutoTopicCreation"] = True
    request(MetadataRequest, v, [["a", "b"]] + ([True] if v >= 4 else []), value)

# Its v4 and v5 have an epoch of 8 bytes, which is wrong; it never sends them.
for v in range(4):
    row = {"partitionIndex": 3, "timestamp": -2}
    if v == 0:
        row["maxNumOffsets"] = 10
    value = {"replicaId": -1, "topics": [{"name": "t", "partitions": [row]}]}
    if v >= 2:
        value["isolationLevel"] = 1
    columns = (3, -2, 10) if v == 0 else (3, -2)
    request(OffsetRequest, v, [-1] + ([1] if v >= 2 else []) + [[("t", [columns])]], value)

for v in range(4):
    row = {"partitionIndex": 1, "committedOffset": 77, "committedMetadata": "m"}
    if v == 1:
        row["commitTimestamp"] = 1234567890123
    value = {"groupId": "g", "topics": [{"name": "t", "partitions": [row]}]}
    head = ["g"]
    if v >= 1:
        value.update(generationIdOrMemberEpoch=4, memberId="me")
        head += [4, "me"]
    if v >= 2:
        value["retentionTimeMs"] = 86400000
        head.append(86400000)
    columns = (1, 77, 1234567890123, "m") if v == 1 else (1, 77, "m")
    request(OffsetCommitRequest, v, [*head, [("t", [columns])]], value)

for v in range(4):
    value = {"groupId": "g", "topics": [{"name": "t", "partitionIndexes": [0, 1]}]}
    request(OffsetFetchRequest, v, ["g", [("t", [0, 1])]], value)

request(GroupCoordinatorRequest, 0, ["g"], {"key": "g"})
request(GroupCoordinatorRequest, 1, ["g", 1], {"key": "g", "keyType": 1})

for v in range(3):
    value = {
        "groupId": "g",
        "sessionTimeoutMs": 30000,
        "memberId": "",
        "protocolType": "consumer",
        "protocols": [{"name": "range", "metadata": binary(b"\x00\x01")}],
    }
    if v >= 1:
        value["rebalanceTimeoutMs"] = 300000
    values = ["g", 30000] + ([300000] if v >= 1 else []) + ["", "consumer", [("range", b"\x00\x01")]]
    request(JoinGroupRequest, v, values, value)

for v in range(2):
    value = {"groupId": "g", "generationId": 9, "memberId": "me"}
    request(HeartbeatRequest, v, ["g", 9, "me"], value)
    request(LeaveGroupRequest, v, ["g", "me"], {"groupId": "g", "memberId": "me"})
    assignments = [{"memberId": "me", "assignment": binary(b"abc")}]
    request(SyncGroupRequest, v, ["g", 9, "me", [("me", b"abc")]], {**value, "assignments": assignments})
    request(DescribeGroupsRequest, v, [["g", "h"]], {"groups": ["g", "h"]})
    request(ListGroupsRequest, v, [], {})
    request(ApiVersionRequest, v, [], {})
    request(DeleteGroupsRequest, v, [["g"]], {"groupsNames": ["g"]})
    request(DeleteTopicsRequest, v, [["t"], 5000], {"topicNames": ["t"], "timeoutMs": 5000})
    value = {
        "topics": [{"name": "t", "count": 4, "assignments": [{"brokerIds": [1]}, {"brokerIds": [2]}]}],
        "timeoutMs": 5000,
        "validateOnly": False,
    }
    request(CreatePartitionsRequest, v, [[("t", (4, [[1], [2]]))], 5000, False], value)

for v in range(4):
    topic = {
        "name": "t",
        "numPartitions": -1,
        "replicationFactor": -1,
        "assignments": [{"partitionIndex": 0, "brokerIds": [1, 2]}],
        "configs": [{"name": "cleanup.policy", "value": "compact"}],
    }
    value = {"topics": [topic], "timeoutMs": 5000}
    if v >= 1:
        value["validateOnly"] = True
    topics = [("t", -1, -1, [(0, [1, 2])], [("cleanup.policy", "compact")])]
    request(CreateTopicsRequest, v, [topics, 5000] + ([True] if v >= 1 else []), value)

for v in range(3):
    resources = [{"resourceType": 2, "resourceName": "t", "configurationKeys": ["retention.ms"]}]
    value = {"resources": resources}
    if v >= 1:
        value["includeSynonyms"] = True
    request(DescribeConfigsRequest, v, [[(2, "t", ["retention.ms"])]] + ([True] if v >= 1 else []), value)

# These begin with their version, which the other files leave out.
subscription = ConsumerProtocolMemberMetadata(0, ["t", "u"], b"\x01\x02")
value = {"topics": ["t", "u"], "userData": binary(b"\x01\x02")}
case("data ConsumerProtocolSubscription", 0, subscription, value, skip=2)
assignment = ConsumerProtocolMemberAssignment(0, [("t", [0, 5])], b"")
value = {"assignedPartitions": [{"topic": "t", "partitions": [0, 5]}], "userData": binary(b"")}
case("data ConsumerProtocolAssignment", 0, assignment, value, skip=2)
