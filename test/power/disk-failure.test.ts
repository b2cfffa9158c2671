import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  describeLogDirsRequest,
  describeLogDirsResponse,
} from '../../protocol/messages/35-describe-log-dirs.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import { engines, flushProperties, type FlushMode } from '../durability/cells.ts'
import { Contents } from '../durability/contents.ts'
import { PartitionHistory } from '../durability/history.ts'
import { createTopic } from '../durability/topics.ts'
import { Producer, readPartition } from '../durability/workload.ts'
import { type ServerUnderTest, startSamsa } from '../support/broker-process.ts'
import { runOrThrow } from '../support/processes.ts'
import { RawClient } from '../support/raw-client.ts'
import { skipMissing } from '../support/requirements.ts'
import { Seeded } from '../support/seed.ts'
import { mountProblem } from './mounts.ts'
import { SickDisk, type Sickness } from './sick-disk.ts'

const describeCall = { request: describeLogDirsRequest, response: describeLogDirsResponse, version: 1 }

const TOPIC = 'records'
const PARTITIONS = 4
const MARKER = '.kafka_cleanshutdown'
/** Bounds a wait for something that must happen; nobody measures how long it takes. */
const PATIENCE_MS = 60_000

interface Case {
  readonly sickness: Sickness
  readonly mode: FlushMode
}

const cases: readonly Case[] = [
  { sickness: 'thin device', mode: 'durable' },
  { sickness: 'thin device', mode: 'interval' },
  { sickness: 'full', mode: 'durable' },
  { sickness: 'dead', mode: 'durable' },
]

test('a log directory that fails', { timeout: 600_000 }, async (t) => {
  const problem = await mountProblem()
  if (problem !== null) return skipMissing(t, problem)
  const { usable, missing } = await engines()
  if (missing !== null) await t.test('io_uring', (u) => skipMissing(u, missing))
  for (const engine of usable) {
    for (const { sickness, mode } of cases) {
      await t.test(`${sickness}, the other one lives on: ${mode}, io ${engine}`, (u) =>
        oneOfTwo(u, sickness, { ...flushProperties(mode, 100), 'samsa.io': engine }, mode),
      )
    }
    await t.test(`dead, and the only one: io ${engine}`, (u) =>
      theOnlyOne(u, { ...flushProperties('durable', 0), 'samsa.io': engine }),
    )
    await t.test(`almost full: produce waits for room, io ${engine}`, (u) =>
      almostFull(u, { ...flushProperties('durable', 0), 'samsa.io': engine }),
    )
  }
})

/** Producers of all kinds for one topic, and what they were promised. */
class Load {
  readonly producers: readonly Producer[]
  readonly #histories = new Map<Producer, PartitionHistory>()

  constructor(random: Seeded) {
    const contents = new Contents(random.uint32())
    this.producers = Array.from(
      { length: PARTITIONS },
      (_, partition) =>
        new Producer({
          topic: TOPIC,
          partition,
          stream: partition,
          contents,
          random: new Seeded(random.uint32()),
          acks: partition % 2 === 0 ? -1 : 1,
          // The two directories get their partitions in turn: each has producers of both kinds.
          idempotent: partition < 2,
          bytesPerSecond: 8 << 20,
        }),
    )
    for (const producer of this.producers) this.#histories.set(producer, new PartitionHistory(producer))
  }

  acked(producer: Producer): number {
    return producer.acked.reduce((sum, { count }) => sum + count, 0)
  }

  /** Everything acknowledged is there; in the mode `interval` the end of what a failed flush held may be missing. */
  async check(port: number, mode: FlushMode, of: readonly Producer[] = this.producers): Promise<void> {
    for (const producer of of) {
      const found = await readPartition(port, producer.options)
      const promised = { acked: mode === 'durable' ? ('all' as const) : ('prefix' as const) }
      assert.deepEqual(this.#histories.get(producer)!.check(found, promised).problems, [])
      producer.forget()
    }
  }
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (!(await condition())) {
    if (performance.now() > deadline) assert.fail(`waited in vain: ${what}`)
    await sleep(20)
  }
}

/** Produces until the condition holds, then ends the connections. */
async function produceUntil(
  port: number,
  producers: readonly Producer[],
  what: string,
  condition: () => boolean,
): Promise<void> {
  let stop = false
  const running = Promise.all(producers.map((producer) => producer.run(port, () => stop)))
  try {
    await until(what, condition)
  } finally {
    stop = true
    await running
  }
}

/** Error code and partitions of each directory. */
async function describeDirectories(
  port: number,
): Promise<Map<string, { error: number; partitions: number[] }>> {
  const client = await RawClient.connect(port)
  try {
    const { results } = await client.send(describeCall, { topics: null })
    return new Map(
      results.map(({ logDir, errorCode, topics }) => [
        logDir,
        {
          error: errorCode,
          partitions: topics
            .filter(({ name }) => name === TOPIC)
            .flatMap(({ partitions }) => partitions.map(({ partitionIndex }) => partitionIndex)),
        },
      ]),
    )
  } finally {
    client.close()
  }
}

function assertOnlyStorageErrors(producers: readonly Producer[]): void {
  for (const producer of producers) {
    const others = producer.errors.filter((code) => code !== ErrorCode.KAFKA_STORAGE_ERROR)
    assert.deepEqual(others, [], 'a failed directory answers KAFKA_STORAGE_ERROR')
  }
}

async function explained<T>(broker: ServerUnderTest, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    const log = (await broker.log()).slice(-3_000)
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${log}`, { cause: error })
  }
}

function seeded(t: TestContext): Seeded {
  const random = new Seeded()
  t.diagnostic(`SAMSA_SEED=${random.seed}`)
  return random
}

async function oneOfTwo(
  t: TestContext,
  sickness: Sickness,
  settings: Record<string, string>,
  mode: FlushMode,
): Promise<void> {
  const load = new Load(seeded(t))
  await using disk = await SickDisk.make(sickness)
  const good = join(disk.work, 'good')
  const bad = join(disk.directory, 'bad')
  await using broker = await startSamsa({
    dataDir: join(disk.work, 'broker'),
    logDirs: [good, bad],
    properties: { ...settings, 'samsa.min.free.bytes': '0' },
  })
  const { port } = broker
  await explained(broker, async () => {
    await createTopic(port, TOPIC, PARTITIONS)
    const inBad = (await describeDirectories(port)).get(bad)!.partitions
    assert.equal(inBad.length, PARTITIONS / 2)
    const sick = load.producers.filter(({ options }) => inBad.includes(options.partition))
    const healthy = load.producers.filter((producer) => !sick.includes(producer))

    const enough = (): boolean => load.producers.every((producer) => load.acked(producer) > 100)
    await produceUntil(port, load.producers, 'some load', enough)
    await disk.fail()
    const down = (): boolean => sick.every(({ errors }) => errors.length > 0)
    await produceUntil(port, load.producers, 'the directory fails', down)
    assertOnlyStorageErrors(sick)
    for (const { errors, unanswered } of sick)
      assert.equal(errors.length, unanswered, 'every request was answered')
    assert.match(await broker.log(), /log directory failed and is offline/)
    const directories = await describeDirectories(port)
    assert.equal(directories.get(bad)?.error, ErrorCode.KAFKA_STORAGE_ERROR)
    assert.equal(directories.get(good)?.error, 0)

    const before = healthy.map((producer) => load.acked(producer))
    const more = (): boolean => healthy.every((producer, i) => load.acked(producer) > before[i]! + 20)
    await produceUntil(port, healthy, 'the other directory serves', more)
    assert.deepEqual(
      healthy.flatMap(({ errors }) => errors),
      [],
    )
    await load.check(port, 'durable', healthy)
    await assert.rejects(readPartition(port, sick[0]!.options), /KAFKA_STORAGE_ERROR/)

    await broker.stop()
    await disk.repair()
    assert.ok(existsSync(join(good, MARKER)), 'the directory that did not fail was closed cleanly')
    assert.ok(!existsSync(join(bad, MARKER)), 'the one that failed was not')
    await broker.start()
    await load.check(port, mode)
    // A flush that failed may have taken what was acknowledged: then the producers' sequences have a gap.
    if (mode !== 'durable') for (const producer of sick) producer.renew()
    await produceUntil(port, load.producers, 'it works again', enough)
    await load.check(port, 'durable')
  })
}

async function theOnlyOne(t: TestContext, settings: Record<string, string>): Promise<void> {
  const load = new Load(seeded(t))
  await using disk = await SickDisk.make('dead')
  await using broker = await startSamsa({
    dataDir: join(disk.work, 'broker'),
    logDirs: [join(disk.directory, 'only')],
    properties: { ...settings, 'samsa.min.free.bytes': '0' },
  })
  const { port } = broker
  await explained(broker, async () => {
    await createTopic(port, TOPIC, PARTITIONS)
    const enough = (): boolean => load.producers.every((producer) => load.acked(producer) > 100)
    await produceUntil(port, load.producers, 'some load', enough)
    const running = Promise.all(load.producers.map((producer) => producer.run(port, () => false)))
    await disk.fail()
    const code = await Promise.race([broker.exited(), sleep(PATIENCE_MS, 'alive', { ref: false })])
    assert.equal(code, 1, 'a broker without a log directory ends, and says so')
    await running
    assertOnlyStorageErrors(load.producers)
    await disk.repair()
    assert.ok(!existsSync(join(disk.directory, 'only', MARKER)), 'it did not stop cleanly')
    await broker.start()
    await load.check(port, 'durable')
    await produceUntil(port, load.producers, 'it works again', enough)
    await load.check(port, 'durable')
  })
}

async function almostFull(t: TestContext, settings: Record<string, string>): Promise<void> {
  const load = new Load(seeded(t))
  await using disk = await SickDisk.make('dead')
  const good = join(disk.work, 'good')
  const tight = join(disk.directory, 'tight')
  const filler = join(disk.directory, 'filler')
  await using broker = await startSamsa({
    dataDir: join(disk.work, 'broker'),
    logDirs: [good, tight],
    properties: { ...settings, 'samsa.min.free.bytes': String(24 << 20) },
  })
  const { port } = broker
  await explained(broker, async () => {
    await createTopic(port, TOPIC, PARTITIONS)
    const inTight = (await describeDirectories(port)).get(tight)!.partitions
    const refused = load.producers.filter(({ options }) => inTight.includes(options.partition))
    const others = load.producers.filter((producer) => !refused.includes(producer))
    const enough = (): boolean => load.producers.every((producer) => load.acked(producer) > 100)
    await produceUntil(port, load.producers, 'some load', enough)

    await runOrThrow('fallocate', ['-l', '56M', filler])
    const stopped = (): boolean => refused.every(({ errors }) => errors.length > 0)
    await produceUntil(port, load.producers, 'produce is refused', stopped)
    assertOnlyStorageErrors(refused)
    assert.deepEqual(
      others.flatMap(({ errors }) => errors),
      [],
      'the other directory has room',
    )
    assert.equal((await describeDirectories(port)).get(tight)?.error, 0, 'nothing has failed')
    await load.check(port, 'durable')

    await runOrThrow('rm', [filler])
    await until('produce is accepted', async () => {
      await Promise.all(refused.map((producer) => producer.run(port, () => load.acked(producer) > 0)))
      const accepted = refused.every(({ errors }) => errors.length === 0)
      if (!accepted) for (const producer of refused) producer.errors = []
      return accepted
    })
    await load.check(port, 'durable')
    await broker.stop()
    assert.ok(existsSync(join(tight, MARKER)))
    await broker.start()
    await load.check(port, 'durable')
  })
}
