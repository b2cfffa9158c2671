import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { describeAclsRequest, describeAclsResponse } from '../../protocol/messages/29-describe-acls.ts'
import { createAclsRequest, createAclsResponse } from '../../protocol/messages/30-create-acls.ts'
import { deleteAclsRequest, deleteAclsResponse } from '../../protocol/messages/31-delete-acls.ts'
import { electLeadersRequest, electLeadersResponse } from '../../protocol/messages/43-elect-leaders.ts'
import {
  alterPartitionReassignmentsRequest,
  alterPartitionReassignmentsResponse,
} from '../../protocol/messages/45-alter-partition-reassignments.ts'
import {
  listPartitionReassignmentsRequest,
  listPartitionReassignmentsResponse,
} from '../../protocol/messages/46-list-partition-reassignments.ts'
import {
  describeClientQuotasRequest,
  describeClientQuotasResponse,
} from '../../protocol/messages/48-describe-client-quotas.ts'
import {
  describeUserScramCredentialsRequest,
  describeUserScramCredentialsResponse,
} from '../../protocol/messages/50-describe-user-scram-credentials.ts'
import {
  describeClusterRequest,
  describeClusterResponse,
} from '../../protocol/messages/60-describe-cluster.ts'
import { describeAcls } from '../../src/api/29-describe-acls.ts'
import { createAcls } from '../../src/api/30-create-acls.ts'
import { deleteAcls } from '../../src/api/31-delete-acls.ts'
import { electLeaders } from '../../src/api/43-elect-leaders.ts'
import { alterPartitionReassignments } from '../../src/api/45-alter-partition-reassignments.ts'
import { listPartitionReassignments } from '../../src/api/46-list-partition-reassignments.ts'
import { describeClientQuotas } from '../../src/api/48-describe-client-quotas.ts'
import { describeUserScramCredentials } from '../../src/api/50-describe-user-scram-credentials.ts'
import { describeCluster } from '../../src/api/60-describe-cluster.ts'
import { newTopic } from '../metadata/metadata-harness.ts'
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

describe('ElectLeaders', () => {
  it('finds that there is nothing to elect', async () => {
    await withAdmin(async (admin) => {
      await admin.metadata.createTopics([newTopic('a', 1)], false)
      const schemas = [electLeadersRequest, electLeadersResponse] as const
      for (const version of versionsOf(electLeaders)) {
        const topicPartitions = [{ topic: 'a', partitions: [0, 1] }]
        const type = version >= 1 ? { electionType: 1 } : {}
        const response = await admin.call(electLeaders, version, schemas, {
          ...type,
          topicPartitions,
          timeoutMs: 1,
        })
        assert.deepEqual(
          response.replicaElectionResults[0]?.partitionResult.map(({ errorCode }) => errorCode),
          [ErrorCode.ELECTION_NOT_NEEDED, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
        )
        const all = await admin.call(electLeaders, version, schemas, {
          ...type,
          topicPartitions: null,
          timeoutMs: 1,
        })
        assert.deepEqual(all.replicaElectionResults, [])
      }
      const wrong = await admin.call(electLeaders, 2, schemas, {
        electionType: 7,
        topicPartitions: null,
        timeoutMs: 1,
      })
      assert.equal(wrong.errorCode, ErrorCode.INVALID_REQUEST)
    })
  })
})

describe('partition reassignments', () => {
  it('succeed only for what is so already', async () => {
    await withAdmin(async (admin) => {
      await admin.metadata.createTopics([newTopic('a', 1)], false)
      const schemas = [alterPartitionReassignmentsRequest, alterPartitionReassignmentsResponse] as const
      const cases: [number, number[] | null, number][] = [
        [0, [0], ErrorCode.NONE],
        [0, null, ErrorCode.NO_REASSIGNMENT_IN_PROGRESS],
        [0, [1], ErrorCode.INVALID_REPLICA_ASSIGNMENT],
        [0, [0, 0], ErrorCode.INVALID_REPLICA_ASSIGNMENT],
        [0, [], ErrorCode.INVALID_REPLICA_ASSIGNMENT],
        [3, [0], ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
      ]
      for (const version of versionsOf(alterPartitionReassignments)) {
        const partitions = cases.map(([partitionIndex, replicas]) => ({ partitionIndex, replicas }))
        const body = { timeoutMs: 1, topics: [{ name: 'a', partitions }] }
        const { responses } = await admin.call(alterPartitionReassignments, version, schemas, body)
        assert.deepEqual(
          responses[0]?.partitions.map(({ errorCode }) => errorCode),
          cases.map(([, , expected]) => expected),
        )
      }
      const listSchemas = [listPartitionReassignmentsRequest, listPartitionReassignmentsResponse] as const
      const listed = await admin.call(listPartitionReassignments, 0, listSchemas, {
        timeoutMs: 1,
        topics: null,
      })
      assert.deepEqual([listed.errorCode, listed.topics], [ErrorCode.NONE, []])
    })
  })
})

describe('security that is not there', () => {
  it('says so for ACLs in every version', async () => {
    await withAdmin(async (admin) => {
      const filter = {
        resourceTypeFilter: 1,
        resourceNameFilter: null,
        principalFilter: null,
        hostFilter: null,
        operation: 1,
        permissionType: 1,
      }
      const acl = {
        resourceType: 2,
        resourceName: 'a',
        principal: 'User:a',
        host: '*',
        operation: 2,
        permissionType: 3,
      }
      for (const version of versionsOf(describeAcls)) {
        const described = await admin.call(
          describeAcls,
          version,
          [describeAclsRequest, describeAclsResponse],
          filter,
        )
        const created = await admin.call(createAcls, version, [createAclsRequest, createAclsResponse], {
          creations: [acl, acl],
        })
        const deleted = await admin.call(deleteAcls, version, [deleteAclsRequest, deleteAclsResponse], {
          filters: [filter],
        })
        const codes = [described, ...created.results, ...deleted.filterResults].map(
          ({ errorCode }) => errorCode,
        )
        assert.deepEqual([codes.length, [...new Set(codes)]], [4, [ErrorCode.SECURITY_DISABLED]])
      }
    })
  })

  it('has no quotas and no SCRAM users', async () => {
    await withAdmin(async (admin) => {
      for (const version of versionsOf(describeClientQuotas)) {
        const schemas = [describeClientQuotasRequest, describeClientQuotasResponse] as const
        const { errorCode, entries } = await admin.call(describeClientQuotas, version, schemas, {
          components: [{ entityType: 'user', matchType: 2, match: null }],
          strict: false,
        })
        assert.deepEqual([errorCode, entries], [ErrorCode.NONE, []])
      }
      const schemas = [describeUserScramCredentialsRequest, describeUserScramCredentialsResponse] as const
      const all = await admin.call(describeUserScramCredentials, 0, schemas, { users: null })
      assert.deepEqual([all.errorCode, all.results], [ErrorCode.NONE, []])
      const users = ['a', 'b', 'b'].map((name) => ({ name }))
      const some = await admin.call(describeUserScramCredentials, 0, schemas, { users })
      assert.deepEqual(
        some.results.map(({ user, errorCode }) => [user, errorCode]),
        [
          ['a', ErrorCode.RESOURCE_NOT_FOUND],
          ['b', ErrorCode.DUPLICATE_RESOURCE],
        ],
      )
    })
  })
})
