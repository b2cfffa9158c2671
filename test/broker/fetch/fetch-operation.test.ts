import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import { buildControlBatch } from '../../../protocol/records/record-builder.ts'
import { ZERO_UUID } from '../../../protocol/schema.ts'
import { AnswerBudget } from '../../../src/broker/answer-budget.ts'
import { Deadlines } from '../../../src/broker/deadlines.ts'
import { Slices } from '../../../src/broker/slices.ts'
import { FetchOperation } from '../../../src/broker/fetch/fetch-operation.ts'
import type { FetchedPartition } from '../../../src/broker/fetch/fetch-operation.ts'
import type { FetchTarget } from '../../../src/broker/fetch/fetch-sessions.ts'
import type { Partition } from '../../../src/broker/partition.ts'
import type { Partitions } from '../../../src/broker/partitions.ts'
import type { RequestGuard } from '../../../src/broker/request-guard.ts'
import { Wakes } from '../../../src/broker/fetch/wakes.ts'
import { releasePieces } from '../../../src/log/read/read-buffers.ts'
import { makeBatch, TestLog, TOPIC_ID } from '../../log/log-fixture.ts'
import { diskWith, TestSlice } from '../../log/slicing-disk.ts'
import type { Policy } from '../../log/slicing-disk.ts'
import { ledPartition } from '../led-partition.ts'
import { Seeded } from '../../support/seed.ts'
import { StepClock } from '../../support/step-clock.ts'
import { until } from '../../support/until.ts'

const BATCHES = 40
const BATCH_BYTES = makeBatch(1, 20_000).length
const sliced: Policy = { slices: () => true, cached: () => true }
const cold: Policy = { slices: () => false, cached: () => false }

interface Fetch {
  readonly operation: FetchOperation
  readonly answers: AnswerBudget
  /** What was answered, once. */
  readonly results: () => FetchedPartition[] | null
  readonly answered: Promise<FetchedPartition[]>
}

interface Limits {
  readonly maxBytes: number
  readonly minBytes: number
  readonly maxWaitMs: number
}

/** A partition of 40 batches of one record each, and fetches of it. */
async function withPartition(
  policy: Policy,
  run: (begin: (limits: Limits) => Fetch, log: TestLog, partition: Partition) => Promise<void>,
  readCommitted = false,
): Promise<void> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'samsa-fetch-'))
  // The broker's timers keep no process alive.
  const alive = setInterval(() => {}, 1000)
  const world = diskWith(policy, new Seeded(1))
  const log = await TestLog.open(world, directory)
  for (let i = 0; i < BATCHES; i++) await log.append(makeBatch(1, 20_000))
  const partition = ledPartition(log.log, TOPIC_ID)
  // What the operation uses of them.
  const partitions = { leaderOf: () => partition, topicName: () => 't' } as unknown as Partitions
  const parts = {
    partitions,
    deadlines: new Deadlines(world.clock),
    clock: world.clock,
    slices: new Slices(world.clock),
    wakes: new Wakes(world.clock),
  }
  await run(
    (limits) => {
      const answers = new AnswerBudget(100 << 20, world.clock)
      let results: FetchedPartition[] | null = null
      let answer: (results: FetchedPartition[]) => void = () => {}
      const answered = new Promise<FetchedPartition[]>((resolve) => (answer = resolve))
      const options = {
        ...limits,
        targets: [target(limits.maxBytes)],
        readCommitted,
        follower: null,
        byId: false,
        answers,
        guard: { guard: (run: never) => run, fail: (error: unknown) => assert.fail(String(error)) },
        slices: true,
      }
      const operation = new FetchOperation(parts, options, (given) => {
        assert.equal(results, null, 'answered once')
        results = given
        answer(given)
      })
      return { operation, answers, results: () => results, answered }
    },
    log,
    partition,
  )
  assert.equal(TestSlice.open, 0)
  await log.log.close(false)
  fs.rmSync(directory, { recursive: true })
  clearInterval(alive)
}

function target(partitionMaxBytes: number): FetchTarget {
  return {
    topic: 't',
    topicId: ZERO_UUID,
    partition: 0,
    fetchOffset: 0,
    partitionMaxBytes,
    currentLeaderEpoch: -1,
    lastFetchedEpoch: -1,
    logStartOffset: -1,
    sentHighWatermark: -1,
    sentLogStartOffset: -1,
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20))

test('an answer has the slices; they cost the budget little, and nothing once they are handed over', async () => {
  await withPartition(sliced, async (begin) => {
    const { operation, answers, results } = begin({ maxBytes: 10 * BATCH_BYTES, minBytes: 1, maxWaitMs: 500 })
    operation.start()
    const [result] = results()!
    assert.equal(result!.sizeBytes, 10 * BATCH_BYTES)
    assert.equal(TestSlice.open, 1)
    assert.equal(answers.usedBytes, 0)
    operation.cancel()
    assert.equal(TestSlice.open, 1, 'they belong to whoever was answered')
    releasePieces(result!.pieces)
  })
})

test('what the limits or the segment cut short is answered at once, whatever minBytes says', async () => {
  await withPartition(sliced, async (begin) => {
    const maxBytes = 3.5 * BATCH_BYTES
    const { operation, results } = begin({ maxBytes, minBytes: maxBytes, maxWaitMs: 60_000 })
    operation.start()
    assert.equal(results()?.[0]?.sizeBytes, 3 * BATCH_BYTES)
    releasePieces(results()![0]!.pieces)
  })
})

test('a fetch that waits holds nothing, and reads again in the end', async () => {
  await withPartition(sliced, async (begin) => {
    const limits = { maxBytes: 1 << 24, minBytes: 1 << 24, maxWaitMs: 30 }
    const { operation, answers, results, answered } = begin(limits)
    operation.start()
    assert.equal(results(), null)
    assert.equal(TestSlice.open, 0)
    assert.equal(answers.usedBytes, 0)
    const [result] = await answered
    assert.equal(result!.sizeBytes, BATCHES * BATCH_BYTES)
    assert.equal(TestSlice.open, 1)
    releasePieces(result!.pieces)
  })
})

test('cancelled while it waits, or while the disk reads: nothing stays', async () => {
  await withPartition(sliced, async (begin) => {
    const { operation, results } = begin({ maxBytes: 1 << 24, minBytes: 1 << 24, maxWaitMs: 10 })
    operation.start()
    operation.cancel()
    await settle()
    assert.equal(results(), null)
  })
  await withPartition(cold, async (begin) => {
    const { operation, answers, results } = begin({ maxBytes: 500_000, minBytes: 1, maxWaitMs: 10 })
    operation.start()
    assert.equal(answers.usedBytes, 1_048_588, 'one batch comes whatever the limit, and may be that large')
    operation.cancel()
    await until(() => answers.usedBytes === 0, settle)
    assert.equal(results(), null)
    assert.equal(answers.buffers.idleBytes, 512 * 1024, 'the buffer went back to the pool')
  })
})

test('what is read into memory counts with all the memory it takes, until it is handed over', async () => {
  await withPartition(cold, async (begin) => {
    const { operation, answers, answered } = begin({ maxBytes: 600_000, minBytes: 1, maxWaitMs: 500 })
    operation.start()
    const [result] = await answered
    assert.equal(answers.usedBytes, 0)
    assert.equal(result!.sizeBytes, Math.floor(600_000 / BATCH_BYTES) * BATCH_BYTES)
    releasePieces(result!.pieces)
    assert.equal(answers.buffers.idleBytes, 1 << 20)
  })
})

test('DeleteRecords during a read: what was aborted of the records read is still told', async () => {
  await withPartition(
    cold,
    async (begin, log) => {
      const producer = { producerId: 7, producerEpoch: 0 }
      const first = await log.append(makeBatch(1, 10, { ...producer, baseSequence: 0, transactional: true }))
      const marker = await log.append(buildControlBatch('ABORT', 0, producer, 1))
      const { operation, answered } = begin({ maxBytes: 100 << 20, minBytes: 1, maxWaitMs: 500 })
      operation.start()
      log.log.deleteRecordsBefore(marker + 1)
      const [result] = await answered
      const aborted = result!.aborted!.within(0, marker + 1)
      assert.deepEqual(
        aborted.map(({ producerId, firstOffset }) => [producerId, firstOffset]),
        [[7, first]],
      )
      releasePieces(result!.pieces)
    },
    true,
  )
})

test('what goes wrong in a later slice of a fetch of very many partitions is told to its guard', async () => {
  const clock = new StepClock(3)
  const partitions = {
    topicName: () => 't',
    leaderOf: (_topic: string, index: number) => {
      if (index >= 260) throw new TypeError('no such thing')
      return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    },
  } as unknown as Partitions
  const targets = Array.from({ length: 300 }, (_, partition) => ({ ...target(1), partition }))
  const failed = new Promise<unknown>((resolve) => {
    const guard: RequestGuard = {
      guard:
        (run) =>
        (...args) => {
          try {
            run(...args)
          } catch (error) {
            resolve(error)
          }
        },
      fail: resolve,
    }
    const parts = {
      partitions,
      deadlines: new Deadlines(clock),
      clock,
      slices: new Slices(clock),
      wakes: new Wakes(clock),
    }
    const limits = {
      maxBytes: 1,
      minBytes: 1,
      maxWaitMs: 0,
      readCommitted: false,
      follower: null,
      byId: false,
      slices: false,
    }
    const options = { ...limits, targets, answers: new AnswerBudget(1 << 20, clock), guard }
    new FetchOperation(parts, options, () => assert.fail('it is not answered')).start()
  })
  assert((await failed) instanceof TypeError)
})

interface WideFetch {
  readonly operation: FetchOperation
  readonly clock: StepClock
  readonly partitions: { errorCode: ErrorCode; highWatermark: number }[]
  /** By turn, how often the fetch began and ended to wait at a partition. */
  readonly began: Map<number, number>
  readonly ended: Map<number, number>
  readonly results: () => readonly FetchedPartition[] | null
}

/** A fetch of very many partitions that have nothing; each look at the clock takes a millisecond. */
function wideFetch(count: number, onWait: (index: number) => void = () => {}): WideFetch {
  const clock = new StepClock(1)
  const began = new Map<number, number>()
  const ended = new Map<number, number>()
  const note = (turns: Map<number, number>): void =>
    void turns.set(clock.turns, (turns.get(clock.turns) ?? 0) + 1)
  const log = { logStartOffset: 0, logEndOffset: 0, hasTransactions: false }
  const partitions = Array.from({ length: count }, (_, index) => ({
    log,
    errorCode: ErrorCode.NONE as ErrorCode,
    leaderError() {
      return this.errorCode
    },
    highWatermark: 0,
    lastStableOffset: 0,
    awaitRecords: () => {
      note(began)
      onWait(index)
      return { end: () => note(ended) }
    },
  }))
  const leaderOf = (_topic: string, index: number): unknown => {
    const { errorCode } = partitions[index]!
    return errorCode === ErrorCode.NONE ? partitions[index] : errorCode
  }
  const parts = {
    partitions: { topicName: () => 't', leaderOf } as unknown as Partitions,
    deadlines: new Deadlines(clock),
    clock,
    slices: new Slices(clock),
    wakes: new Wakes(clock),
  }
  let results: readonly FetchedPartition[] | null = null
  const operation = new FetchOperation(
    parts,
    {
      targets: Array.from({ length: count }, (_, partition) => ({ ...target(1), partition })),
      maxBytes: 1,
      minBytes: 1,
      maxWaitMs: 1_000_000_000,
      readCommitted: true,
      follower: null,
      byId: false,
      answers: new AnswerBudget(1 << 20, clock),
      guard: { guard: (run: never) => run, fail: (error: unknown) => assert.fail(String(error)) },
      slices: false,
    },
    (given) => (results = given),
  )
  return { operation, clock, partitions, began, ended, results: () => results }
}

const WIDE = 10_000
const total = (turns: Map<number, number>): number =>
  [...turns.values()].reduce((sum, count) => sum + count, 0)

test('a fetch begins and ends to wait at very many partitions in slices', async () => {
  const { operation, began, ended, results } = wideFetch(WIDE)
  operation.start()
  await until(() => total(began) === WIDE, settle)
  operation.cancel()
  await until(() => total(ended) === WIDE, settle)
  for (const turns of [began, ended]) {
    const most = Math.max(...turns.values())
    assert.ok(most <= WIDE / 5, `${most} in one turn`)
  }
  assert.equal(results(), null)
})

test('a partition that advances or goes away before a fetch of very many waits at it wakes the fetch', async () => {
  const changes: ((partition: WideFetch['partitions'][number]) => void)[] = [
    (partition) => (partition.errorCode = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    (partition) => (partition.highWatermark = 1),
  ]
  for (const change of changes) {
    const fetch = wideFetch(WIDE, (index) => {
      if (index === 1_000) change(fetch.partitions[9_000]!)
    })
    fetch.operation.start()
    await until(() => fetch.results() !== null, settle)
    assert.equal(fetch.results()!.length, WIDE)
    const { errorCode, highWatermark } = fetch.results()![9_000]!
    assert.ok(errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION || highWatermark === 1)
    await until(() => total(fetch.ended) === total(fetch.began), settle)
  }
})

test('a read that was under way when the partition changed its directory begins again in the new log', async () => {
  await withPartition(cold, async (begin, { log }, partition) => {
    let given = false
    // Begins again after a cut, and hears then that the log is none of a partition any more.
    const old = new Proxy(log, {
      get: (of, name) => {
        if (name === 'refusal') return given ? ErrorCode.NOT_LEADER_OR_FOLLOWER : ErrorCode.NONE
        if (name === 'cuts') return Number(given)
        const value: unknown = Reflect.get(of, name, of)
        return typeof value === 'function' ? (value.bind(of) as unknown) : value
      },
    })
    partition.moved(old)
    const { operation, results, answered } = begin({ maxBytes: BATCH_BYTES, minBytes: 1, maxWaitMs: 500 })
    operation.start()
    assert.equal(results(), null)
    given = true
    partition.moved(log)
    const [result] = await answered
    assert.deepEqual([result!.errorCode, result!.sizeBytes], [ErrorCode.NONE, BATCH_BYTES])
    releasePieces(result!.pieces)
  })
})
