import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as batch from '../../protocol/records/record-batch.ts'
import { readAt, syncDirectory, writeWhole } from '../../src/log/files/disk-calls.ts'
import type { RecoveryReport } from '../../src/log/log-types.ts'
import type { World } from '../../src/ports.ts'
import { SimRandom, seedsFromEnvironment } from '../simulator/sim-random.ts'
import { SimWorld } from '../simulator/sim-world.ts'
import { makeBatch, segmentNames, TestLog } from './log-fixture.ts'

const CONFIG = { segmentBytes: 3000, indexIntervalBytes: 500 }
const BLOCK_BYTES = 4096

/** What recovery is to say of a directory. */
interface Verdict {
  /** Batches that are still there; -1: some prefix. */
  readonly survivors: number
  readonly unclean: boolean
  /** Something that is no reserved or stale room was cut off; null: as the old bytes happen to lie. */
  readonly torn: boolean | null
}

interface Place {
  readonly random: SimRandom
  /** All batches of the log as they lie in the files. */
  readonly batches: readonly Buffer[]
  /** Batches of each segment. */
  readonly counts: readonly number[]
  /** Log files, oldest first. Changed in place. */
  readonly files: Buffer[]
}

type Mutation = (place: Place) => Verdict

const last = <T>(list: readonly T[]): T => list.at(-1)!
const sum = (numbers: readonly number[]): number => numbers.reduce((total, count) => total + count, 0)

/** A batch of the last segment, with its position in the file. */
function pickInLast({ random, files }: Place): { index: number; count: number; at: number; size: number } {
  const positions: number[] = []
  const file = last(files)
  for (let at = 0; at < file.length; at += batch.batchSizeBytes(file, at)) positions.push(at)
  const index = random.below(positions.length)
  const at = positions[index]!
  return { index, count: positions.length, at, size: batch.batchSizeBytes(file, at) }
}

function beforeLast(place: Place): number {
  return sum(place.counts.slice(0, -1))
}

function replaceLast(place: Place, file: Buffer): void {
  place.files[place.files.length - 1] = file
}

function insert(file: Buffer, at: number, bytes: Buffer): Buffer {
  return Buffer.concat([file.subarray(0, at), bytes, file.subarray(at)])
}

function garbage(random: SimRandom, length: number): Buffer {
  const bytes = random.bytes(length)
  // Zeros would be no garbage.
  bytes[0] = 0xa5
  return bytes
}

/** Batches of an earlier life of a recycled file: all below the base of the segment. */
function stale(place: Place, least: number): Buffer {
  const older = place.batches.slice(0, place.counts[0])
  const parts: Buffer[] = []
  for (let bytes = 0, i = place.random.below(older.length); bytes < least; i++) {
    const part = older[i % older.length]!
    parts.push(part)
    bytes += part.length
  }
  return Buffer.concat(parts)
}

const intact = (place: Place): Verdict => ({ survivors: place.batches.length, unclean: false, torn: false })

const mutations: Record<string, Mutation> = {
  'nothing changed': intact,
  'a bit flipped under a checksum': (place) => {
    const { index, count, at, size } = pickInLast(place)
    const file = last(place.files)
    const position = at + batch.CRC_START + place.random.below(size - batch.CRC_START)
    file[position] = file[position]! ^ (1 << place.random.below(8))
    const unclean = index < count - 1
    return { survivors: beforeLast(place) + index, unclean, torn: true }
  },
  'a batch zeroed': (place) => {
    const { index, count, at, size } = pickInLast(place)
    last(place.files).fill(0, at, at + size)
    // Of the last one nothing is left that could tell it from room that was reserved.
    const unclean = index < count - 1
    return { survivors: beforeLast(place) + index, unclean, torn: unclean }
  },
  'cut short within a batch': (place) => {
    const { index, at, size } = pickInLast(place)
    replaceLast(place, last(place.files).subarray(0, at + 20 + place.random.below(size - 20)))
    return { survivors: beforeLast(place) + index, unclean: false, torn: true }
  },
  'cut short between batches': (place) => {
    const { index, at } = pickInLast(place)
    replaceLast(place, last(place.files).subarray(0, at))
    return { survivors: beforeLast(place) + index, unclean: false, torn: false }
  },
  'a batch there twice': (place) => {
    const { index, at, size } = pickInLast(place)
    const file = last(place.files)
    replaceLast(place, insert(file, at + size, file.subarray(at, at + size)))
    return { survivors: beforeLast(place) + index + 1, unclean: true, torn: true }
  },
  'a batch of the first segment in place of one': (place) => {
    const { index, count, at, size } = pickInLast(place)
    const file = last(place.files)
    const rest = file.subarray(at + size)
    replaceLast(place, Buffer.concat([file.subarray(0, at), place.batches[0]!, rest]))
    const unclean = index < count - 1
    return { survivors: beforeLast(place) + index, unclean, torn: unclean }
  },
  'garbage in place of a batch': (place) => {
    const { index, count, at, size } = pickInLast(place)
    garbage(place.random, size).copy(last(place.files), at)
    const unclean = index < count - 1
    return { survivors: beforeLast(place) + index, unclean, torn: true }
  },
  'garbage behind the end': (place) => {
    const bytes = garbage(place.random, 1 + place.random.below(3 * BLOCK_BYTES))
    replaceLast(place, Buffer.concat([last(place.files), bytes]))
    return { survivors: place.batches.length, unclean: false, torn: true }
  },
  'the last segment empty': (place) => {
    replaceLast(place, Buffer.alloc(0))
    return { survivors: beforeLast(place), unclean: false, torn: false }
  },
  'a segment in the middle empty': (place) => {
    place.files[1] = Buffer.alloc(0)
    return { survivors: -1, unclean: true, torn: false }
  },
  'the last batch of a segment in the middle zeroed': (place) => {
    const file = place.files[1]!
    const bytes = place.batches[place.counts[0]! + place.counts[1]! - 1]!
    file.fill(0, file.length - bytes.length)
    return { survivors: place.counts[0]! + place.counts[1]! - 1, unclean: true, torn: true }
  },
  'two segments swapped': (place) => {
    const { files } = place
    ;[files[0], files[1]] = [files[1]!, files[0]!]
    return { survivors: -1, unclean: true, torn: false }
  },
  'a middle segment that is a copy of the one before': (place) => {
    place.files[1] = Buffer.from(place.files[0]!)
    return { survivors: place.counts[0]!, unclean: true, torn: true }
  },
  'room reserved behind the end': (place) => {
    const room = Buffer.alloc(place.random.below(10 * BLOCK_BYTES))
    replaceLast(place, Buffer.concat([last(place.files), room]))
    return intact(place)
  },
  'room reserved behind the end of a segment that was rolled': (place) => {
    place.files[1] = Buffer.concat([place.files[1]!, Buffer.alloc(1 + place.random.below(10 * BLOCK_BYTES))])
    return intact(place)
  },
  'a recycled file, written over to the middle of an old batch': (place) => {
    const { random } = place
    const file = last(place.files)
    const old = stale(place, file.length + 3 * BLOCK_BYTES)
    // The last two old batches stay whole; what the log wrote ends somewhere before.
    file.copy(old, 0)
    replaceLast(place, Buffer.concat([old, stale(place, random.below(BLOCK_BYTES))]))
    return intact(place)
  },
  'a recycled file, padded with zeros to the end of a block': (place) => {
    const file = last(place.files)
    const padding = Buffer.alloc((BLOCK_BYTES - (file.length % BLOCK_BYTES)) % BLOCK_BYTES)
    const old = stale(place, file.length + 3 * BLOCK_BYTES)
    Buffer.concat([file, padding]).copy(old, 0)
    replaceLast(place, old)
    return intact(place)
  },
  'a recycled file nothing was written to': (place) => {
    const survivors = beforeLast(place)
    replaceLast(place, stale(place, BLOCK_BYTES))
    return { survivors, unclean: false, torn: false }
  },
  'a recycled file, the last write torn': (place) => {
    const file = last(place.files)
    const old = stale(place, file.length + 3 * BLOCK_BYTES)
    const size = last(place.batches).length
    file.subarray(0, file.length - size + 20 + place.random.below(size - 20)).copy(old, 0)
    replaceLast(place, old)
    // The old bytes may be those that did not arrive.
    if (old.subarray(0, file.length).equals(file)) return intact(place)
    return { survivors: place.batches.length - 1, unclean: false, torn: true }
  },
  'a recycled file that lost a write': (place) => {
    const { index, count, at, size } = pickInLast(place)
    const file = last(place.files)
    stale(place, size).copy(file, at, 0, size)
    const unclean = index < count - 1
    return { survivors: beforeLast(place) + index, unclean, torn: unclean || null }
  },
}

async function makeLog(
  sim: SimWorld,
): Promise<{ world: World; place: Place; names: string[]; home: string }> {
  const { world } = sim.start()
  const home = '/data/t-0'
  const log = await TestLog.open(world, home, CONFIG)
  const random = new SimRandom(sim.random.uint32())
  let sequence = 0
  while (segmentNames(world, home).length < 3 || random.chance(0.8)) {
    const count = 1 + random.below(3)
    const producer = { producerId: 7, producerEpoch: 0, baseSequence: sequence }
    await log.append(makeBatch(count, 20 + random.below(300), producer), 0)
    sequence += count
    if (segmentNames(world, home).length > 4) break
  }
  await log.flush()
  const batches = (await log.readAll()).map((bytes) => Buffer.from(bytes))
  await log.log.close(false)
  const names = segmentNames(world, home)
  const files = names.map((name) => Buffer.from(world.disk.readFile(`${home}/${name}`)))
  const counts = files.map((file) => {
    let count = 0
    for (let at = 0; at < file.length; at += batch.batchSizeBytes(file, at)) count++
    return count
  })
  return { world, place: { random, batches, counts, files }, names, home }
}

function check(report: RecoveryReport, verdict: Verdict, what: string): void {
  assert.equal(report.unclean, verdict.unclean, `${what}: unclean, ${JSON.stringify(report)}`)
  assert.equal(report.problems.length > 0, verdict.unclean)
  const cut = report.truncatedBytes > 0 || report.removedSegments > 0
  if (verdict.torn !== null) assert.equal(cut, verdict.torn, `${what}: torn, ${JSON.stringify(report)}`)
}

for (const [what, mutate] of Object.entries(mutations)) {
  test(`recovery of a log with ${what}`, async () => {
    for (const seed of seedsFromEnvironment(1, 12)) {
      const sim = new SimWorld(seed)
      await sim.run(async () => {
        const { world, place, names, home } = await makeLog(sim)
        const verdict = mutate(place)
        for (const [i, name] of names.entries())
          await writeWhole(world.disk, `${home}/${name}`, place.files[i]!, true)
        const test = await TestLog.open(world, home, CONFIG)
        const report = test.log.recovery
        assert(report !== null)
        check(report, verdict, `seed ${seed}`)
        const found = await test.readAll()
        if (verdict.survivors >= 0) assert.deepEqual(found, place.batches.slice(0, verdict.survivors))
        // Whatever was good behind the damage is still somewhere.
        const aside = segmentNames(world, home, '').filter((name) => name.includes('.corrupt-'))
        assert.equal(aside.length > 0, report.midLogCorruption || what === 'two segments swapped')
        // The log goes on where it ends, and the next recovery has nothing to complain of.
        const end = test.log.logEndOffset
        assert.equal(await test.append(makeBatch(1, 30), 3), end)
        await test.flush()
        const { recoveryPoint } = test.log
        await test.log.close(false)
        const told = { recoveryPoint, gapLimit: test.log.lossesEnd }
        const again = await TestLog.open(world, home, CONFIG, told)
        assert.equal(again.log.logEndOffset, end + 1)
        assert.deepEqual(again.log.recovery?.problems, [])
        await again.log.close(true)
      })
    }
  })
}

test('a log that ends below its recovery point or high watermark is unclean, scanned or not', async () => {
  const sim = new SimWorld(3)
  await sim.run(async () => {
    const { world, place, names, home } = await makeLog(sim)
    const end = batch.lastOffset(last(place.batches), 0) + 1
    for (const more of [{ recoveryPoint: end + 1 }, { highWatermark: end + 1 }]) {
      const test = await TestLog.open(world, home, CONFIG, more)
      assert.equal(test.log.recovery?.unclean, true)
      assert.match(test.log.recovery.problems[0] ?? '', /^the log ends at \d+, below its/)
      await test.log.close(true)
      const clean = await TestLog.open(world, home, CONFIG, { cleanShutdown: true, ...more })
      assert.equal(clean.log.recovery?.unclean, true)
      assert.equal(clean.log.recovery.scannedBytes, 0)
      await clean.log.close(true)
    }
    for (const more of [{ recoveryPoint: end }, { highWatermark: end }]) {
      const test = await TestLog.open(world, home, CONFIG, { ...more, cleanShutdown: true })
      assert.equal(test.log.recovery, null)
      await test.log.close(true)
    }
    // All files gone: nothing to scan, and yet something is missing.
    for (const name of names) sim.image.remove(`${home}/${name}`)
    const test = await TestLog.open(world, home, CONFIG, { recoveryPoint: end })
    assert.equal(test.log.recovery?.unclean, true)
    await test.log.close(true)
  })
})

test('a log at rest is not flushed again, one that may hold what only memory has is', async () => {
  const sim = new SimWorld(5)
  await sim.run(async () => {
    const { world, place, home } = await makeLog(sim)
    await syncDirectory(world.disk, '/data')
    const end = batch.lastOffset(last(place.batches), 0) + 1
    for (const [recoveryPoint, flushes] of [
      [end, 0],
      [0, 1],
    ] as const) {
      const process = sim.start()
      const log = await TestLog.open(
        process.world,
        home,
        { ...CONFIG, segmentBytes: 1 << 20 },
        { recoveryPoint },
      )
      const synced = (process.disk.counts['sync'] ?? 0) + (process.disk.counts['syncDirectory'] ?? 0)
      assert.equal(synced > 0, flushes > 0, `${synced} flushes`)
      assert.equal(log.log.logEndOffset, end)
      await log.log.close(false)
    }
  })
})

test('spare files are removed at a start', async () => {
  const sim = new SimWorld(6)
  await sim.run(async () => {
    const { world, home } = await makeLog(sim)
    await writeWhole(world.disk, `${home}/00000000000000000003.spare`, Buffer.alloc(9000), true)
    const test = await TestLog.open(world, home, CONFIG)
    assert.deepEqual(segmentNames(world, home, '.spare'), [])
    await test.log.close(true)
  })
})

test('what is read back after a recovery survives a power loss, also what only the page cache had', async () => {
  for (const seed of seedsFromEnvironment(1, 40)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const process = sim.start()
      process.world.disk.makeDirectory('/data')
      await syncDirectory(process.world.disk, '/')
      const log = await TestLog.open(process.world, '/data/t-0', CONFIG)
      const batches = 1 + sim.random.below(20)
      for (let i = 0; i < batches; i++) await log.append(makeBatch(1, sim.random.below(300)), 0)
      await sim.kill(process)
      const second = sim.start()
      const recovered = await TestLog.open(second.world, '/data/t-0', CONFIG)
      const seen = await recovered.readAll()
      assert.equal(seen.length, batches)
      await sim.powerLoss(second)
      const third = await TestLog.open(sim.start().world, '/data/t-0', CONFIG)
      assert.deepEqual(await third.readAll(), seen)
      assert.equal(third.log.recovery?.unclean, false)
    })
  }
})

test('a large file with much unused room is gone through in a few reads', async () => {
  const sim = new SimWorld(7)
  await sim.run(async () => {
    const { world, place, names, home } = await makeLog(sim)
    const path = `${home}/${last(names)}`
    const room = 16 << 20
    await writeWhole(world.disk, path, Buffer.concat([last(place.files), Buffer.alloc(room)]), true)
    const process = sim.start()
    const test = await TestLog.open(process.world, home, CONFIG)
    assert.equal(test.log.recovery?.unusedBytes, room)
    assert((process.disk.counts['read'] ?? 0) < 100)
    const file = process.world.disk.open(path, 'read')
    assert.equal(file.sizeBytes, last(place.files).length)
    assert.equal(await readAt(file, 0, Buffer.alloc(10)), Math.min(10, file.sizeBytes))
    await test.log.close(true)
  })
})
