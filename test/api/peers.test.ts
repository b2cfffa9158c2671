/** What brokers ask each other: `src/api/1002-broker-hello.ts`, and what is served only behind it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import {
  controlledShutdownRequest,
  controlledShutdownResponse,
} from '../../protocol/messages/07-controlled-shutdown.ts'
import { apiVersionsRequest, apiVersionsResponse } from '../../protocol/messages/18-api-versions.ts'
import { electLeadersRequest, electLeadersResponse } from '../../protocol/messages/43-elect-leaders.ts'
import { alterPartitionRequest, alterPartitionResponse } from '../../protocol/messages/56-alter-partition.ts'
import { metadataPollRequest, metadataPollResponse } from '../../protocol/messages/1000-metadata-poll.ts'
import {
  reportReplicasRequest,
  reportReplicasResponse,
} from '../../protocol/messages/1001-report-replicas.ts'
import { brokerHelloRequest, brokerHelloResponse } from '../../protocol/messages/1002-broker-hello.ts'
import { controlledShutdown } from '../../src/api/07-controlled-shutdown.ts'
import { electLeaders } from '../../src/api/43-elect-leaders.ts'
import { alterPartition } from '../../src/api/56-alter-partition.ts'
import { metadataPoll } from '../../src/api/1000-metadata-poll.ts'
import { reportReplicas } from '../../src/api/1001-report-replicas.ts'
import { brokerHello } from '../../src/api/1002-broker-hello.ts'
import type { ClusterDuties, ElectionResult, PollAnswer } from '../../src/metadata/cluster-duties.ts'
import type { SimClient } from '../simulator/sim-client.ts'
import { versionsOf } from './admin-harness.ts'
import { withSimBroker } from './sim-broker.ts'
import type { SimBroker } from './sim-broker.ts'

const SELF = 1
const PEER = 7
const PEER_EPOCH = 9
const TOPIC = 'AAAAAAAAAAAAAAAAAAAAAQ'
const hello = { request: brokerHelloRequest, response: brokerHelloResponse, version: 0 } as const
const versions = { request: apiVersionsRequest, response: apiVersionsResponse, version: 3 } as const
const named = { clientSoftwareName: 'x', clientSoftwareVersion: '1' }

/** A controller that answers as it is told, and writes down what it was asked. */
class Controller implements ClusterDuties {
  readonly asked: unknown[][] = []
  answerPoll: ((response: PollAnswer) => void) | null = null
  taken = 0
  errorCode: ErrorCode = ErrorCode.NONE
  elections: readonly ElectionResult[] | ErrorCode = []

  proposeIsrs(): Promise<never[]> {
    return Promise.resolve([])
  }

  reportDamaged(): void {}

  addressOf(): null {
    return null
  }

  isRegistered(_brokerId: number, brokerEpoch: number): Promise<boolean> {
    return Promise.resolve(brokerEpoch === PEER_EPOCH)
  }

  isOwnEpoch(): boolean {
    return true
  }

  replicasReported(
    ...[sender, epoch, report]: Parameters<ClusterDuties['replicasReported']>
  ): ReturnType<ClusterDuties['replicasReported']> {
    this.asked.push(['reported', sender, epoch, report])
    return Promise.resolve(this.errorCode)
  }

  whenServing(): Promise<void> {
    return Promise.resolve()
  }

  leave(): Promise<void> {
    return Promise.resolve()
  }

  poll(...[request, answer]: Parameters<ClusterDuties['poll']>): () => void {
    this.asked.push(['poll', request.sequence])
    this.answerPoll = answer
    return () => (this.taken += 1)
  }

  alterPartitions(
    ...[sender, epoch, proposals]: Parameters<ClusterDuties['alterPartitions']>
  ): ReturnType<ClusterDuties['alterPartitions']> {
    this.asked.push(['alter', sender, epoch, ...proposals])
    const state = {
      leader: PEER,
      leaderEpoch: 4,
      leaderBrokerEpoch: 9,
      controllerEpoch: 1,
      partitionEpoch: 6,
      isr: [PEER, SELF],
      elr: [],
      lastKnownElr: [],
      leaderRecoveryState: 0,
      minIsr: 1,
    } as const
    const answers = proposals.map(({ topicId, index }) =>
      index === 0
        ? { topicId, index, errorCode: ErrorCode.NONE, state }
        : { topicId, index, errorCode: ErrorCode.FENCED_LEADER_EPOCH, state: null },
    )
    return Promise.resolve({ errorCode: this.errorCode, answers })
  }

  controlledShutdown(brokerId: number, brokerEpoch: number): Promise<ErrorCode> {
    this.asked.push(['shutdown', brokerId, brokerEpoch])
    return Promise.resolve(this.errorCode)
  }

  electLeaders(
    ...[type, partitions]: Parameters<ClusterDuties['electLeaders']>
  ): ReturnType<ClusterDuties['electLeaders']> {
    this.asked.push(['elect', type, partitions])
    return Promise.resolve(this.elections)
  }
}

interface Cluster {
  readonly broker: SimBroker
  readonly controller: Controller
  readonly greet: (client: SimClient, brokerId?: number) => Promise<ErrorCode>
}

async function inCluster(
  body: (cluster: Cluster) => Promise<void>,
  properties: Readonly<Record<string, string>> = {},
): Promise<void> {
  await withSimBroker(
    async (broker) => {
      const { metadata } = broker.running.broker
      const controller = new Controller()
      Object.defineProperty(metadata, 'cluster', { value: controller })
      const greet = async (client: SimClient, brokerId = PEER): Promise<ErrorCode> => {
        const body = { clusterId: metadata.clusterId, brokerId, brokerEpoch: 9 }
        return (await client.send(hello, body)).errorCode as ErrorCode
      }
      await body({ broker, controller, greet })
    },
    { 'broker.id': String(SELF), ...properties },
  )
}

const poll = { request: metadataPollRequest, response: metadataPollResponse, version: 0 } as const
const polled = {
  brokerId: PEER,
  brokerEpoch: 9,
  controllerEpoch: -1,
  sequence: 5,
  carriedOut: 5,
  maxWaitMs: 500,
}

test('BrokerHello makes a connection that of a broker, which is served what clients are not', async () => {
  await inCluster(async ({ broker, controller, greet }) => {
    assert.deepEqual(versionsOf(brokerHello), [0])
    const client = broker.connect()
    assert.equal(await greet(client), ErrorCode.NONE)
    const shutdown = { request: controlledShutdownRequest, response: controlledShutdownResponse }
    for (const version of versionsOf(controlledShutdown)) {
      const body = { brokerId: PEER, ...(version >= 2 ? { brokerEpoch: 9 } : {}) }
      assert.deepEqual(await client.send({ ...shutdown, version }, body), {
        errorCode: ErrorCode.NONE,
        remainingPartitions: [],
      })
    }
    assert.deepEqual(controller.asked, [
      ['shutdown', PEER, -1],
      ['shutdown', PEER, 9],
      ['shutdown', PEER, 9],
    ])
    // Nobody else's, and of this life of it.
    const other = await client.send({ ...shutdown, version: 3 }, { brokerId: 3, brokerEpoch: 9 })
    assert.equal(other.errorCode, ErrorCode.INVALID_REQUEST)
    for (const brokerEpoch of [PEER_EPOCH - 1, PEER_EPOCH + 1]) {
      const stale = await client.send({ ...shutdown, version: 3 }, { brokerId: PEER, brokerEpoch })
      assert.equal(stale.errorCode, ErrorCode.STALE_BROKER_EPOCH)
    }
    assert.equal(controller.asked.length, 3)
    // It is told of nothing that clients are not.
    const told = await client.send(versions, named)
    assert.deepEqual(
      told.apiKeys.map(({ apiKey }) => apiKey).filter((key) => [7, 56].includes(key) || key >= 1_000),
      [],
    )
    // A second hello closes the connection.
    await assert.rejects(greet(client))
    assert.ok(client.closed)
  })
})

test('BrokerHello refuses brokers of other clusters, and one with the same id: they stay clients', async () => {
  await inCluster(async ({ broker, greet }) => {
    const [stranger, double] = [broker.connect(), broker.connect()]
    const strange = { clusterId: 'another', brokerId: PEER, brokerEpoch: 9 }
    assert.equal((await stranger.send(hello, strange)).errorCode, ErrorCode.INCONSISTENT_CLUSTER_ID)
    assert.equal(await greet(double, SELF), ErrorCode.INVALID_REQUEST)
    const pretender = broker.connect()
    const pretends = { clusterId: broker.running.broker.metadata.clusterId, brokerId: PEER, brokerEpoch: 8 }
    assert.equal((await pretender.send(hello, pretends)).errorCode, ErrorCode.STALE_BROKER_EPOCH)
    await assert.rejects(pretender.send(poll, polled))
    await assert.rejects(stranger.send(poll, polled))
    assert.equal((await double.send(versions, named)).errorCode, ErrorCode.NONE)
    await assert.rejects(double.send(poll, polled))
  })
})

test('what is for brokers closes the connection of a client, and a hello that is not the first request too', async () => {
  await inCluster(async ({ broker, controller, greet }) => {
    await assert.rejects(broker.connect().send(poll, polled))
    const client = broker.connect()
    await client.send(versions, named)
    await assert.rejects(greet(client))
    assert.deepEqual(controller.asked, [])
  })
  await withSimBroker(async (broker) => {
    const { clusterId } = broker.running.broker.metadata
    // Where there is one broker, no other one is there to greet it.
    await assert.rejects(broker.client.send(hello, { clusterId, brokerId: PEER, brokerEpoch: 9 }))
  })
})

test('MetadataPoll waits for the controller, and is taken back with its connection', async () => {
  await inCluster(async ({ broker, controller, greet }) => {
    assert.deepEqual(versionsOf(metadataPoll), [0])
    const client = broker.connect()
    await greet(client)
    const answer = client.send(poll, polled)
    await broker.sim.sleep(50)
    assert.deepEqual(controller.asked, [['poll', 5]])
    controller.answerPoll!({ errorCode: ErrorCode.NONE, controllerEpoch: 2, full: false, changes: [] })
    assert.deepEqual(await answer, { errorCode: 0, controllerEpoch: 2, full: false, changes: [] })
    assert.equal(controller.taken, 0)
    const wrong = await client.send(poll, { ...polled, brokerId: 3 })
    assert.equal(wrong.errorCode, ErrorCode.INVALID_REQUEST)
    const stale = await client.send(poll, { ...polled, brokerEpoch: PEER_EPOCH + 1 })
    assert.equal(stale.errorCode, ErrorCode.STALE_BROKER_EPOCH)
    const lost = client.send(poll, polled)
    await broker.sim.sleep(50)
    client.close()
    await assert.rejects(lost)
    await broker.sim.sleep(50)
    assert.equal(controller.taken, 1)
    controller.answerPoll!({ errorCode: ErrorCode.NONE, controllerEpoch: 2, full: false, changes: [] })
  })
})

test('AlterPartition asks the controller, and answers with what has become of each partition', async () => {
  await inCluster(async ({ broker, controller, greet }) => {
    const client = broker.connect()
    await greet(client)
    for (const version of versionsOf(alterPartition)) {
      const members =
        version >= 3
          ? { newIsrWithEpochs: [PEER, SELF].map((brokerId) => ({ brokerId, brokerEpoch: 11 })) }
          : { newIsr: [PEER, SELF] }
      const partition = { leaderEpoch: 4, partitionEpoch: 5, leaderRecoveryState: 0, ...members }
      const partitions = [0, 1].map((partitionIndex) => ({ partitionIndex, ...partition }))
      const body = { brokerId: PEER, brokerEpoch: 9, topics: [{ topicId: TOPIC, partitions }] }
      const call = { request: alterPartitionRequest, response: alterPartitionResponse, version } as const
      const answer = await client.send(call, body)
      const good = { leaderId: PEER, leaderEpoch: 4, isr: [PEER, SELF], partitionEpoch: 6 }
      const bad = { leaderId: -1, leaderEpoch: -1, isr: [], partitionEpoch: -1 }
      assert.deepEqual(answer.topics, [
        {
          topicId: TOPIC,
          partitions: [
            { partitionIndex: 0, errorCode: ErrorCode.NONE, leaderRecoveryState: 0, ...good },
            { partitionIndex: 1, errorCode: ErrorCode.FENCED_LEADER_EPOCH, leaderRecoveryState: 0, ...bad },
          ],
        },
      ])
      const epoch = version >= 3 ? 11 : -1
      const isr = [PEER, SELF].map((id) => ({ id, epoch }))
      const proposal = { topicId: TOPIC, isr, leaderEpoch: 4, partitionEpoch: 5, recovered: true }
      assert.deepEqual(controller.asked.pop(), [
        'alter',
        PEER,
        9,
        { ...proposal, index: 0 },
        { ...proposal, index: 1 },
      ])
      const wrong = await client.send(call, { ...body, brokerId: 3 })
      assert.deepEqual([wrong.errorCode, wrong.topics], [ErrorCode.INVALID_REQUEST, []])
      const stale = await client.send(call, { ...body, brokerEpoch: PEER_EPOCH - 1 })
      assert.deepEqual([stale.errorCode, stale.topics], [ErrorCode.STALE_BROKER_EPOCH, []])
    }
  })
})

test('ReportReplicas tells the controller, of replicas of the broker that asks alone', async () => {
  await inCluster(async ({ broker, controller, greet }) => {
    assert.deepEqual(versionsOf(reportReplicas), [0])
    const client = broker.connect()
    await greet(client)
    const report = { request: reportReplicasRequest, response: reportReplicasResponse, version: 0 } as const
    const damaged = [{ topicId: TOPIC, partitionIndex: 3 }]
    const logs = [{ topicId: TOPIC, partitionIndex: 4, lastEpoch: 7, endOffset: 30 }]
    const ask = async (brokerId: number, brokerEpoch = PEER_EPOCH): Promise<number> =>
      (await client.send(report, { brokerId, brokerEpoch, damaged, logs })).errorCode
    assert.equal(await ask(PEER), ErrorCode.NONE)
    const reported = {
      damaged: [{ topicId: TOPIC, index: 3 }],
      logs: [{ topicId: TOPIC, index: 4, lastEpoch: 7, endOffset: 30 }],
    }
    assert.deepEqual(controller.asked, [['reported', PEER, 9, reported]])
    assert.equal(await ask(PEER + 1), ErrorCode.INVALID_REQUEST)
    assert.equal(await ask(PEER, PEER_EPOCH - 1), ErrorCode.STALE_BROKER_EPOCH)
    controller.errorCode = ErrorCode.NOT_CONTROLLER
    assert.equal(await ask(PEER), ErrorCode.NOT_CONTROLLER)
  })
})

test('ElectLeaders is for the controller, where there is one', async () => {
  await inCluster(async ({ broker, controller }) => {
    const result = (partition: number, errorCode: ErrorCode): ElectionResult => ({
      topic: 'a',
      partition,
      errorCode,
      errorMessage: null,
    })
    const { NONE, ELECTION_NOT_NEEDED, NOT_CONTROLLER } = ErrorCode
    for (const version of versionsOf(electLeaders)) {
      const call = { request: electLeadersRequest, response: electLeadersResponse, version } as const
      const ask = async (topicPartitions: { topic: string; partitions: number[] }[] | null) => {
        const type = version >= 1 ? { electionType: 1 } : {}
        const answer = await broker.client.send(call, { ...type, topicPartitions, timeoutMs: 1 })
        const results = answer.replicaElectionResults.flatMap(({ topic, partitionResult }) =>
          partitionResult.map(({ partitionId, errorCode }) => [topic, partitionId, errorCode]),
        )
        return [answer.errorCode, ...results]
      }
      controller.elections = [result(0, NONE), result(1, ELECTION_NOT_NEEDED)]
      assert.deepEqual(await ask([{ topic: 'a', partitions: [0, 1] }]), [
        NONE,
        ['a', 0, NONE],
        ['a', 1, ELECTION_NOT_NEEDED],
      ])
      const type = version >= 1 ? 'unclean' : 'preferred'
      const asked = [0, 1].map((index) => ({ topic: 'a', index }))
      assert.deepEqual(controller.asked.pop(), ['elect', type, asked])
      assert.deepEqual(await ask(null), [NONE, ['a', 0, NONE]])
      assert.deepEqual(controller.asked.pop(), ['elect', type, null])
      controller.elections = NOT_CONTROLLER
      assert.deepEqual(await ask([{ topic: 'a', partitions: [0] }]), [
        version >= 1 ? NOT_CONTROLLER : NONE,
        ['a', 0, NOT_CONTROLLER],
      ])
    }
  })
})

test('brokers are not kept away by clients', async () => {
  await inCluster(
    async ({ broker, greet }) => {
      // The fixture's client and these are as many as may be.
      const clients = [broker.client, broker.connect()]
      for (const client of clients) await client.send(versions, named)
      const late = broker.connect()
      await assert.rejects(late.send(versions, named))
      const peer = broker.connect()
      assert.equal(await greet(peer), ErrorCode.NONE)
      // A broker may be silent, a client may not.
      await broker.sim.sleep(10_000)
      assert.deepEqual(
        [...clients, peer].map(({ closed }) => closed),
        [true, true, false],
      )
      // Who does not say who it is goes, when there is no room for clients.
      const others = [broker.connect(), broker.connect()]
      for (const client of others) await client.send(versions, named)
      const silent = broker.connect()
      await broker.sim.sleep(1_000)
      assert.equal(silent.closed, false)
      for (let seconds = 0; seconds < 8; seconds++) {
        for (const client of others) await client.send(versions, named)
        await broker.sim.sleep(1_000)
      }
      assert.deepEqual(
        [...others, silent].map(({ closed }) => closed),
        [false, false, true],
      )
    },
    { 'max.connections': '2', 'connections.max.idle.ms': '4000' },
  )
})
