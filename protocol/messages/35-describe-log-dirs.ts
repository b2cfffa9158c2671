import { array, bool, int16, int32, int64, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Log directories and the size of each replica in them (KIP-113).
 *
 * v2: flexible. v3: an error for the whole answer. v4: size and free space of the volume (KIP-827). v5:
 * whether the directory takes new replicas.
 */

export const describeLogDirsRequest = request({
  key: 35,
  name: 'DescribeLogDirs',
  versions: [0, 5],
  flexibleFrom: 2,
  fields: {
    topics: array({ topic: string(), partitions: array(int32()) }, { nullable: true }),
  },
})

export type DescribeLogDirsRequest = Decoded<typeof describeLogDirsRequest>

const describeLogDirsTopic = {
  name: string(),
  partitions: array({
    partitionIndex: int32(),
    partitionSize: int64(),
    offsetLag: int64(),
    isFutureKey: bool(),
  }),
}

const describeLogDirsResult = {
  errorCode: int16(),
  logDir: string(),
  topics: array(describeLogDirsTopic),
  totalBytes: int64({ since: 4, default: -1, ignorable: true }),
  usableBytes: int64({ since: 4, default: -1, ignorable: true }),
  isCordoned: bool({ since: 5, default: false, ignorable: true }),
}

export const describeLogDirsResponse = response({
  key: 35,
  name: 'DescribeLogDirs',
  versions: [0, 5],
  flexibleFrom: 2,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16({ since: 3, ignorable: true }),
    results: array(describeLogDirsResult),
  },
})

export type DescribeLogDirsResponse = Decoded<typeof describeLogDirsResponse>
