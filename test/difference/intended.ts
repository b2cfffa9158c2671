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
    kafka: 'Produce 13, Fetch 18, ListOffsets 11, Metadata 13, ...',
    samsa: 'those [above](#apis)',
    reason: 'later ones bring topic ids, tiered storage or KRaft; clients take the highest that both know',
    where: [{ scenario: /^api-versions: /, path: /ApiVersions \d: apiKeys\[\d+\]\.maxVersion$/ }],
  },
  {
    subject: 'lowest versions',
    kafka: 'closes the connection on what Kafka 4 dropped',
    samsa: 'answers them, back to version 0 of most APIs',
    reason: 'clients of before 2.1 still work',
    where: [
      { scenario: /^api-versions: /, path: /ApiVersions \d: apiKeys\[\d+\]\.minVersion$/ },
      { scenario: /./, path: /^\d+ (CreateTopics [01]|DeleteTopics 0|DescribeConfigs 0): $/ },
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
]
