/** What the partitions of a cluster hold: as clients read it from the leaders, and as it lies in the directories. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrorCode, errorName } from '../../protocol/errors.ts'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import { metadataRequest, metadataResponse } from '../../protocol/messages/03-metadata.ts'
import {
  findCoordinatorRequest,
  findCoordinatorResponse,
} from '../../protocol/messages/10-find-coordinator.ts'
import {
  BATCH_OVERHEAD,
  baseOffset,
  batchProblem,
  batchSizeBytes,
  LOG_OVERHEAD,
  recordCount,
} from '../../protocol/records/record-batch.ts'
import { RecordReader } from '../../protocol/records/record-reader.ts'
import { RawClient } from '../support/raw-client.ts'
import type { BrokerProcess, ClusterProcesses } from './cluster-processes.ts'
import type { Contents } from './history.ts'

const metadataCall = { request: metadataRequest, response: metadataResponse, version: 7 }
const fetchCall = { request: fetchRequest, response: fetchResponse, version: 11 }
const findCoordinatorCall = {
  request: findCoordinatorRequest,
  response: findCoordinatorResponse,
  version: 2,
}
const READ_BYTES = 1 << 20
const PATIENCE_MS = 60_000

export interface PartitionView {
  readonly index: number
  readonly leader: number
  readonly leaderEpoch: number
  readonly replicas: readonly number[]
  readonly isr: readonly number[]
}

/** What one broker says about a topic; null when it cannot be asked, or does not know all of it. */
export async function viewOf(broker: BrokerProcess, topic: string): Promise<PartitionView[] | null> {
  const client = await connect(broker)
  if (client === null) return null
  try {
    const asked = { topics: [{ name: topic, topicId: '' }], allowAutoTopicCreation: false }
    const answer = await client.send(metadataCall, {
      ...asked,
      includeClusterAuthorizedOperations: false,
      includeTopicAuthorizedOperations: false,
    })
    const found = answer.topics[0]!
    if (found.errorCode !== 0) return null
    return found.partitions
      .map((each) => ({
        index: each.partitionIndex,
        leader: each.leaderId,
        leaderEpoch: each.leaderEpoch,
        replicas: each.replicaNodes,
        isr: each.isrNodes,
      }))
      .toSorted((a, b) => a.index - b.index)
  } catch {
    return null
  } finally {
    client.close()
  }
}

/** The broker that has a group, as soon as somebody says it. */
export async function coordinatorOf(cluster: ClusterProcesses, key: string): Promise<number> {
  const untilMs = performance.now() + PATIENCE_MS
  for (let attempt = 0; performance.now() < untilMs; attempt++) {
    const client = await connect(cluster.brokers[attempt % cluster.brokers.length]!)
    const answer = await client?.send(findCoordinatorCall, { key, keyType: 0 }).catch(() => null)
    client?.close()
    if (answer?.errorCode === 0) return answer.nodeId
    await sleep(20)
  }
  throw new Error(`nobody says who coordinates ${key}`)
}

/** Waits until every running broker says of every partition that all replicas are in sync. */
export async function whenInSync(cluster: ClusterProcesses, topic: string): Promise<void> {
  const untilMs = performance.now() + PATIENCE_MS
  for (;;) {
    const views = await Promise.all(
      cluster.brokers.filter(({ isRunning }) => isRunning).map((broker) => viewOf(broker, topic)),
    )
    const isWhole = (view: PartitionView[] | null): boolean =>
      view?.every(({ leader, isr, replicas }) => leader >= 0 && isr.length === replicas.length) === true
    if (views.every(isWhole)) return
    assert.ok(performance.now() < untilMs, `not in sync: ${JSON.stringify(views)}`)
    await sleep(50)
  }
}

/**
 * Everything below the high watermarks, from the leaders, whoever they are. One that was just elected may know an earlier high
 * watermark than the one before: what a partition has `atLeast` is waited for, but not forever.
 */
export async function readTopic(
  cluster: ClusterProcesses,
  topic: string,
  atLeast: readonly number[],
): Promise<Contents[]> {
  const patientUntilMs = performance.now() + PATIENCE_MS / 2
  const partitions = await eventually(cluster, topic, (view) => view.length)
  return Promise.all(
    Array.from({ length: partitions }, async (_, index) => {
      const values: string[] = []
      await eventually(cluster, topic, async (view) => {
        const { leader } = view[index]!
        const broker = leader < 0 ? null : cluster.broker(leader)
        const end = broker === null ? null : await readPartition(broker, topic, index, values)
        const isThere = (end ?? -1) >= (atLeast[index] ?? 0) || performance.now() > patientUntilMs
        return isThere ? end : null
      })
      return values
    }),
  )
}

/** Until `use` gives something, with what any broker says now. */
async function eventually<T>(
  cluster: ClusterProcesses,
  topic: string,
  use: (view: PartitionView[]) => Promise<T | null> | T | null,
): Promise<T> {
  const untilMs = performance.now() + PATIENCE_MS
  for (let attempt = 0; ; attempt++) {
    const view = await viewOf(cluster.brokers[attempt % cluster.brokers.length]!, topic)
    const result = view === null ? null : await use(view)
    if (result !== null) return result
    assert.ok(performance.now() < untilMs, `${topic} cannot be read: ${JSON.stringify(view)}`)
    await sleep(20)
  }
}

/** Adds what follows; null when this broker does not lead (any more). */
async function readPartition(
  broker: BrokerProcess,
  topic: string,
  partition: number,
  values: string[],
): Promise<number | null> {
  const client = await connect(broker)
  if (client === null) return null
  try {
    for (;;) {
      const answer = await client.send(fetchCall, {
        replicaId: -1,
        maxWaitMs: 0,
        minBytes: 1,
        maxBytes: READ_BYTES,
        isolationLevel: 0,
        sessionId: 0,
        sessionEpoch: -1,
        topics: [
          {
            topic,
            partitions: [{ partition, fetchOffset: values.length, partitionMaxBytes: READ_BYTES }],
          },
        ],
        forgottenTopicsData: [],
        rackId: '',
      })
      const { errorCode, records, highWatermark } = answer.responses[0]!.partitions[0]!
      if (errorCode !== 0) {
        const where = `Fetch of ${topic}-${partition} at ${values.length}`
        assert.notEqual(errorCode, ErrorCode.OFFSET_OUT_OF_RANGE, `${where}: out of range on ${broker.id}`)
        assert.notEqual(errorCode, ErrorCode.CORRUPT_MESSAGE, `${where}: ${errorName(errorCode)}`)
        return null
      }
      if (records === null || records.length === 0) {
        // It may have come and gone between the two.
        if (values.length >= highWatermark) return values.length
        return null
      }
      takeBatches(records, values)
    }
  } catch (error) {
    if (client.closed) return null
    throw error
  } finally {
    client.close()
  }
}

function takeBatches(records: Buffer, values: string[]): void {
  let at = 0
  while (at < records.length) {
    if (at > 0 && (at + LOG_OVERHEAD > records.length || at + batchSizeBytes(records, at) > records.length))
      return
    assert.equal(batchProblem(records, at, records.length), null, `the batch at offset ${values.length}`)
    const end = at + batchSizeBytes(records, at)
    const first = baseOffset(records, at)
    const reader = new RecordReader(records, recordCount(records, at), at + BATCH_OVERHEAD, end)
    // A fetch begins with the whole batch that its offset lies in.
    assert.ok(first <= values.length, `offsets are dense: ${first} follows ${values.length}`)
    while (reader.next()) {
      if (first + reader.offsetDelta < values.length) continue
      assert.equal(first + reader.offsetDelta, values.length, 'offsets are dense')
      values.push((reader.value() ?? '').toString())
    }
    assert.equal(reader.problem, null)
    at = end
  }
}

async function connect(broker: BrokerProcess): Promise<RawClient | null> {
  return broker.isRunning ? RawClient.connect(broker.port, broker.host).catch(() => null) : null
}

/**
 * Holds the directories of brokers that were stopped cleanly against each other: byte for byte, leader epochs included.
 * `exactly`: as many bytes; else one may lack what was written last.
 */
export function compareDirectories(
  brokers: readonly BrokerProcess[],
  topic: string,
  { exactly }: { readonly exactly: boolean },
): string[] {
  const problems: string[] = []
  const names = new Set(
    brokers.flatMap(({ dataDir }) => readdirSync(dataDir).filter((name) => isPartitionOf(name, topic))),
  )
  for (const name of names) {
    const logs = brokers
      .filter(({ dataDir }) => existsSync(join(dataDir, name)))
      .map(({ id, dataDir }) => ({ id, bytes: bytesOf(join(dataDir, name)) }))
    const longest = logs.reduce((a, b) => (b.bytes.length > a.bytes.length ? b : a))
    for (const { id, bytes } of logs) {
      const differs = firstDifference(bytes, longest.bytes)
      if (differs >= 0 || (exactly && bytes.length !== longest.bytes.length))
        problems.push(
          `${name}: broker ${id} has ${bytes.length} bytes, broker ${longest.id} ${longest.bytes.length}; ${
            differs < 0 ? 'one begins as the other' : `they differ from byte ${differs} on`
          }`,
        )
    }
  }
  return problems
}

function isPartitionOf(name: string, topic: string): boolean {
  return name.startsWith(`${topic}-`) && /^\d+$/.test(name.slice(topic.length + 1))
}

function bytesOf(directory: string): Buffer {
  const names = readdirSync(directory).filter((name) => name.endsWith('.log'))
  return Buffer.concat(names.toSorted().map((name) => readFileSync(join(directory, name))))
}

/** Where one is not the beginning of the other; -1 when it is. */
function firstDifference(a: Buffer, b: Buffer): number {
  const shorter = Math.min(a.length, b.length)
  if (a.compare(b, 0, shorter, 0, shorter) === 0) return -1
  for (let at = 0; at < shorter; at++) if (a[at] !== b[at]) return at
  return -1
}
