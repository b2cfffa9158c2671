/**
 * Who claims to be a broker, or is one and claims what it cannot have, to brokers of a real cluster: nothing moves by it that
 * its leader, or the controller, did not see. SAMSA_SEED replays a run, SAMSA_FUZZ_FRAMES sets its length.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { fetchRequest } from '../../protocol/messages/01-fetch.ts'
import { listOffsetsRequest } from '../../protocol/messages/02-list-offsets.ts'
import { controlledShutdownRequest } from '../../protocol/messages/07-controlled-shutdown.ts'
import { offsetForLeaderEpochRequest } from '../../protocol/messages/23-offset-for-leader-epoch.ts'
import { alterPartitionRequest } from '../../protocol/messages/56-alter-partition.ts'
import { metadataPollRequest } from '../../protocol/messages/1000-metadata-poll.ts'
import { reportReplicasRequest } from '../../protocol/messages/1001-report-replicas.ts'
import { brokerHelloRequest } from '../../protocol/messages/1002-broker-hello.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import { ZERO_UUID } from '../../protocol/schema.ts'
import type { Partition } from '../../src/broker/partition.ts'
import { parseBrokerConfig } from '../../src/core/config/broker-config.ts'
import { clusterDefaults } from '../../src/core/options/cluster-options.ts'
import { ClusterMembers } from '../../src/embedded/cluster-members.ts'
import type { Logger } from '../../src/ports.ts'
import type { RunningBroker } from '../../src/server/start-broker.ts'
import { silentLogger } from '../../src/system/pino-logger.ts'
import { TemporaryDirectory } from '../../src/system/temporary-directory.ts'
import { requireAll } from '../support/cache.ts'
import { RawClient } from '../support/raw-client.ts'
import { Seeded } from '../support/seed.ts'
import { until } from '../support/until.ts'
import { Attacker, requestFrame } from './attacker.ts'
import { mutated } from './fuzz-frames.ts'
import { within } from './target.ts'

const FRAMES = Number(process.env['SAMSA_FUZZ_FRAMES'] ?? (requireAll ? 100_000 : 4_000))
const PER_CONNECTION = 20
const CONNECTIONS = 8
/** No log gets this long, and no registration this old. */
const FAR = 1_000_000_000

const random = new Seeded()
console.log(`# SAMSA_SEED=${random.seed}`)

const directory = new TemporaryDirectory()
const errors: string[] = []
let members: ClusterMembers
/** Partition t-0 of each broker, by id. */
let replicas: ReadonlyMap<number, Partition>
let leader: Partition
let leaderEpoch: number

before(async () => {
  const configOf = ({ id, port, dataDir }: { id: number; port: number; dataDir: string }) => {
    const values = new Map([
      ...clusterDefaults(3),
      ['broker.id', String(id)],
      ['listeners', `PLAINTEXT://127.0.0.1:${port}`],
      ['log.dirs', dataDir],
      // So that nobody leaves because this machine is slow.
      ['replica.lag.time.max.ms', '600000'],
    ])
    return parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', values }], 'embedded').config
  }
  const logger: Logger = {
    ...silentLogger,
    error: (fields, message) => void errors.push(`${message} ${JSON.stringify(fields)}`),
    child: () => logger,
  }
  members = await ClusterMembers.start({ brokers: 3, directory: directory.path, logger, configOf })
  await members.reachable[0]!.createTopics([{ name: 't', partitions: 1, replicationFactor: 3 }])
  const all = (): [number, Partition | undefined][] =>
    members.reachable.map(({ broker }) => [broker.nodeId, broker.partitions.get('t', 0)])
  await until(() => all().every(([, partition]) => partition !== undefined && partition.role !== 'none'))
  replicas = new Map(all() as [number, Partition][])
  leader = [...replicas.values()].find(({ role }) => role === 'leader')!
  leaderEpoch = leader.leaderEpoch
})

after(async () => {
  await members.end()
  await directory.remove()
})

function pick<T>(from: readonly T[]): T {
  return from[random.between(0, from.length - 1)]!
}

function number(): number {
  return pick([-2, -1, 0, 1, 2, 3, random.between(0, 100), FAR, 2 ** 31 - 1])
}

/** Who is at the other end of a connection. */
interface Self {
  readonly id: number
  readonly epoch: number
}

/** A name of a broker that is not true of `self`: another one's, or its own in another life. Null: a client, of which none is. */
function untrue(self: Self | null): Self {
  const id = pick([1, 2, 3, 7, FAR])
  return { id, epoch: id === self?.id ? pick([-1, 0, self.epoch + FAR]) : epochOf(id) }
}

function epochOf(id: number): number {
  return members.reachable[0]!.broker.metadata.brokers.get(id)?.epoch ?? number()
}

function fetchFrame({ id, epoch }: Self, fetchOffset: number, lastFetchedEpoch: number): Buffer {
  const { topicId } = leader
  const version = pick([18, 17, 16, 15, 13])
  return requestFrame(fetchRequest, version, {
    ...(version >= 15 ? { replicaState: { replicaId: id, replicaEpoch: epoch } } : { replicaId: id }),
    maxWaitMs: pick([0, 0, 5, -1]),
    minBytes: pick([0, 1, -1]),
    maxBytes: pick([0, 1_000, 2 ** 31 - 1]),
    sessionId: pick([0, 0, 1, number()]),
    sessionEpoch: pick([-1, 0, 1]),
    topics: [
      {
        topicId: pick([topicId, topicId, topicId, ZERO_UUID]),
        partitions: [
          {
            partition: pick([0, 0, 0, number()]),
            currentLeaderEpoch: pick([-1, leaderEpoch, leaderEpoch, leaderEpoch - 1, leaderEpoch + 1]),
            fetchOffset,
            lastFetchedEpoch,
            logStartOffset: number(),
            partitionMaxBytes: pick([0, 1_000, 2 ** 31 - 1]),
          },
        ],
      },
    ],
  })
}

/** A follower that says the truth about who it is, and has what nobody can have. */
function impossibleFetch(self: Self): Buffer {
  const newer = leaderEpoch + pick([1, 2, 1_000])
  const anywhere = random.between(0, leader.log.logEndOffset)
  return random.between(0, 1) === 0
    ? fetchFrame(self, pick([FAR, FAR + random.between(0, 100), 2 ** 52, -1, -FAR]), pick([-1, 0, newer]))
    : fetchFrame(self, anywhere, newer)
}

function alterFrame({ id: brokerId, epoch: brokerEpoch }: Self): Buffer {
  const { partitionEpoch } = leader.image
  const newIsrWithEpochs = [1, 2, 3, 7]
    .filter(() => random.between(0, 1) === 0)
    .map((id) => ({ brokerId: id, brokerEpoch: pick([epochOf(id), -1, number()]) }))
  const partitions = [
    {
      partitionIndex: pick([0, 0, number()]),
      leaderEpoch: leaderEpoch + pick([0, 0, -1, 1]),
      partitionEpoch: partitionEpoch + pick([0, 0, -1, 1]),
      newIsrWithEpochs,
      leaderRecoveryState: pick([0, 1]),
    },
  ]
  const topics = [{ topicId: pick([leader.topicId, ZERO_UUID]), partitions }]
  return requestFrame(alterPartitionRequest, 3, { brokerId, brokerEpoch, topics })
}

function pollFrame({ id: brokerId, epoch: brokerEpoch }: Self): Buffer {
  // Of a controller that may be, but is not known here, a broker may say that it knows it: there is an election then.
  const controllerEpoch = pick([-1, 0, 2 ** 30 + 1, 0x7fff_0000, 2 ** 31 - 1])
  const body = { brokerId, brokerEpoch, controllerEpoch, sequence: number(), carriedOut: number() }
  return requestFrame(metadataPollRequest, 0, { ...body, maxWaitMs: pick([0, 5, -1]) })
}

function reportFrame({ id: brokerId, epoch: brokerEpoch }: Self): Buffer {
  const replica = { topicId: leader.topicId, partitionIndex: 0 }
  const logs = [{ ...replica, lastEpoch: FAR, endOffset: FAR }]
  return requestFrame(reportReplicasRequest, 0, { brokerId, brokerEpoch, damaged: [replica], logs })
}

function shutdownFrame({ id: brokerId, epoch: brokerEpoch }: Self): Buffer {
  return requestFrame(controlledShutdownRequest, 3, { brokerId, brokerEpoch })
}

function offsetsFrame({ id: replicaId }: Self): Buffer {
  const topics = [{ name: 't', partitions: [{ partitionIndex: 0, timestamp: pick([-1, -2, -3, 0]) }] }]
  return requestFrame(listOffsetsRequest, 9, { replicaId, topics })
}

function epochFrame({ id: replicaId }: Self): Buffer {
  const partitions = [{ partition: 0, currentLeaderEpoch: -1, leaderEpoch: number() }]
  return requestFrame(offsetForLeaderEpochRequest, 4, { replicaId, topics: [{ topic: 't', partitions }] })
}

/** Any request of a broker, in a name that is not the sender's: whatever else it says may be well made. */
function forged(self: Self | null): Buffer {
  const name = untrue(self)
  const anywhere = pick([0, leader.highWatermark, leader.log.logEndOffset, FAR])
  const fetch = (): Buffer => fetchFrame(name, anywhere, pick([-1, leaderEpoch]))
  const forClients = [fetch, fetch, () => offsetsFrame(name), () => epochFrame(name)]
  const forBrokers = [alterFrame, pollFrame, reportFrame, shutdownFrame].map((make) => () => make(name))
  const frame = pick(self === null ? forClients : [...forClients, ...forBrokers])()
  return pick([true, false, false]) ? mutated(frame, fetch(), random) : frame
}

/** What the broker itself may say, and what leads to nothing. */
function vain(self: Self): Buffer {
  return pick([impossibleFetch, impossibleFetch, pollFrame, alterFrame])(self)
}

/** Sends to one broker, in the name of one that does not lead, or of none. */
async function attack(): Promise<void> {
  const { broker, addresses } = pick<RunningBroker>(members.reachable)
  const { port } = addresses.get('PLAINTEXT')!
  const ids = [...replicas.keys()].filter((id) => id !== broker.nodeId && id !== leader.leaderId)
  const id = pick(ids)
  const self = pick([true, true, false]) ? { id, epoch: epochOf(id) } : null
  const attacker = await Attacker.connect(port, '127.0.0.2')
  try {
    if (self !== null) {
      const { clusterId } = broker.metadata
      const body = { clusterId, brokerId: id, brokerEpoch: self.epoch }
      attacker.write(requestFrame(brokerHelloRequest, 0, body))
      const [answer] = await attacker.answers(1)
      assert.equal(answer!.readInt16BE(5), ErrorCode.NONE)
    }
    for (let sent = 0; sent < PER_CONNECTION; sent++)
      attacker.write(self !== null && pick([true, false]) ? vain(self) : forged(self))
    await attacker.answers(PER_CONNECTION + (self === null ? 0 : 1)).catch(() => {})
  } finally {
    attacker.destroy()
  }
}

/** In one process all can be looked at in the same moment. */
function assertNothingMoved(): void {
  const { image, role } = leader
  const now = [role, image.leaderEpoch, new Set(image.isr)]
  assert.deepEqual(now, ['leader', leaderEpoch, new Set([1, 2, 3])])
  const common = Math.min(...[...replicas.values()].map(({ log }) => log.writtenEndOffset))
  assert.ok(leader.highWatermark <= common, `high watermark ${leader.highWatermark}, all have ${common}`)
}

const produce = { request: produceRequest, response: produceResponse, version: 11 } as const

/** Records one by one until it is told to stop; resolves to how many were acknowledged. */
function writing(acks: number): { stop: () => Promise<number> } {
  let isOver = false
  const run = async (): Promise<number> => {
    const leading = members.reachable.find(({ broker }) => broker.nodeId === leader.leaderId)!
    const client = await RawClient.connect(leading.addresses.get('PLAINTEXT')!.port)
    for (let count = 0; ; count++) {
      if (isOver) {
        client.close()
        return count
      }
      const records = buildBatch([{ key: null, value: Buffer.alloc(100), timestampMs: 1_700_000_000_000 }])
      const topicData = [{ name: 't', partitionData: [{ index: 0, records }] }]
      const { responses } = await within(client.send(produce, { acks, timeoutMs: 20_000, topicData }))
      assert.equal(responses[0]!.partitionResponses[0]!.errorCode, ErrorCode.NONE)
    }
  }
  const counted = run()
  counted.catch(() => {})
  return { stop: () => ((isOver = true), counted) }
}

test('nothing moves by what is said in another name, or of what nobody has', async () => {
  const writers = [1, -1].map((acks) => writing(acks))
  let failure: unknown = null
  const watch = setInterval(() => {
    try {
      assertNothingMoved()
    } catch (error) {
      failure ??= error
    }
  }, 1)
  const rounds = Math.ceil(FRAMES / PER_CONNECTION / CONNECTIONS)
  for (let round = 0; round < rounds && failure === null; round++)
    await Promise.all(Array.from({ length: CONNECTIONS }, () => attack()))
  const counts = await Promise.all(writers.map(({ stop }) => stop()))
  clearInterval(watch)
  assert.ifError(failure)
  const written = counts.reduce((sum, count) => sum + count)
  await until(() => leader.highWatermark === written)
  await until(() => [...replicas.values()].every(({ log }) => log.logEndOffset === written))
  assertNothingMoved()
  assert.deepEqual(errors, [])
})
