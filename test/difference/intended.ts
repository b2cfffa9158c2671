/**
 * Where Samsa answers otherwise than Apache Kafka on purpose, each with its reason. The README's table is made from
 * this one. What is not listed here is as in Kafka, or a fault.
 */
import type { Explanation } from './explanations.ts'

export interface IntendedDifference extends Explanation {
  readonly subject: string
  readonly kafka: string
  readonly samsa: string
  readonly reason: string
}

export const intendedDifferences: readonly IntendedDifference[] = [
  {
    subject: 'APIs',
    kafka: 'transactions, KIP-848 and share groups, SASL, delegation tokens, quotas, KRaft',
    samsa: 'not offered: see [what is not there](#what-is-not-there)',
    reason: 'not built yet, or without meaning for one broker',
    where: [{ scenario: /^api-versions: /, path: /ApiVersions \d: apiKeys\[\d+\]$/ }],
  },
  {
    subject: 'highest versions',
    kafka: 'Produce 13, OffsetCommit 10, OffsetFetch 10, FindCoordinator 6',
    samsa: 'those [above](#apis)',
    reason:
      'they are about transactions, topic ids and share groups; clients take the highest that both know',
    where: [{ scenario: /^api-versions: /, path: /ApiVersions \d: apiKeys\[\d+\]\.maxVersion$/ }],
  },
  {
    subject: 'lowest versions',
    kafka: 'closes the connection on what Kafka 4 dropped',
    samsa: 'answers them, back to version 0 of most APIs',
    reason: 'clients of before 2.1 still work',
    where: [
      { scenario: /^api-versions: /, path: /ApiVersions \d: apiKeys\[\d+\]\.minVersion$/ },
      {
        scenario: /./,
        path: /^\d+ (CreateTopics [01]|Produce [0-2]|Offset(ForLeaderEpoch|Commit) [01]|(DeleteTopics|DescribeConfigs) 0): $/,
        kafka: 'closed',
      },
      { scenario: /^security: /, path: /^\d+ (Describe|Create|Delete)Acls 0: $/, kafka: 'closed' },
    ],
  },
  {
    subject: 'Metadata of a topic that it creates',
    kafka: 'UNKNOWN_TOPIC_OR_PARTITION, and the topic at the next request',
    samsa: 'the topic',
    reason: 'it is there by then, and clients need not ask twice',
    where: [{ scenario: /^metadata: a missing topic is created/, path: /^1 Metadata \d+: topics\[made\]/ }],
  },
  {
    subject: 'an array of a negative length',
    kafka: 'taken for null',
    samsa: 'closes the connection',
    reason: 'no client sends it; only -1 is null',
    where: [{ scenario: /an array of a negative length$/, path: /connection$/, samsa: 'closed' }],
  },
  {
    subject: 'DescribeTopicPartitions of an empty name',
    kafka: 'UNKNOWN_SERVER_ERROR',
    samsa: 'INVALID_TOPIC_EXCEPTION',
    reason: 'as for other names that no topic can have',
    where: [
      {
        scenario: /^metadata: pages of a topic with a name of empty$/,
        path: /topics\[\]\.errorCode$/,
        samsa: 'INVALID_TOPIC_EXCEPTION',
      },
      {
        scenario: /^metadata: pages of a topic with a name of empty$/,
        path: /topics\[\]\.topicAuthorizedOperations$/,
      },
    ],
  },
  {
    subject: '`min.insync.replicas`',
    kafka: 'a dynamic value of the cluster, which KIP-966 sets to 1',
    samsa: 'the default, which is 1',
    reason: 'there are no eligible leader replicas to keep',
    where: [
      { scenario: /^topics: /, path: /min\.insync\.replicas\]\.configSource$/ },
      { scenario: /^configs: /, path: /configs\[min\.insync\.replicas\]/ },
    ],
  },
  {
    subject: 'defaults of some configurations',
    kafka: 'mostly no limit',
    samsa: 'those under [configuration](#configuration)',
    reason: 'there, for each',
    where: [
      {
        scenario: /^configs: all keys of the broker$/,
        path: /configs\[(group\.max\.size|log\.cleaner\.(dedupe\.buffer\.size|io\.max\.bytes\.per\.second)|max\.connections(\.per\.ip)?|offsets\.topic\.replication\.factor|queued\.max\.request\.bytes|socket\.listen\.backlog\.size)\]\.(value|synonyms.*)$/,
      },
    ],
  },
  {
    subject: 'configurations of TLS and SASL at run time',
    kafka: 'may change',
    samsa: 'read-only, INVALID_REQUEST',
    reason: 'nobody may believe that connections are encrypted now',
    where: [
      {
        scenario: /^configs: all keys of the broker$/,
        path: /configs\[(ssl|sasl|principal)\..*\]\.readOnly$/,
        samsa: true,
      },
      { scenario: /^configs: security cannot be set up at run time$/, path: /errorCode|errorMessage/ },
    ],
  },
  {
    subject: '`log.cleaner` pause, memory and speed',
    kafka: 'may change at run time',
    samsa: 'read at the start',
    reason: 'compaction runs by itself all the time',
    where: [
      {
        scenario: /^configs: all keys of the broker$/,
        path: /configs\[log\.cleaner\.(backoff\.ms|dedupe\.buffer\.size|io\.max\.bytes\.per\.second)\]\.readOnly$/,
      },
    ],
  },
  {
    subject: '`zookeeper.connect` at run time',
    kafka: 'retired, so anything may be set',
    samsa: 'read-only, INVALID_REQUEST',
    reason: 'it says where the metadata is',
    where: [
      { scenario: /^configs: a broker is given zookeeper\.connect=x$/, path: /errorCode|errorMessage/ },
    ],
  },
  {
    subject: 'configurations of groups, client metrics and loggers',
    kafka: 'may be set',
    samsa: 'groups and client metrics are described with their defaults; setting one is INVALID_REQUEST',
    reason: 'there is nothing that they would change',
    where: [
      {
        scenario: /^configs: groups, subscriptions and loggers change$/,
        path: /errorCode|errorMessage|configs\[root\]/,
      },
    ],
  },
  {
    subject: 'a resource that is named twice in DescribeConfigs or IncrementalAlterConfigs',
    kafka: 'answered twice',
    samsa: 'answered once, for the keys of both',
    reason: 'one answer says it',
    where: [
      { scenario: /^configs: a topic twice$/, path: /results\[t/ },
      { scenario: /^configs: a resource twice$/, path: /responses\[t#2\]$/ },
    ],
  },
  {
    subject: 'messages beside errors',
    kafka: 'none for many errors of Produce and others',
    samsa: 'a sentence that says what was wrong',
    reason: 'whoever reads the log of a client need not guess',
    where: [{ scenario: /./, path: /errorMessage$/, kafka: null, samsa: 'text' }],
  },
  {
    subject: 'a partition or topic that a Produce names twice',
    kafka: 'the last one is written, the others are lost',
    samsa: 'all are written and acknowledged',
    reason: 'what was sent is not dropped',
    where: [
      { scenario: /^produce: a (partition|topic) that is named twice$/, path: /^[12] (Produce|Fetch)/ },
    ],
  },
  {
    subject: 'what other requests name twice',
    kafka: 'answered as often as it is named',
    samsa: 'answered once',
    reason: 'the work and the memory of a request are bounded by what there is',
    where: [
      { scenario: /^group-offsets: a partition is named twice$/, path: /topics\[t/ },
      {
        scenario: /^group-offsets: offsets are deleted$/,
        path: /^5 OffsetDelete 0: topics\[t\]\.partitions\[0/,
      },
      { scenario: /^group-offsets: offsets of several groups/, path: /^[59] OffsetFetch \d: groups\[a/ },
      {
        scenario: /^offsets: the end of an epoch of a partition that is named twice$/,
        path: /^1 .*partitions\[0/,
      },
      { scenario: /^producers: producers of what is not there$/, path: /^4 .*partitions\[0/ },
      { scenario: /^groups: groups in every state/, path: /^1[01] DescribeGroups \d: groups\[stable/ },
      { scenario: /^groups: coordinators/, path: /^8 FindCoordinator \d: coordinators/ },
    ],
  },
  {
    subject: 'Produce with null instead of records',
    kafka: 'never answers',
    samsa: 'INVALID_RECORD',
    reason: 'a client should not wait for ever',
    where: [{ scenario: /^produce: null instead of records$/, path: /^1 /, kafka: 'no answer' }],
  },
  {
    subject: 'Produce of records that do not decompress, or of a codec that there is not',
    kafka: 'UNKNOWN_SERVER_ERROR',
    samsa: 'INVALID_RECORD',
    reason: 'it is the batch that is wrong, and nothing in the server',
    where: [
      {
        scenario: /^produce: a batch: (an unknown codec|codec \d|noise marked|plain records marked)/,
        path: /errorCode$/,
        kafka: 'UNKNOWN_SERVER_ERROR',
      },
    ],
  },
  {
    subject: 'Produce of uncompressed records whose offsets are not their places',
    kafka: 'stored as they are (compressed ones are UNKNOWN_SERVER_ERROR)',
    samsa: 'INVALID_RECORD',
    reason: 'consumers would see an offset twice, or one of another batch',
    where: [{ scenario: /^produce: a batch: offsets that (begin at|go back)/, path: /./ }],
  },
  {
    subject: 'Produce with bytes behind the batch',
    kafka: 'leaves them out',
    samsa: 'INVALID_RECORD',
    reason: 'who sends them has lost count, and may have lost more',
    where: [{ scenario: /^produce: a batch: bytes behind the batch$/, path: /./ }],
  },
  {
    subject: 'the end of what a Fetch may hold',
    kafka: 'cuts a batch in two',
    samsa: 'ends with a whole batch',
    reason: 'clients throw half a batch away and ask for it again',
    where: [{ scenario: /^fetch: at most \d+ bytes/, path: /records\[\d+ more bytes\]$/ }],
  },
  {
    subject: 'Fetch with a session id that nobody gives: a negative one, or one of the last few',
    kafka: 'UNKNOWN_SERVER_ERROR',
    samsa: 'as of any session that is not there',
    reason: 'no client sends it, and nothing is wrong with the server',
    where: [{ scenario: /^fetch: a session id that nobody gives$/, path: /./ }],
  },
  {
    subject: 'Fetch and ListOffsets with an isolation level that nobody has, or a negative size',
    kafka: 'UNKNOWN_SERVER_ERROR',
    samsa: 'as read_uncommitted; as much as if it were 0',
    reason: 'no client sends it, and nothing is wrong with the server',
    where: [
      { scenario: /^(fetch|offsets): isolation level (2|-1)$/, path: /./ },
      { scenario: /^fetch: at most -1 bytes/, path: /./ },
    ],
  },
  {
    subject: 'DescribeAcls of kinds that nobody knows',
    kafka: 'closes the connection',
    samsa: 'SECURITY_DISABLED, as for all others',
    reason: 'there are no ACLs of any kind',
    where: [
      {
        scenario: /^security: ACLs of (an|a) .* (is|are) described$/,
        path: /^1 DescribeAcls/,
        kafka: 'closed',
      },
    ],
  },
  {
    subject: 'transactions',
    kafka: 'a coordinator, and a producer id',
    samsa: 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
    reason: 'there are none yet, and every client takes this for final',
    where: [
      {
        scenario: /^transactions: (a coordinator|a transactional producer|records)/,
        path: /errorCode$/,
        samsa: 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
      },
      {
        scenario: /^transactions: (a coordinator|a transactional producer)/,
        path: /(nodeId|host|port|producerId|producerEpoch|errorMessage)$/,
      },
    ],
  },
  {
    subject: 'features',
    kafka: 'metadata.version, group.version, transaction.version and others',
    samsa: 'none is supported, and none is finalized',
    reason: 'each stands for something that is not there',
    where: [{ scenario: /^api-versions: /, path: /(supported|finalized)Features(Epoch)?$/ }],
  },
  {
    subject: 'Metadata that creates a topic whose name clashes with another in `.` and `_`',
    kafka: 'UNKNOWN_TOPIC_OR_PARTITION, each time',
    samsa: 'INVALID_TOPIC_EXCEPTION',
    reason: 'clients would ask again until they run out of time',
    where: [
      { scenario: /a name that differs in a dot/, path: /topics\[a_b\]/, samsa: 'INVALID_TOPIC_EXCEPTION' },
    ],
  },
  {
    subject: 'Metadata of neither a name nor an id',
    kafka: 'UNKNOWN_SERVER_ERROR for the whole request',
    samsa: 'INVALID_TOPIC_EXCEPTION for the topic',
    reason: 'the others are answered',
    where: [
      {
        scenario: /^metadata: a topic by name and id/,
        path: /^4 Metadata 1\d: (brokers|clusterId|controllerId|topics|errorCode)/,
      },
    ],
  },
  {
    subject: 'CreatePartitions of `__consumer_offsets`',
    kafka: 'grows it',
    samsa: 'INVALID_REQUEST',
    reason: 'which partition keeps a group follows from their number: committed offsets would be lost',
    where: [{ scenario: /partitions of the topic that keeps groups/, path: /errorCode$|errorMessage$/ }],
  },
  {
    subject: 'Fetch in a session of a topic that was deleted, by its id',
    kafka: 'UNKNOWN_TOPIC_OR_PARTITION',
    samsa: 'UNKNOWN_TOPIC_ID',
    reason: 'as without a session',
    where: [
      {
        scenario: /^fetch: a session over a topic that is deleted/,
        path: /errorCode$/,
        samsa: 'UNKNOWN_TOPIC_ID',
      },
    ],
  },
  {
    subject: 'ListOffsets of the largest timestamp where DeleteRecords took all records',
    kafka: 'the last record that was deleted',
    samsa: 'none',
    reason: 'there is none',
    where: [{ scenario: /^offsets: lookups after records were deleted/, path: /^13 ListOffsets 8/ }],
  },
  {
    subject: 'groups without members and offsets',
    kafka: 'are kept for some time, also where a join was refused',
    samsa: 'are gone at once',
    reason: 'nothing is known of them, and clients could make any number',
    where: [
      { scenario: /^groups: joins with no protocol/, path: /groupState$/, samsa: 'Dead' },
      { scenario: /^group-offsets: offsets are deleted/, path: /^12 .*groupState$/, samsa: 'Dead' },
    ],
  },
  {
    subject: 'DescribeQuorum',
    kafka: 'the voters of KRaft',
    samsa: 'UNSUPPORTED_VERSION with the reason',
    reason: 'there is no quorum, and an empty one would look like a cluster without a controller',
    where: [{ scenario: /^metadata: the quorum/, path: /^1 DescribeQuorum \d: error(Code|Message)$/ }],
  },
]
