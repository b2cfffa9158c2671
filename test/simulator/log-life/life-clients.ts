import { strict as assert } from 'node:assert'
import { ErrorCode } from '../../../protocol/errors.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { buildBatch, buildControlBatch } from '../../../protocol/records/record-builder.ts'
import type { NewRecord } from '../../../protocol/records/record-builder.ts'
import type { LogManager } from '../../../src/log/manager/log-manager.ts'
import { readToSend } from '../../../src/log/read/log-reader.ts'
import { ReadBuffers } from '../../../src/log/read/read-buffers.ts'
import type { SendableRead } from '../../../src/log/log-types.ts'
import type { Seen } from '../durability/seen.ts'
import { SimFileSlice } from '../sim-file.ts'
import type { SimRandom } from '../sim-random.ts'
import type { KnownPartition, LifePartition } from './life-partition.ts'
import { lookupWork } from '../../support/lookup-work.ts'

/** What the clients of one life see of it. */
export interface Life {
  readonly manager: LogManager
  readonly seen: Seen
  readonly stopping: boolean
  /** Wall clock of the broker. */
  nowMs(): number
  /** Never ends when the process does first. */
  sleep(delayMs: number): Promise<void>
  /** A disk in trouble: operations may be refused, and nothing may come of it. */
  readonly troubled: boolean
  newProducerId(): number
  nextValue(): number
  /** Names a moment in messages. */
  readonly when: string
}

const KEYS = 9
const BUFFERS = new ReadBuffers(0)

// ------------------------------------------------------------------------------------------------------------- appending

function newRecords({ role, config }: KnownPartition, life: Life, random: SimRandom): NewRecord[] {
  const tombstones = role === 'keyed' || (role === 'followed' && config.cleanupPolicy.compact) ? 0.2 : 0
  return Array.from({ length: 1 + random.below(3) }, () => ({
    key: Buffer.from(`k${random.below(KEYS)}`),
    value: random.chance(tombstones)
      ? null
      : Buffer.from(`${life.nextValue()}-${'x'.repeat(random.below(random.pick([40, 400])))}`),
    timestampMs: life.nowMs() - random.below(40),
  }))
}

/** Resolves to false when the batch was refused or nobody will ever know. */
async function appendOne(life: Life, partition: LifePartition, bytes: Buffer): Promise<boolean> {
  const { log, known } = partition
  const result = log.append(bytes, known.leaderEpoch)
  if (result.errorCode !== 0) {
    assert(
      partition.gone || life.troubled,
      `${life.when}: append to ${known.ledger.name}: ${result.errorMessage}`,
    )
    await life.sleep(2)
    return false
  }
  known.ledger.appended(bytes, life.nowMs())
  if (!(await partition.whenWritten(result.lastOffset + 1))) return false
  known.ledger.promised(result.lastOffset + 1)
  life.seen.acknowledged += batch.recordCount(bytes, 0)
  return true
}

/** A leader's partition is written to: by producers without a name, and by one with transactions. */
export async function appendAsLeader(life: Life, partition: LifePartition, random: SimRandom): Promise<void> {
  const producer = { producerId: life.newProducerId(), producerEpoch: 0 }
  const transactions = partition.known.role === 'keyed' || random.chance(0.3)
  const pending = new Set<Promise<unknown>>()
  let baseSequence = 0
  let open = false
  const send = (bytes: Buffer): void => {
    const sent = appendOne(life, partition, bytes).finally(() => pending.delete(sent))
    pending.add(sent)
  }
  while (!life.stopping && !partition.gone) {
    if (transactions && open && random.chance(0.35)) {
      const type = random.pick(['COMMIT', 'ABORT', 'ABORT'] as const)
      if (await appendOne(life, partition, buildControlBatch(type, 0, producer, life.nowMs()))) open = false
      life.seen.count(`transaction: ${type}`)
    }
    const records = newRecords(partition.known, life, random)
    if (transactions && random.chance(0.5)) {
      const options = { ...producer, baseSequence, transactional: true }
      if (await appendOne(life, partition, buildBatch(records, options))) {
        baseSequence += records.length
        open = true
      } else if (!partition.gone && !life.troubled) return
    } else send(buildBatch(records))
    if (pending.size > 2 || random.chance(0.3)) await life.sleep(random.fraction() * 8)
    if (pending.size > 4) await Promise.race(pending)
  }
  await Promise.all(pending)
}

/** As a coordinator does that finds them open after a restart: what was decided stays, the rest is aborted. */
export async function endOpenTransactions(life: Life, partition: LifePartition): Promise<void> {
  const { log, known } = partition
  const open = log.producers.describe().filter(({ currentTxnStartOffset }) => currentTxnStartOffset >= 0)
  const expected = known.ledger.openProducers()
  const found = new Set(open.map(({ producerId }) => producerId))
  for (const producerId of expected)
    assert(
      found.has(producerId),
      `${life.when}: ${known.ledger.name} forgot the transaction of ${producerId}`,
    )
  for (const { producerId, producerEpoch } of open) {
    const type = known.ledger.decisionOf(producerId) ?? 'ABORT'
    await appendOne(life, partition, buildControlBatch(type, 0, { producerId, producerEpoch }, life.nowMs()))
  }
}

/** A follower: what comes is the leader's, and now and then the end of it turns out to be nobody's. */
export async function follow(life: Life, partition: LifePartition, random: SimRandom): Promise<void> {
  const { log, known } = partition
  const { ledger } = known
  while (!life.stopping && !partition.gone) {
    const count = 1 + random.below(4)
    for (let i = 0; i < count && !partition.gone; i++)
      await appendFetched(life, partition, fetched(life, partition, random))
    const range = log.writtenEndOffset - known.highWatermark
    if (range > 0 && random.chance(0.6))
      known.highWatermark = ledger.batchStart(known.highWatermark + random.below(range + 1))
    if (partition.gone || life.stopping) return
    if (random.chance(0.15)) await startAnew(life, partition, random)
    else if (random.chance(0.5)) await truncate(life, partition, random)
    if (random.chance(0.3)) await life.sleep(random.fraction() * 6)
  }
}

/** As a leader answers a fetch: several batches, with gaps where it compacted, of one epoch or more, the last perhaps torn. */
function fetched(life: Life, { log, known }: LifePartition, random: SimRandom): Buffer {
  let offset = log.logEndOffset
  const batches = Array.from({ length: 1 + random.below(4) }, () => {
    if (known.config.cleanupPolicy.compact && random.chance(0.1)) offset += 1 + random.below(5)
    if (random.chance(0.1)) known.leaderEpoch += 1
    const bytes = buildBatch(newRecords(known, life, random))
    batch.setBaseOffset(bytes, 0, offset)
    batch.setPartitionLeaderEpoch(bytes, 0, known.leaderEpoch)
    offset = batch.lastOffset(bytes, 0) + 1
    return bytes
  })
  const whole = Buffer.concat(batches)
  return random.chance(0.2) ? whole.subarray(0, whole.length - 1 - random.below(60)) : whole
}

async function appendFetched(life: Life, partition: LifePartition, bytes: Buffer): Promise<void> {
  const { log, known } = partition
  const { ledger } = known
  const startOffset = log.logEndOffset
  const result = log.appendAsFollower(bytes)
  if (result.errorCode !== 0) {
    const text = `${life.when}: ${ledger.name} does not follow: ${result.errorMessage}`
    assert(partition.gone || life.troubled, text)
    await life.sleep(2)
    return
  }
  const endOffset = log.logEndOffset
  const taken = wholeBelow(bytes, endOffset)
  // Without a descriptor for the next segment it takes less.
  const left = wholeBelow(bytes, Infinity).length - taken.length
  assert(left === 0 || life.troubled, `${life.when}: ${ledger.name} left ${left} bytes out`)
  ledger.appended(taken, life.nowMs())
  if (taken.length === 0) return
  assert.equal(ledger.endOffset, endOffset, `${life.when}: ${ledger.name} ends elsewhere`)
  ledger.checkEpochs(log.epochs, life.when)
  if (!(await partition.whenWritten(endOffset))) return
  ledger.promised(endOffset)
  life.seen.acknowledged += endOffset - startOffset
  life.seen.count('followed')
}

/** The whole batches of a buffer that end below `endOffset`. */
function wholeBelow(bytes: Buffer, endOffset: number): Buffer {
  let at = 0
  while (bytes.length - at >= batch.BATCH_OVERHEAD) {
    const end = at + batch.batchSizeBytes(bytes, at)
    if (end > bytes.length || batch.lastOffset(bytes, at) >= endOffset) break
    at = end
  }
  return bytes.subarray(0, at)
}

async function truncate(life: Life, partition: LifePartition, random: SimRandom): Promise<void> {
  const { log, known } = partition
  // An unclean election takes back what was committed.
  const unclean = random.chance(0.2)
  const least = Math.max(unclean ? 0 : known.highWatermark, log.logStartOffset)
  const anywhere = least + random.below(Math.max(1, log.logEndOffset - least))
  const offset = unclean ? known.ledger.batchStart(anywhere) : anywhere
  known.ledger.truncating(offset)
  known.highWatermark = Math.min(known.highWatermark, offset)
  await log.truncateTo(offset)
  known.leaderEpoch += 1
  if (partition.gone) return
  // Where it was told to, or where the batch began that it fell into.
  known.ledger.truncated(log.logEndOffset)
  known.ledger.checkEpochs(log.epochs, life.when)
  life.seen.count(unclean ? 'truncated below the high watermark' : 'truncated')
}

async function startAnew(life: Life, partition: LifePartition, random: SimRandom): Promise<void> {
  const { log, known } = partition
  // Behind what the leader still has, or, after an unclean election, before what it has at all.
  const ahead = random.chance(0.5)
  const offset = ahead ? log.logEndOffset + random.below(20) : random.below(log.logStartOffset + 1)
  // Until it holds something again nobody may read it.
  known.highWatermark = 0
  partition.startedAnew = true
  known.ledger.restarting(offset)
  await log.truncateFullyAndStartAt(offset)
  known.leaderEpoch += 1
  if (partition.gone) return
  known.ledger.restarted(offset)
  known.highWatermark = offset
  life.seen.count(ahead ? 'started anew' : 'started anew further back')
}

// --------------------------------------------------------------------------------------------------------------- reading

/** Reads on, or anywhere, as read_uncommitted or read_committed, and holds what comes against the ledger. */
export async function read(life: Life, partition: LifePartition, random: SimRandom): Promise<void> {
  let nextOffset = -1
  while (!life.stopping && !partition.gone) {
    const { log } = partition
    const start = log.logStartOffset
    const committed = random.chance(0.5)
    const limit = Math.max(start, committed ? partition.lastStableOffset : partition.highWatermark)
    const readsOn = nextOffset >= start && nextOffset <= limit && random.chance(0.7)
    const from = readsOn ? nextOffset : Math.max(0, start - random.below(2) + random.below(limit - start + 2))
    nextOffset = await readOnce(life, partition, from, limit, committed, random)
    await life.sleep(random.fraction() * random.pick([1, 5, 5, 20]))
  }
}

/** Resolves to where to read on, -1 for anywhere. */
async function readOnce(
  life: Life,
  partition: LifePartition,
  fromOffset: number,
  limitOffset: number,
  committed: boolean,
  random: SimRandom,
): Promise<number> {
  const { log, known } = partition
  const { ledger } = known
  const { generation } = ledger
  const startOffset = log.logStartOffset
  const index = log.abortedTransactions
  const result = await sendable(partition, fromOffset, limitOffset, random)
  const aborted = committed ? index.within(fromOffset, result.nextOffset) : []
  // A connection takes its time, and the bytes have to be there for as long.
  if (random.chance(0.2)) await life.sleep(random.fraction() * 30)
  const bytes = bytesOf(result)
  const { gone } = partition
  if (!gone) ledger.checkStart(log.logStartOffset, life.nowMs(), life.when)
  if (result.errorCode === ErrorCode.OFFSET_OUT_OF_RANGE) {
    // What is under way has cut the log for its readers, or begun it anew further back, before the ledger hears of it.
    const isCutOff = ledger.isCutting && fromOffset > log.logEndOffset
    const isOut =
      fromOffset < Math.max(startOffset, log.logStartOffset) ||
      fromOffset > limitOffset ||
      isCutOff ||
      generation !== ledger.generation
    assert(isOut || gone, `${life.when}: ${ledger.name}: ${fromOffset} is said to be out of range`)
    life.seen.count('read out of range')
    return -1
  }
  if (result.errorCode !== 0) {
    const text = `${life.when}: ${ledger.name} read at ${fromOffset}: error ${result.errorCode}`
    const startsAnew = result.errorCode === ErrorCode.NOT_LEADER_OR_FOLLOWER && partition.startedAnew
    assert(partition.gone || life.troubled || startsAnew, text)
    life.seen.count(partition.removed ? 'read of a deleted topic' : 'read refused')
    return -1
  }
  if (bytes.length === 0 && (gone || fromOffset >= limitOffset)) return -1
  assert(
    fromOffset >= startOffset,
    `${life.when}: ${ledger.name}: ${fromOffset} was read below ${startOffset}`,
  )
  const batches = ledger.checkRead({ fromOffset, limitOffset, bytes, generation }, life.nowMs(), life.when)
  life.seen.count(partition.removed ? 'read of a deleted topic' : 'read')
  if (committed && generation === ledger.generation && !gone) {
    ledger.checkCommitted(batches, aborted, fromOffset, life.when)
    if (aborted.length > 0) life.seen.count('aborted transaction hidden')
  }
  return batches.at(-1) === undefined ? -1 : batches.at(-1)!.lastOffset + 1
}

function sendable(
  partition: LifePartition,
  fromOffset: number,
  limitOffset: number,
  random: SimRandom,
): Promise<SendableRead> {
  const maxBytes = random.pick([1, 300, 3000, 200_000])
  const slices = random.chance(0.5)
  return new Promise((resolve) =>
    readToSend(partition.log, fromOffset, maxBytes, limitOffset, true, BUFFERS, slices, resolve),
  )
}

/** As a socket takes them: slices are read from the file now. */
function bytesOf(result: SendableRead): Buffer {
  const parts = result.pieces.map((piece) => {
    if (Buffer.isBuffer(piece)) return piece
    const bytes = piece instanceof SimFileSlice ? piece.take(0, piece.length) : Buffer.from(bufferOf(piece))
    piece.release()
    return bytes
  })
  return Buffer.concat(parts)
}

function bufferOf(piece: object): Buffer {
  assert('buffer' in piece && Buffer.isBuffer(piece.buffer))
  return piece.buffer
}

/** ListOffsets: the first record at or after a time, or the newest. */
export async function lookUp(life: Life, partition: LifePartition, random: SimRandom): Promise<void> {
  while (!life.stopping && !partition.gone) {
    await life.sleep(random.fraction() * 12)
    if (partition.gone) return
    const { log, known } = partition
    const { generation, isCutting } = known.ledger
    const toOffset = partition.highWatermark
    const startOffset = log.logStartOffset
    // The newest may be on its way into the file, and is no answer yet.
    const largest = log.logEndOffset === toOffset && random.chance(0.3)
    const timestampMs = life.nowMs() - random.below(random.pick([20, 100, 400]))
    const answer = largest
      ? log.offsetOfMaxTimestamp(lookupWork())
      : log.offsetForTimestamp(timestampMs, toOffset, lookupWork())
    const found = await answer.catch((error: unknown) => {
      assert(
        partition.gone || life.troubled,
        `${life.when}: lookup in ${known.ledger.name}: ${String(error)}`,
      )
      return undefined
    })
    const range = { fromOffset: log.logStartOffset, toOffset }
    // The newest may have been deleted meanwhile.
    if (largest && range.fromOffset !== startOffset) continue
    if (found === undefined || partition.gone || life.troubled || generation !== known.ledger.generation)
      continue
    // Nobody asks a follower that is being cut.
    if (isCutting) continue
    if (largest) known.ledger.checkLargest(found, range, life.nowMs(), life.when)
    else known.ledger.checkLookup(timestampMs, found, range, life.nowMs(), life.when)
    life.seen.count(found === null ? 'lookup without result' : 'lookup')
  }
}

// ---------------------------------------------------------------------------------------------------------- administration

/** DeleteRecords. */
export async function deleteRecords(life: Life, partition: LifePartition, random: SimRandom): Promise<void> {
  while (!life.stopping && !partition.gone) {
    await life.sleep(5 + random.fraction() * 30)
    if (partition.gone || life.stopping) return
    const { log, known } = partition
    const range = partition.highWatermark - log.logStartOffset
    if (range <= 0) continue
    const offset = log.logStartOffset + random.below(random.chance(0.1) ? range + 1 : Math.ceil(range / 2))
    known.ledger.deleteRequested(offset)
    log.deleteRecordsBefore(offset)
    const isDurable = await life.manager.checkpointLogStartOffsets()
    if (partition.gone || !isDurable(log)) return
    known.ledger.deleteAcknowledged(offset)
    known.ledger.checkStart(log.logStartOffset, life.nowMs(), life.when)
    life.seen.count('records deleted')
  }
}

/** The topic's configuration is changed at run time. */
export async function reconfigure(life: Life, partition: LifePartition, random: SimRandom): Promise<void> {
  const { known } = partition
  while (!life.stopping && !partition.gone) {
    await life.sleep(5 + random.fraction() * 30)
    if (partition.gone || life.stopping) return
    const compact = known.role === 'keyed' || (known.role === 'events' && random.chance(0.3))
    const config = {
      ...known.config,
      segmentBytes: random.pick([800, 2000, 5000]),
      retentionBytes: random.pick([-1, 0, 3000, 10_000]),
      retentionMs: random.pick([-1, 60, 200, 1000]),
      cleanupPolicy: { compact, delete: known.role === 'events' && (!compact || random.chance(0.5)) },
    }
    known.ledger.configRequested(config, life.nowMs())
    known.config = config
    life.manager.updateConfig(known.topic, known.partition, config)
    known.ledger.configApplied(config)
    life.seen.count('configuration changed')
  }
}
