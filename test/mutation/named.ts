/** A bug that somebody might build in, and that has to be seen: each once lived, or is the like of one that did. */
export interface NamedMutant {
  readonly name: string
  readonly file: string
  /** Stands there once, in the compiled file as in the source. */
  readonly from: string
  readonly to: string
}

export const NAMED: readonly NamedMutant[] = [
  {
    name: 'the epoch of a fetch session wraps to 0, which would open a new session',
    file: 'src/broker/fetch/fetch-sessions.ts',
    from: 'epoch === MAX_EPOCH ? INITIAL_EPOCH + 1 :',
    to: 'epoch === MAX_EPOCH ? INITIAL_EPOCH :',
  },
  {
    name: 'any acks are accepted',
    file: 'src/api/00-produce.ts',
    from: 'request.acks !== 0 && request.acks !== 1 && request.acks !== -1',
    to: 'false',
  },
  {
    name: 'acks=2 are accepted',
    file: 'src/api/00-produce.ts',
    from: 'request.acks !== 1 &&',
    to: 'request.acks !== 1 && request.acks !== 2 &&',
  },
  {
    name: 'OffsetForLeaderEpoch does not look at the leader epoch of the client',
    file: 'src/api/23-offset-for-leader-epoch.ts',
    from: 'leaderOf(topic, asked.partition, asked.currentLeaderEpoch)',
    to: 'leaderOf(topic, asked.partition)',
  },
  {
    name: 'ListOffsets does not look at the leader epoch of the client',
    file: 'src/api/02-list-offsets.ts',
    from: 'leaderOf(topic, partitionIndex, currentLeaderEpoch)',
    to: 'leaderOf(topic, partitionIndex)',
  },
  {
    name: 'ListOffsets tells leader epochs one version too late',
    file: 'protocol/messages/02-list-offsets.ts',
    from: ' leaderEpoch: int32({ since: 4',
    to: ' leaderEpoch: int32({ since: 5',
  },
  {
    name: 'ListOffsets knows the largest timestamp one version too late',
    file: 'src/api/02-list-offsets.ts',
    from: '[MAX_TIMESTAMP]: 7',
    to: '[MAX_TIMESTAMP]: 8',
  },
  {
    name: 'ApiVersions looks at the name of the client one version too late',
    file: 'src/api/18-api-versions.ts',
    from: 'context.apiVersion >= 3',
    to: 'context.apiVersion >= 4',
  },
  {
    name: 'ApiVersions looks at the name of the client one version too early',
    file: 'src/api/18-api-versions.ts',
    from: 'context.apiVersion >= 3',
    to: 'context.apiVersion >= 2',
  },
  {
    name: 'half an identity of a producer is accepted',
    file: 'src/api/22-init-producer-id.ts',
    from: '(producerId === -1) !== (producerEpoch === -1)',
    to: 'false',
  },
  {
    name: 'acks=all never times out',
    file: 'src/broker/produce/produce-operation.ts',
    from: 'this.#request.acks === -1',
    to: 'false',
  },
  {
    name: 'acks=1 times out like acks=all',
    file: 'src/broker/produce/produce-operation.ts',
    from: 'this.#request.acks === -1',
    to: 'this.#request.acks !== 0',
  },
  {
    name: 'acks=all times out with another error',
    file: 'src/broker/produce/produce-operation.ts',
    from: 'fail(result, ErrorCode.REQUEST_TIMED_OUT, null)',
    to: 'fail(result, ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND, null)',
  },
  {
    name: 'a fetch one behind the end of the log is not out of range',
    file: 'src/broker/fetch/fetch-operation.ts',
    from: 'fetchOffset > log.logEndOffset',
    to: 'fetchOffset > log.logEndOffset + 1',
  },
  {
    name: 'Fetch tells of errors of the disk one version too late',
    file: 'src/api/01-fetch.ts',
    from: 'apiVersion < 6',
    to: 'apiVersion < 7',
  },
  {
    name: 'DeleteRecords beyond the high watermark',
    file: 'src/broker/partition.ts',
    from: 'target > this.#highWatermark',
    to: 'target > this.#highWatermark + 1',
  },
  {
    name: 'DeleteRecords below the start of the log is refused',
    file: 'src/broker/partition.ts',
    from: 'target < 0',
    to: 'target < this.log.logStartOffset',
  },
  {
    name: 'an incremental fetch does not tell that the start of the log moved',
    file: 'src/api/01-fetch.ts',
    from: 'result.logStartOffset !== result.target.sentLogStartOffset',
    to: 'false',
  },
]
