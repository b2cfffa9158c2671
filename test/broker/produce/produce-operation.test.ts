import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../../protocol/messages/00-produce.ts'
import type { ProduceRequest } from '../../../protocol/messages/00-produce.ts'
import { listOffsetsRequest, listOffsetsResponse } from '../../../protocol/messages/02-list-offsets.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { buildBatch } from '../../../protocol/records/record-builder.ts'
import type { BatchOptions, NewRecord } from '../../../protocol/records/record-builder.ts'
import { AppendLine } from '../../../src/broker/produce/append-line.ts'
import type { Broker } from '../../../src/broker/broker.ts'
import { ProduceOperation } from '../../../src/broker/produce/produce-operation.ts'
import type { ProduceGuard } from '../../../src/broker/produce/produce-operation.ts'
import type { ProducedPartition } from '../../../src/broker/produce/produced-partition.ts'
import type { AppendWaiter } from '../../../src/broker/waits.ts'
import type { Deadline } from '../../../src/core/deadline-queue.ts'
import { defaultLogConfig } from '../../../src/log/log-config.ts'
import { withSimBroker } from '../../api/sim-broker.ts'
import type { SimBroker } from '../../api/sim-broker.ts'
import type { SimClient } from '../../simulator/sim-client.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { Seeded } from '../../support/seed.ts'

const PRODUCE = { request: produceRequest, response: produceResponse, version: 9 }
const NO_TOPIC_ID = 'A'.repeat(22)
const HOUR_MS = 3_600_000

function noise(length: number): Buffer {
  const random = new Seeded(7)
  return Buffer.from(Array.from({ length }, () => random.uint32()))
}

function record(value: Buffer | string, more: Partial<NewRecord> = {}): NewRecord {
  return { key: null, value: Buffer.from(value), timestampMs: 0, ...more }
}

async function produce(client: SimClient, records: Buffer, acks = -1) {
  const topicData = [{ name: 'topic', partitionData: [{ index: 0, records }] }]
  const { responses } = await client.send(PRODUCE, { acks, timeoutMs: 60_000, topicData })
  return responses[0]!.partitionResponses[0]!
}

/** Large enough to be read in pieces, whatever it is. */
function large(text: string, options: BatchOptions = {}): Buffer {
  return buildBatch([record(text), record(noise(9000))], { codec: 1, ...options })
}

async function withTopic(
  configs: Readonly<Record<string, string>>,
  body: (broker: SimBroker) => Promise<void>,
): Promise<void> {
  await withSimBroker(
    async (broker) => {
      const entries = Object.entries(configs)
      await broker.createTopics({ name: 'topic', partitions: 1, config: Object.fromEntries(entries) })
      await body(broker)
    },
    { 'log.retention.check.interval.ms': '1000' },
  )
}

test('retention and lookups go by what the records say, not by what the client says of them', async () => {
  await withTopic({ 'retention.ms': `${24 * HOUR_MS}` }, async (broker) => {
    const now = broker.process.clock.nowMs()
    const old = now - 48 * HOUR_MS
    // As kafkajs makes it of one message with an old timestamp and one without.
    const records = [record('late', { timestampMs: old }), record(noise(9000), { timestampMs: now })]
    const answer = await produce(broker.client, buildBatch(records, { codec: 1, maxTimestampMs: old }))
    assert.equal(answer.errorCode, 0)
    await broker.sim.sleep(10_000)
    const ask = async (timestamp: number) => {
      const topics = [{ name: 'topic', partitions: [{ partitionIndex: 0, timestamp }] }]
      const body = { replicaId: -1, isolationLevel: 0, topics }
      const found = await broker.send([listOffsetsRequest, listOffsetsResponse], 7, body)
      return found.topics[0]!.partitions[0]!.offset
    }
    assert.equal(await ask(-2), 0, 'nothing was deleted')
    assert.equal(await ask(now - 60_000), 1)
    assert.equal(await ask(-3), 1, 'the largest timestamp')
  })
})

test('what does not decompress is refused, and the partition goes on', async () => {
  await withTopic({}, async ({ client }) => {
    const broken = large('x')
    broken.fill(noise(500), 61)
    batch.setCrc(broken, 0)
    const results = await Promise.all([large('a'), broken, large('b')].map((each) => produce(client, each)))
    assert.deepEqual(
      results.map(({ errorCode, baseOffset }) => [errorCode, Number(baseOffset)]),
      [
        [0, 0],
        [ErrorCode.INVALID_RECORD, -1],
        [0, 2],
      ],
    )
  })
})

test('batches of one partition keep their order, however long each is looked at', async () => {
  await withTopic({}, async (broker) => {
    const random = new Seeded()
    const others = [broker.connect(), broker.connect()]
    for (let round = 0; round < 30; round++) {
      const kinds = Array.from({ length: 8 }, () => random.between(0, 3))
      const batches = kinds.map((kind) => {
        if (kind === 0) return buildBatch([record('plain')])
        if (kind === 1) return buildBatch([record('small')], { codec: 1 })
        return kind === 2 ? large('large') : buildBatch([record(noise(100_000))], { codec: 1 })
      })
      const sent = batches.map((each) => produce(broker.client, each))
      for (const other of others) void produce(other, large('other'))
      const offsets = (await Promise.all(sent)).map(({ baseOffset }) => Number(baseOffset))
      assert.deepEqual(
        offsets,
        offsets.toSorted((a, b) => a - b),
        `seed ${random.seed}: ${kinds.join()}`,
      )
    }
  })
})

test('an idempotent producer with several requests in flight is in sequence, and a repeated batch is known', async () => {
  await withTopic({}, async ({ client }) => {
    const from = (sequence: number, make = large): Buffer =>
      make(`${sequence}`, { producerId: 4000, producerEpoch: 0, baseSequence: sequence })
    const small = (text: string, options: BatchOptions = {}) =>
      buildBatch([record(text), record(text)], { codec: 2, ...options })
    const batches = [from(0), from(2, small), from(4), from(6, small), from(8), from(4)]
    const results = await Promise.all(batches.map((each) => produce(client, each)))
    assert.deepEqual(
      results.map(({ errorCode, baseOffset }) => [errorCode, Number(baseOffset)]),
      [0, 2, 4, 6, 8, 4].map((offset) => [0, offset]),
    )
  })
})

test('a client that goes away keeps neither the partition nor the others', async () => {
  await withTopic({}, async (broker) => {
    for (let round = 0; round < 10; round++) {
      const leaving = Array.from({ length: 6 }, () => broker.connect())
      for (const client of leaving) {
        for (let i = 0; i < 3; i++) produce(client, large(`${i}`)).catch(() => {})
      }
      await broker.sim.sleep(round % 4)
      for (const client of leaving) client.close()
      const { errorCode } = await produce(broker.client, large('stays'))
      assert.equal(errorCode, 0)
    }
    assert.equal(broker.running.broker.partitions.get('topic', 0)?.appendLine.isEmpty, true)
  })
})

function watchedGuard() {
  const guard = {
    clientAddress: {},
    kept: 0,
    leaves: (): void => {},
    holdOthers: () => {},
    whenAbandoned: (run: () => void) => void (guard.leaves = run),
    keepBytes: () => (guard.kept += 1),
    letBytesGo: () => (guard.kept -= 1),
    releaseBytes: () => {},
    parks: () => {},
    guard: <Args extends readonly unknown[]>(run: (...args: Args) => void) => run,
    fail: (error: unknown) => assert.fail(String(error)),
  }
  return guard
}

type WatchedGuard = ReturnType<typeof watchedGuard>

function start(broker: SimBroker, guard: WatchedGuard, acks: number, records: Buffer, done = (): void => {}) {
  const partitionData = [{ index: 0, records }]
  const topicData = [{ name: 'topic', topicId: NO_TOPIC_ID, partitionData }]
  const request = { transactionalId: null, acks, timeoutMs: 1_000, topicData }
  new ProduceOperation(broker.running.broker, request, 9, ErrorCode.NONE, done, guard).start()
}

test('a batch is kept until it is written, also when nobody waits for that', async () => {
  await withTopic({}, async (broker) => {
    const guard = watchedGuard()
    let answered = false
    start(broker, guard, 0, buildBatch([record('x')]), () => (answered = true))
    assert.deepEqual([answered, guard.kept], [true, 1])
    await broker.sim.sleep(1_000)
    assert.equal(guard.kept, 0)
  })
})

test('what is in line is kept, the plain behind the compressed too, until it is written, refused or given up', async () => {
  await withTopic({}, async (broker) => {
    const broken = large('x')
    broken.fill(noise(500), 61)
    batch.setCrc(broken, 0)
    const guards: WatchedGuard[] = []
    for (let round = 0; round < 12; round++)
      for (const records of [large('large'), buildBatch([record('plain')]), Buffer.from(broken)]) {
        guards.push(watchedGuard())
        start(broker, guards.at(-1)!, -1, records)
      }
    assert.deepEqual(
      guards.map(({ kept }) => kept),
      guards.map(() => 1),
    )
    for (const guard of guards) guard.leaves()
    await broker.sim.sleep(1_000)
    assert.deepEqual(
      guards.map(({ kept }) => kept),
      guards.map(() => 0),
    )
    assert.equal(broker.running.broker.partitions.get('topic', 0)?.appendLine.isEmpty, true)
  })
})

test('a client that wants no answer and leaves when all is sent leaves nothing out', async () => {
  await withTopic({}, async (broker) => {
    const guards = Array.from({ length: 30 }, () => watchedGuard())
    for (const guard of guards) start(broker, guard, 0, large('large'))
    for (const guard of guards) guard.leaves()
    await broker.sim.sleep(1_000)
    assert.equal(broker.running.broker.partitions.get('topic', 0)?.highWatermark, 60)
    assert.ok(guards.every(({ kept }) => kept === 0))
  })
})

test('compression.type of the topic is what is stored, in the order of the producer; a change holds at once', async () => {
  await withTopic({ 'compression.type': 'gzip' }, async (broker) => {
    const { client } = broker
    const sent = [buildBatch([record('a')]), large('b'), buildBatch([record('c')], { codec: 2 })]
    const offsets = await Promise.all(sent.map((each) => produce(client, each)))
    assert.deepEqual(
      offsets.map(({ errorCode, baseOffset }) => [errorCode, Number(baseOffset)]),
      [
        [0, 0],
        [0, 1],
        [0, 3],
      ],
    )
    const { metadata, partitions } = broker.running.broker
    const change = { name: 'compression.type', operation: 'set', value: 'uncompressed' } as const
    const topic = { kind: 'topic', name: 'topic' } as const
    assert.equal((await metadata.incrementalAlterConfigs(topic, [change], false)).errorCode, 0)
    assert.equal((await produce(client, buildBatch([record('d')], { codec: 1 }))).errorCode, 0)
    const codecs: number[] = []
    const { log } = partitions.get('topic', 0)!
    const stored = await new Promise<readonly Buffer[]>((resolve) =>
      log.read(0, 1 << 20, Infinity, true, ({ buffers }) => resolve(buffers)),
    )
    const bytes = Buffer.concat(stored)
    for (let at = 0; at < bytes.length; at += batch.batchSizeBytes(bytes, at))
      codecs.push(batch.codec(bytes, at))
    assert.deepEqual(codecs, [1, 1, 1, 0])
    const unwritable = { ...change, value: 'lz4' }
    const refused = await metadata.incrementalAlterConfigs(topic, [unwritable], false)
    assert.equal(refused.errorCode, ErrorCode.INVALID_CONFIG)
    await assert.rejects(
      broker.createTopics({ name: 'other', partitions: 1, config: { 'compression.type': 'zstd' } }),
      /compression.type=zstd/,
    )
  })
})

test('of a disk that does not answer producers are told, and what they sent keeps no memory from others', async () => {
  await withSimBroker(
    async (broker) => {
      const { disk } = broker.process.world
      const held: (() => void)[] = []
      const open = disk.open.bind(disk)
      disk.open = (path, mode) => {
        const file = open(path, mode)
        if (!path.includes('/topic-0/') || !path.endsWith('.log')) return file
        const write = file.write.bind(file)
        file.write = (...args) => void held.push(() => write(...args))
        return file
      }
      await broker.createTopics({ name: 'topic', partitions: 1 })
      const big = buildBatch([record(noise(900_000))])
      const senders = Array.from({ length: 12 }, () => broker.connect())
      const codes: number[] = []
      for (const sender of senders)
        void produce(sender, Buffer.from(big), 1).then(({ errorCode }) => codes.push(errorCode))
      await broker.sim.sleep(30_000)
      assert.deepEqual(
        codes,
        senders.map(() => ErrorCode.KAFKA_STORAGE_ERROR),
      )
      await broker.createTopics({ name: 'other', partitions: 1 })
      const topicData = [{ name: 'other', partitionData: [{ index: 0, records: Buffer.from(big) }] }]
      const body = { acks: 1, timeoutMs: 1_000, topicData }
      const { responses } = await broker.connect().send(PRODUCE, body)
      assert.equal(responses[0]!.partitionResponses[0]!.errorCode, 0)
      while (held.length > 0) {
        for (const write of held.splice(0)) write()
        await broker.sim.sleep(1_000)
      }
    },
    { 'log.dirs': '/data/one,/data/two', 'queued.max.request.bytes': '2000000' },
  )
})

/** A broker whose log writes when it is told to, and so do replicas. */
class Waiting {
  kept = 0
  /** What it keeps while it waits for replicas alone; -1: it does not yet. */
  parkedBytes = -1
  counted = 0
  readonly records = [0, 1].map(() => buildBatch([record('x')]))
  readonly partitionData = this.records.map((records, index) => ({
    index,
    records: records as Buffer | null,
  }))
  readonly answers: number[][] = []
  readonly #waits: { readonly waiter: AppendWaiter; readonly tag: number }[] = []
  #endOffset = 0
  #deadline: Deadline | null = null

  produce(): void {
    const partition = {
      log: { config: defaultLogConfig, logStartOffset: 0 },
      appendLine: new AppendLine(),
      append: () => {
        const baseOffset = this.#endOffset++
        return { errorCode: 0, baseOffset, lastOffset: baseOffset, logAppendTimeMs: -1 }
      },
      awaitAppended: (_endOffset: number, waiter: AppendWaiter, tag: number) =>
        this.#waits.push({ waiter, tag }),
    }
    const broker = {
      clock: new ManualClock(),
      slices: { sliceEndsMs: () => Infinity },
      deadlines: { arm: (deadline: Deadline) => (this.#deadline = deadline), cancel: () => {} },
      topicMetrics: { produced: (request: ProduceRequest) => (this.counted += request.topicData.length) },
      leaderOfPublished: () => partition,
      refusesProduce: () => 0,
    } as unknown as Broker
    const guard = {
      keepBytes: () => this.kept++,
      letBytesGo: () => this.kept--,
      releaseBytes: () => {},
      parks: (keptBytes: number) => (this.parkedBytes = keptBytes),
    } as unknown as ProduceGuard
    const topicData = [{ name: 'topic', topicId: NO_TOPIC_ID, partitionData: this.partitionData }]
    const request = { transactionalId: null, acks: -1, timeoutMs: 1_000, topicData }
    const done = (partitions: readonly ProducedPartition[]): void =>
      void this.answers.push(partitions.map(({ errorCode }) => errorCode))
    new ProduceOperation(broker, request, 9, 0, done, guard).start()
  }

  timeIsUp(): void {
    this.#deadline!.owner.expired({ monotonicMs: 0, wallMs: 0 })
  }

  /** As often as that may be told. */
  written(tag: number): void {
    for (let told = 0; told < 2; told++) this.#waits[tag]!.waiter.appendWritten?.(tag)
  }

  replicasHave(tag: number): void {
    this.#waits[tag]!.waiter.appendSettled(tag, 0)
  }

  get isLetGo(): boolean {
    return this.partitionData.every(({ records }) => records === null)
  }
}

test('what only replicas lack keeps a small wait in memory, and is counted once', () => {
  const waiting = new Waiting()
  waiting.produce()
  assert.equal(waiting.kept, 2)
  waiting.written(0)
  assert.deepEqual([waiting.kept, waiting.parkedBytes, waiting.isLetGo], [1, -1, false])
  waiting.written(1)
  assert.deepEqual([waiting.kept, waiting.isLetGo, waiting.counted], [0, true, 1])
  assert.ok(waiting.parkedBytes > 0 && waiting.parkedBytes < 2_000)
  waiting.replicasHave(1)
  waiting.replicasHave(0)
  assert.deepEqual([waiting.kept, waiting.counted, waiting.answers], [0, 1, [[0, 0]]])
})

test('what one partition settles leaves the rest to replicas', () => {
  const waiting = new Waiting()
  waiting.produce()
  waiting.written(0)
  waiting.replicasHave(1)
  assert.deepEqual([waiting.kept, waiting.isLetGo], [0, true])
  waiting.replicasHave(0)
  assert.deepEqual(waiting.answers, [[0, 0]])
})

test('what replicas still lack when time is up keeps no memory from others, once it is written', () => {
  const waiting = new Waiting()
  waiting.produce()
  waiting.written(0)
  waiting.timeIsUp()
  assert.deepEqual(waiting.answers, [[ErrorCode.REQUEST_TIMED_OUT, ErrorCode.REQUEST_TIMED_OUT]])
  assert.equal(waiting.kept, 1, 'the log still holds the second one')
  waiting.written(1)
  assert.equal(waiting.kept, 0)
  for (const tag of [0, 1]) waiting.replicasHave(tag)
  assert.deepEqual([waiting.kept, waiting.answers.length], [0, 1])
})
