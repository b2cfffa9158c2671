import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import {
  describeClusterRequest,
  describeClusterResponse,
} from '../../protocol/messages/60-describe-cluster.ts'
import { describeCluster } from '../../src/api/60-describe-cluster.ts'
import { versionsOf, withAdmin } from './admin-harness.ts'

describe('DescribeCluster', () => {
  it('tells the cluster and where this client reaches it', async () => {
    await withAdmin(async (admin) => {
      const schemas = [describeClusterRequest, describeClusterResponse] as const
      for (const version of versionsOf(describeCluster)) {
        const response = await admin.call(describeCluster, version, schemas, {
          includeClusterAuthorizedOperations: true,
        })
        assert.deepEqual(
          [response.errorCode, response.clusterId, response.controllerId],
          [ErrorCode.NONE, admin.metadata.clusterId, 0],
        )
        const { brokerId, host, port, rack } = response.brokers[0]!
        assert.deepEqual([brokerId, host, port, rack], [0, 'reached.example', 9092, null])
        assert.ok(response.clusterAuthorizedOperations > 0)
      }
      for (const [endpointType, expected] of [
        [2, ErrorCode.MISMATCHED_ENDPOINT_TYPE],
        [9, ErrorCode.UNSUPPORTED_ENDPOINT_TYPE],
      ]) {
        const body = { includeClusterAuthorizedOperations: false, endpointType: endpointType! }
        const response = await admin.call(describeCluster, 1, schemas, body)
        assert.deepEqual([response.errorCode, response.brokers], [expected, []])
      }
    })
  })
})
