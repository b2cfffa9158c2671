import assert from 'node:assert/strict'
import { test } from 'node:test'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { offsetCommitRequest, offsetCommitResponse } from '../../protocol/messages/08-offset-commit.ts'
import { offsetFetchRequest, offsetFetchResponse } from '../../protocol/messages/09-offset-fetch.ts'
import {
  findCoordinatorRequest,
  findCoordinatorResponse,
} from '../../protocol/messages/10-find-coordinator.ts'
import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import { deleteTopicsRequest, deleteTopicsResponse } from '../../protocol/messages/20-delete-topics.ts'
import { deleteRecordsRequest, deleteRecordsResponse } from '../../protocol/messages/21-delete-records.ts'
import {
  createPartitionsRequest,
  createPartitionsResponse,
} from '../../protocol/messages/37-create-partitions.ts'
import { deleteGroupsRequest, deleteGroupsResponse } from '../../protocol/messages/42-delete-groups.ts'
import {
  incrementalAlterConfigsRequest,
  incrementalAlterConfigsResponse,
} from '../../protocol/messages/44-incremental-alter-configs.ts'
import { parseBrokerConfig } from '../../src/core/config/broker-config.ts'
import { startBroker } from '../../src/server/start-broker.ts'
import type { RunningBroker } from '../../src/server/start-broker.ts'
import { openEmbeddedStore } from '../../src/system/store/embedded-store.ts'
import { makeBatch } from '../log/log-fixture.ts'
import { SimClient } from './sim-client.ts'
import type { FaultyOperation } from './sim-disk-faults.ts'
import { seedsFromEnvironment } from './sim-random.ts'
import type { SimRandom } from './sim-random.ts'
import { SimWorld } from './sim-world.ts'
import type { SimProcess } from './sim-machine.ts'

const PORT = 9092
const RECORDS = 20
const TIMEOUT_MS = 30_000
const TOPIC_RESOURCE = 2
const SET = 0

function start(process: SimProcess): Promise<RunningBroker> {
  const values = new Map([
    ['listeners', `PLAINTEXT://127.0.0.1:${PORT}`],
    ['log.dirs', '/data/one,/data/two'],
    ['offsets.topic.num.partitions', '1'],
    ['log.flush.interval.messages', '1'],
    ['internal.segment.bytes', '2000'],
    ['log.retention.check.interval.ms', '200'],
    ['log.segment.delete.delay.ms', '100'],
  ])
  const { config } = parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', origin: 'test', values }])
  return startBroker(process.world, config, (path) => openEmbeddedStore(process.world, path))
}

/** What an administrator asks for, and what has to be so once the answer was NONE. */
class Administrator {
  readonly #client: SimClient
  readonly #random: SimRandom
  #logStart = 0
  #created: string[] = []
  #asked = 0
  #partitions = 2
  #retentionMs = -1
  #retentionAsked = -1
  #committed = -1
  #topicDeleted = false
  #groupDeleted = false

  constructor(client: SimClient, random: SimRandom) {
    this.#client = client
    this.#random = random
  }

  async act(): Promise<void> {
    const actions = [
      () => this.#deleteRecords(),
      () => this.#createTopic(),
      () => this.#grow(),
      () => this.#configure(),
      () => this.#deleteTopic(),
      () => this.#commit(),
      () => this.#deleteGroup(),
    ]
    await this.#random.pick(actions)()
  }

  async check(running: RunningBroker, client: SimClient): Promise<void> {
    const { logs, metadata } = running.broker
    const kept = metadata.topics.get('kept')
    assert((logs.get('kept', 0)?.logStartOffset ?? -1) >= this.#logStart, 'deleted records are back')
    assert((kept?.partitions.length ?? 0) >= this.#partitions, 'partitions are gone')
    assert([this.#retentionMs, this.#retentionAsked].includes(kept?.config['retention.ms'] ?? -2))
    for (const name of this.#created) assert(metadata.topics.has(name), `${name} is gone`)
    if (this.#topicDeleted) {
      assert(!metadata.topics.has('doomed'), 'a deleted topic is back')
      assert.equal(logs.get('doomed', 0), undefined)
    }
    assert((await committed(client, 'readers')) >= this.#committed, 'a committed offset is gone')
    if (this.#groupDeleted) assert.equal(await committed(client, 'doomed'), -1, 'a deleted group is back')
  }

  async #deleteRecords(): Promise<void> {
    const offset = 1 + this.#random.below(RECORDS)
    const call = { request: deleteRecordsRequest, response: deleteRecordsResponse, version: 1 } as const
    const partitions = [{ partitionIndex: 0, offset }]
    const body = { topics: [{ name: 'kept', partitions }], timeoutMs: TIMEOUT_MS }
    const { topics } = await this.#client.send(call, body)
    const answer = topics[0]?.partitions[0]
    if (answer?.errorCode === 0) this.#logStart = Math.max(this.#logStart, answer.lowWatermark)
  }

  async #createTopic(): Promise<void> {
    const name = `new-${this.#asked++}`
    const call = { request: createTopicsRequest, response: createTopicsResponse, version: 4 } as const
    const topic = { name, numPartitions: 2, replicationFactor: 1, assignments: [], configs: [] }
    const { topics } = await this.#client.send(call, { topics: [topic], timeoutMs: TIMEOUT_MS })
    if (topics[0]?.errorCode === 0) this.#created.push(name)
  }

  async #grow(): Promise<void> {
    const count = this.#partitions + 1
    const call = { request: createPartitionsRequest, response: createPartitionsResponse, version: 1 } as const
    const topics = [{ name: 'kept', count, assignments: null }]
    const { results } = await this.#client.send(call, { topics, timeoutMs: TIMEOUT_MS, validateOnly: false })
    if (results[0]?.errorCode === 0) this.#partitions = count
  }

  async #configure(): Promise<void> {
    this.#retentionAsked = 1_000_000_000 + this.#asked++
    const call = {
      request: incrementalAlterConfigsRequest,
      response: incrementalAlterConfigsResponse,
      version: 0,
    } as const
    const configs = [{ name: 'retention.ms', configOperation: SET, value: String(this.#retentionAsked) }]
    const resources = [{ resourceType: TOPIC_RESOURCE, resourceName: 'kept', configs }]
    const { responses } = await this.#client.send(call, { resources, validateOnly: false })
    if (responses[0]?.errorCode === 0) this.#retentionMs = this.#retentionAsked
  }

  async #deleteTopic(): Promise<void> {
    const call = { request: deleteTopicsRequest, response: deleteTopicsResponse, version: 4 } as const
    const { responses } = await this.#client.send(call, { topicNames: ['doomed'], timeoutMs: TIMEOUT_MS })
    if (responses[0]?.errorCode === 0) this.#topicDeleted = true
  }

  async #commit(): Promise<void> {
    const offset = this.#committed + 1
    if ((await commit(this.#client, 'readers', offset)) === 0) this.#committed = offset
  }

  async #deleteGroup(): Promise<void> {
    const call = { request: deleteGroupsRequest, response: deleteGroupsResponse, version: 1 } as const
    const { results } = await this.#client.send(call, { groupsNames: ['doomed'] })
    if (results[0]?.errorCode === 0) this.#groupDeleted = true
  }

  /** What was so before. */
  retention(retentionMs: number): void {
    this.#retentionMs = retentionMs
    this.#retentionAsked = retentionMs
  }
}

async function ready(sim: SimWorld): Promise<SimClient> {
  const client = SimClient.connect(sim, PORT)
  assert(client !== null)
  for (;;) {
    const call = { request: findCoordinatorRequest, response: findCoordinatorResponse, version: 2 } as const
    if ((await client.send(call, { key: 'readers', keyType: 0 })).errorCode === 0) return client
    await sim.sleep(10)
  }
}

async function produce(client: SimClient, topic: string): Promise<void> {
  const call = { request: produceRequest, response: produceResponse, version: 7 } as const
  const partitionData = [{ index: 0, records: makeBatch(1, 300) }]
  const topicData = [{ name: topic, partitionData }]
  const { responses } = await client.send(call, { acks: -1, timeoutMs: TIMEOUT_MS, topicData })
  assert.equal(responses[0]?.partitionResponses[0]?.errorCode, 0)
}

async function commit(client: SimClient, groupId: string, committedOffset: number): Promise<number> {
  const call = { request: offsetCommitRequest, response: offsetCommitResponse, version: 7 } as const
  const partition = { partitionIndex: 0, committedOffset, committedLeaderEpoch: -1, committedMetadata: '' }
  const topics = [{ name: 'kept', partitions: [partition] }]
  const body = { groupId, generationIdOrMemberEpoch: -1, memberId: '', topics }
  const answer = await client.send(call, body)
  return answer.topics[0]?.partitions[0]?.errorCode ?? -1
}

async function committed(client: SimClient, groupId: string): Promise<number> {
  const call = { request: offsetFetchRequest, response: offsetFetchResponse, version: 5 } as const
  const answer = await client.send(call, { groupId, topics: [{ name: 'kept', partitionIndexes: [0] }] })
  assert.equal(answer.errorCode, 0)
  return Number(answer.topics[0]?.partitions[0]?.committedOffset ?? -1)
}

function addFault(sim: SimWorld): void {
  const operations: FaultyOperation[] = ['write', 'sync', 'syncDirectory', 'rename', 'open', 'remove']
  const paths = [/./, /checkpoint/, /^\/data\/two/, /kept-|doomed-|new-/, /samsa-metadata/, /__consumer/]
  sim.faults.add({
    operation: sim.random.pick(operations),
    code: sim.random.pick(['EIO', 'ENOSPC', 'EMFILE']),
    path: sim.random.pick(paths),
    after: sim.random.below(12),
    count: sim.random.pick([1, 3, 1000]),
  })
}

test('what an administrator was told is done is done, whatever the disk and the power do', async () => {
  for (const seed of seedsFromEnvironment(1, 120)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const process = sim.start()
      const running = await start(process)
      running.failed.catch(() => {})
      await running.createTopics([
        { name: 'kept', partitions: 2 },
        { name: 'doomed', partitions: 2 },
      ])
      const client = await ready(sim)
      for (let i = 0; i < RECORDS; i++) await produce(client, 'kept')
      await produce(client, 'doomed')
      assert.equal(await commit(client, 'doomed', 3), 0)
      const administrator = new Administrator(client, sim.random)
      administrator.retention(running.broker.metadata.topics.get('kept')!.config['retention.ms'])
      if (sim.random.chance(0.8)) addFault(sim)
      const acting = (async () => {
        for (let i = 0; i < 12; i++) {
          await administrator.act()
          if (sim.random.chance(0.2)) await sim.sleep(sim.random.below(400))
        }
      })().catch(() => {})
      if (sim.random.chance(0.4)) await sim.sleep(sim.random.below(1500))
      else await Promise.race([acting, sim.sleep(60_000)])
      await sim.powerLoss(process)
      sim.faults.clear()
      const again = sim.start()
      const restarted = await start(again)
      await administrator.check(restarted, await ready(sim))
      await restarted.stop()
    })
  }
})
