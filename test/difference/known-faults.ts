/** Differences that nobody wants, until they are mended: a line here whose difference is gone fails the test. */
import type { Explanation, Where } from './explanations.ts'

export interface KnownFault extends Explanation {
  readonly fault: string
}

function fault(what: string, ...where: readonly (readonly [scenario: RegExp, path: RegExp])[]): KnownFault {
  return { fault: what, where: where.map(([scenario, path]): Where => ({ scenario, path })) }
}

export const knownFaults: readonly KnownFault[] = [
  // answers
  fault('features are not told', [/^api-versions: /, /(supported|finalized)Features(Epoch)?$/]),
  fault('operations of a topic that is not there', [
    /^metadata: (pages|a topic that was deleted)/,
    /topicAuthorizedOperations$/,
  ]),
  fault('Metadata: a name that clashes with another', [/a name that differs in a dot/, /topics\[a_b\]/]),
  fault('Metadata: names and ids mixed, null names, ids before v12', [
    /^metadata: a topic by (name and id|id before)/,
    /Metadata 1[012]: (topics|brokers|clusterId|controllerId)/,
  ]),
  fault('Metadata: internal topics', [/^metadata: the topic of transactions/, /topics\[__/]),
  fault('DescribeTopicPartitions: cursors beside a partition', [/^metadata: a cursor on/, /topics/]),
  fault('DescribeTopicPartitions: a missing topic takes room on a page', [
    /^metadata: pages over topics/,
    /topics|nextCursor/,
  ]),
  fault('DescribeCluster: endpoint type of a refusal', [/by endpoint type/, /endpointType$/]),
  fault('CreateTopics: __cluster_metadata', [/name is the one of the cluster/, /errorCode$/]),
  fault('CreateTopics: validation gives an id', [/only to validate, CreateTopics v7/, /topicId$/]),
  fault('DeleteTopics: a topic by name and by id', [/deleted by name and id/, /./]),
  fault('CreatePartitions: message of a missing topic', [
    /^topics: partitions of topics that are not there/,
    /errorMessage$/,
  ]),
  fault('CreatePartitions: of an internal topic', [/partitions of the topic that keeps groups/, /./]),
  fault('ElectLeaders: an election type that nobody has', [/a leader is elected, type 2/, /./]),
  fault('AlterPartitionReassignments: messages', [
    /^topics: (a partition moves to the end|partitions of a topic that is not there move)/,
    /errorMessage$/,
  ]),
]
