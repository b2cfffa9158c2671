import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32Ieee } from '../../../protocol/crc32c.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { buildControlBatch } from '../../../protocol/records/record-builder.ts'
import { syncDirectory, writeWhole } from '../../../src/log/files/disk-calls.ts'
import { OffsetIndex } from '../../../src/log/segment/offset-index.ts'
import type { World } from '../../../src/ports.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { content, makeBatch, NOW, segmentNames, TestLog } from '../log-fixture.ts'
import { lookupWork } from '../../support/lookup-work.ts'

const CONFIG = { segmentBytes: 700, indexIntervalBytes: 150 }
const HOME = '/data/t-0'

interface Files {
  readonly [name: string]: Buffer
}

function filesOf(world: World, directory: string): Files {
  return Object.fromEntries(
    world.disk
      .list(directory)
      .map((name) => [name, Buffer.from(world.disk.readFile(`${directory}/${name}`))]),
  )
}

async function writeFiles(world: World, directory: string, files: Files): Promise<void> {
  world.disk.makeDirectory(directory)
  for (const [name, bytes] of Object.entries(files)) {
    await writeWhole(world.disk, `${directory}/${name}`, bytes, true)
  }
}

/** Runs over a log of 12 batches in several segments, closed with or without the side files of a clean stop. */
async function withFiles(
  clean: boolean,
  body: (world: World, files: Files, batches: Buffer[]) => Promise<void>,
): Promise<void> {
  const sim = new SimWorld(11)
  await sim.run(async () => {
    const { world } = sim.start()
    const test = await TestLog.open(world, HOME, CONFIG)
    for (let i = 0; i < 12; i++) {
      const producer = { producerId: 5, producerEpoch: 0, baseSequence: i * 2 }
      await test.append(makeBatch(2, 40 + i, producer), Math.floor(i / 5))
    }
    await test.flush()
    const batches = (await test.readAll()).map((bytes) => Buffer.from(bytes))
    await test.log.close(clean)
    await body(world, filesOf(world, HOME), batches)
  })
}

function lastLog(files: Files): string {
  return Object.keys(files)
    .filter((name) => name.endsWith('.log'))
    .sort()
    .at(-1)!
}

test('the last segment cut at every byte: always a valid prefix', async () => {
  await withFiles(false, async (world, files, batches) => {
    const name = lastLog(files)
    const base = Number(name.slice(0, 20))
    const bytes = files[name]!
    for (let cut = 0; cut <= bytes.length; cut++) {
      const directory = `/data/cut${cut}-0`
      await writeFiles(world, directory, { ...files, [name]: bytes.subarray(0, cut) })
      const test = await TestLog.open(world, directory, CONFIG, { recoveryPoint: base })
      let whole = 0
      let expected = base
      while (whole < cut && whole + batch.batchSizeBytes(bytes, whole) <= cut) {
        expected = batch.lastOffset(bytes, whole) + 1
        whole += batch.batchSizeBytes(bytes, whole)
      }
      assert.equal(test.log.logEndOffset, expected)
      // The upper bytes of an offset look like room that was reserved.
      const zeros = bytes.subarray(whole, cut).every((byte) => byte === 0)
      assert.deepEqual(test.log.recovery, {
        scannedBytes: whole,
        truncatedBytes: zeros ? 0 : cut - whole,
        unusedBytes: zeros ? cut - whole : 0,
        removedSegments: 0,
        midLogCorruption: false,
        unclean: false,
        problems: [],
      })
      assert.deepEqual(await test.readAll(), batches.slice(0, expected / 2))
      assert.equal(test.log.producers.describe()[0]?.lastSequence, expected - 1)
      assert.equal(world.disk.open(`${directory}/${name}`, 'read').sizeBytes, whole)
      const next = makeBatch(2, 5, { producerId: 5, producerEpoch: 0, baseSequence: expected })
      assert.equal(await test.append(next, 9), expected)
      await test.log.close(false)
    }
  })
})

test('a changed byte anywhere in the log is found, and nothing good is destroyed silently', async () => {
  await withFiles(false, async (world, files, batches) => {
    const names = Object.keys(files)
      .filter((name) => name.endsWith('.log'))
      .sort()
    let before = 0
    for (const name of names) {
      const bytes = files[name]!
      for (let at = 0; at < bytes.length; at += 13) {
        const damaged = Buffer.from(bytes)
        damaged[at] = (damaged[at] ?? 0) ^ 0x40
        let start = 0
        let good = before
        while (start + batch.batchSizeBytes(bytes, start) <= at) {
          start += batch.batchSizeBytes(bytes, start)
          good++
        }
        // The leader epoch is outside the checksum, and so is what lies in the upper bytes of an offset.
        const field = at - start
        if (field >= 12 && field < 16) continue
        const directory = `/data/flip${names.indexOf(name)}x${at}-0`
        await writeFiles(world, directory, { ...files, [name]: damaged })
        const test = await TestLog.open(world, directory, CONFIG)
        const survivors = await test.readAll()
        const { recovery } = test.log
        if (field < 8) {
          assert.ok(survivors.length <= batches.length)
        } else {
          assert.deepEqual(survivors, batches.slice(0, good))
          const last = good === batches.length - 1
          assert.equal(recovery?.midLogCorruption, !last)
          const kept = segmentNames(world, directory, '').filter((file) => file.includes('.corrupt-'))
          assert.equal(kept.length > 0, !last)
          if (!last) {
            const copy = world.disk.readFile(`${directory}/${name}.corrupt-${start}`)
            assert.deepEqual(copy, damaged.subarray(start))
          }
        }
        await test.log.close(false)
      }
      before += batches.filter((bytes2) => inSegment(bytes2, name, names)).length
    }
  })
})

function inSegment(bytes: Buffer, name: string, names: readonly string[]): boolean {
  const offset = batch.baseOffset(bytes, 0)
  const next = names[names.indexOf(name) + 1]
  return offset >= Number(name.slice(0, 20)) && (next === undefined || offset < Number(next.slice(0, 20)))
}

test('index files that are missing, cut, zeroed or garbage are made again', async () => {
  await withFiles(true, async (world, files, batches) => {
    const damages: Record<string, (bytes: Buffer) => Buffer | null> = {
      missing: () => null,
      cut: (bytes) => bytes.subarray(0, bytes.length - 3),
      zeroed: (bytes) => Buffer.alloc(bytes.length + 24),
      garbage: (bytes) => Buffer.alloc(bytes.length, 0xe7),
      preallocated: (bytes) => Buffer.concat([bytes, Buffer.alloc(24 * 10)]),
    }
    for (const suffix of ['.index', '.timeindex']) {
      for (const [kind, damage] of Object.entries(damages)) {
        for (const cleanShutdown of [true, false]) {
          const directory = `/data/${kind}${suffix}${cleanShutdown}-0`
          const changed = Object.entries(files).flatMap(([name, bytes]): [string, Buffer][] => {
            const now = name.endsWith(suffix) ? damage(bytes) : bytes
            return now === null ? [] : [[name, now]]
          })
          await writeFiles(world, directory, Object.fromEntries(changed))
          const more = { cleanShutdown, recoveryPoint: 24 }
          const test = await TestLog.open(world, directory, CONFIG, more)
          assert.equal(test.log.logEndOffset, 24)
          for (const bytes of batches) {
            const offset = batch.baseOffset(bytes, 0)
            assert.deepEqual((await test.read(offset, 1)).buffers, [bytes])
          }
          const timestamp = batch.baseTimestamp(batches[3]!, 0)
          assert.ok((await test.log.offsetForTimestamp(timestamp, Infinity, lookupWork())) !== null)
          await test.log.close(true)
        }
      }
    }
  })
})

test('side files damaged or gone: producers and epochs come back from the log', async () => {
  await withFiles(true, async (world, files) => {
    for (const suffix of ['.snapshot', 'leader-epoch-checkpoint', 'partition.metadata']) {
      for (const damage of ['gone', 'empty', 'garbage']) {
        const directory = `/data/${suffix}${damage}-0`
        const changed = Object.entries(files).flatMap(([name, bytes]): [string, Buffer][] => {
          if (!name.endsWith(suffix)) return [[name, bytes]]
          if (damage === 'gone') return []
          return [[name, damage === 'empty' ? Buffer.alloc(0) : Buffer.alloc(bytes.length, 0x5a)]]
        })
        await writeFiles(world, directory, Object.fromEntries(changed))
        const test = await TestLog.open(world, directory, CONFIG)
        assert.equal(test.log.logEndOffset, 24)
        assert.equal(test.log.producers.describe()[0]?.lastSequence, 23)
        assert.deepEqual(test.log.epochs.entries(), [
          { epoch: 0, startOffset: 0 },
          { epoch: 1, startOffset: 10 },
          { epoch: 2, startOffset: 20 },
        ])
        assert.equal(test.log.topicId, 'AAAAAAAAQACAAAAAAAAAAQ')
        await test.log.close(true)
      }
    }
  })
})

test('a transaction index that is damaged comes back from the markers in the log', async () => {
  const sim = new SimWorld(11)
  await sim.run(async () => {
    const { world } = sim.start()
    const log = await TestLog.open(world, HOME, CONFIG)
    for (let i = 0; i < 12; i++) {
      const producer = { producerId: 20 + (i % 3), producerEpoch: 0 }
      await log.append(
        makeBatch(1, 60, { ...producer, baseSequence: Math.floor(i / 3), transactional: true }),
      )
      await log.append(buildControlBatch(i % 2 === 0 ? 'ABORT' : 'COMMIT', 0, producer, NOW))
    }
    const aborted = log.log.abortedTransactions.within(0, 100)
    assert.equal(aborted.length, 6)
    await log.log.close(true)
    const files = filesOf(world, HOME)
    const indexes = Object.keys(files).filter((name) => name.endsWith('.txnindex'))
    assert(indexes.length > 1)
    for (const damaged of indexes)
      for (const [kind, damage] of Object.entries({
        cut: (bytes: Buffer) => bytes.subarray(0, bytes.length - 1),
        zeroed: (bytes: Buffer) => Buffer.alloc(bytes.length),
        garbage: (bytes: Buffer) => Buffer.alloc(bytes.length, 0xe7),
      }))
        for (const cleanShutdown of [true, false]) {
          const directory = `/data/${damaged}${kind}${cleanShutdown}-0`
          await writeFiles(world, directory, { ...files, [damaged]: damage(files[damaged]!) })
          const again = await TestLog.open(world, directory, CONFIG, { cleanShutdown, recoveryPoint: 24 })
          assert.deepEqual(again.log.abortedTransactions.within(0, 100), aborted)
          assert.equal(again.log.logEndOffset, 24)
          await again.log.close(true)
        }
  })
})

test('what a crash left of a deletion or a compaction is finished or undone', async () => {
  await withFiles(true, async (world, files, batches) => {
    const logs = Object.keys(files)
      .filter((name) => name.endsWith('.log'))
      .sort()
    const [first, second] = [logs[0]!, logs[1]!]
    const secondBase = Number(second.slice(0, 20))
    const compacted = batches[1]!

    const cases: [string, Files, number[]][] = [
      [
        'deleted',
        { [`${first}.deleted`]: Buffer.from('x') },
        batches.map((bytes) => batch.baseOffset(bytes, 0)),
      ],
      ['cleaned', { [`${first}.cleaned`]: compacted }, batches.map((bytes) => batch.baseOffset(bytes, 0))],
      [
        'half',
        { [`${first}.swap`]: compacted, '00000000000000000000.index.cleaned': Buffer.alloc(0) },
        batches.map((bytes) => batch.baseOffset(bytes, 0)),
      ],
      [
        'swap',
        { [`${first}.swap`]: compacted },
        [2, ...batches.map((bytes) => batch.baseOffset(bytes, 0)).filter((offset) => offset >= secondBase)],
      ],
    ]
    for (const [kind, extra, offsets] of cases) {
      const directory = `/data/${kind}-0`
      await writeFiles(world, directory, { ...files, ...extra })
      const test = await TestLog.open(world, directory, CONFIG, { cleanShutdown: true, gapLimit: secondBase })
      const found = (await test.readAll()).map((bytes) => batch.baseOffset(bytes, 0))
      assert.deepEqual(found, offsets, kind)
      const left = segmentNames(world, directory, '').filter((name) =>
        /\.(swap|cleaned|deleted|tmp)$/.test(name),
      )
      assert.deepEqual(left, [])
      await test.log.close(true)
    }
  })
})

test('messages of magic 1 in an old directory keep their offsets', async () => {
  const sim = new SimWorld(5)
  await sim.run(async () => {
    const { world } = sim.start()
    const message = (offset: number): Buffer => {
      const body = Buffer.from('0100000000018bcfe56800ffffffff0000000178', 'hex')
      const bytes = Buffer.alloc(16 + body.length)
      bytes.writeBigInt64BE(BigInt(offset), 0)
      bytes.writeInt32BE(4 + body.length, 8)
      bytes.writeUInt32BE(crc32Ieee(body), 12)
      body.copy(bytes, 16)
      return bytes
    }
    await writeFiles(world, HOME, {
      '00000000000000000000.log': Buffer.concat([message(0), message(1), message(2)]),
    })
    const test = await TestLog.open(world, HOME)
    assert.equal(test.log.logEndOffset, 3)
    assert.equal(await test.append(makeBatch(1)), 3)
    assert.equal((await test.readAll(1)).length, 3)
    await test.log.close(true)
  })
})

test('index entries are those of Kafka: last offset of a batch, position of the batch', async () => {
  await withFiles(true, async (_world, files) => {
    const name = '00000000000000000000'
    const log = files[`${name}.log`]!
    const index = OffsetIndex.decode(files[`${name}.index`]!, 0, log.length)
    assert.ok(index !== null && index.count > 0)
    for (let at = 0; at < log.length; at += batch.batchSizeBytes(log, at)) {
      const position = index.positionBefore(batch.lastOffset(log, at))
      assert.ok(position <= at)
    }
    assert.equal(files['partition.metadata']?.toString(), 'version: 0\ntopic_id: AAAAAAAAQACAAAAAAAAAAQ')
    assert.equal(files['leader-epoch-checkpoint']?.toString(), '0\n3\n0 0\n1 10\n2 20\n')
  })
})

test('crashes at random moments: what was acknowledged as durable is there, the rest is a prefix', async () => {
  const seeds =
    process.env['SAMSA_SEED'] === undefined
      ? Array.from({ length: 15 }, (_, i) => i + 1)
      : [Number(process.env['SAMSA_SEED'])]
  for (const seed of seeds) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const { random } = sim
      const { disk } = sim.start().world
      disk.makeDirectory('/data')
      await syncDirectory(disk, '/')
      const appended: string[] = []
      let acknowledged = 0
      let recoveryPoint = 0
      for (let life = 0; life < 6; life++) {
        const durable = random.chance(0.5)
        const config = {
          segmentBytes: 1500,
          indexIntervalBytes: 200,
          fileDeleteDelayMs: 5,
          ...(durable ? { flushMessages: 1 } : {}),
        }
        const machine = sim.start()
        const test = await TestLog.open(machine.world, HOME, config, { recoveryPoint })
        const found = (await test.readAll()).map(content)
        assert.ok(found.length >= acknowledged, `${found.length} of ${acknowledged} acknowledged`)
        assert.ok(
          found.every((bytes, i) => bytes === appended[i]),
          'not a prefix',
        )
        appended.length = found.length
        acknowledged = Math.max(acknowledged, found.length)
        const rounds = random.below(25)
        for (let round = 0; round < rounds; round++) {
          for (let i = random.below(4); i >= 0; i--) {
            const sequence = appended.length
            const bytes = makeBatch(1, random.below(300), {
              producerId: 1,
              producerEpoch: 0,
              baseSequence: sequence,
            })
            appended.push(content(bytes))
            assert.equal(test.log.append(bytes, life).errorCode, 0)
          }
          if (random.chance(0.5)) await test.reached(test.log.logEndOffset)
          if (random.chance(0.1)) test.log.roll()
          if (random.chance(0.2)) await test.flush()
          acknowledged = Math.max(acknowledged, test.log.durableEndOffset)
          recoveryPoint = test.log.recoveryPoint
        }
        if (random.chance(0.3)) {
          await test.log.close(true)
          acknowledged = appended.length
          recoveryPoint = test.log.recoveryPoint
        }
        await (random.chance(0.7) ? sim.powerLoss(machine) : sim.kill(machine))
      }
    })
  }
})

test('what a failed flush left off the device is not believed by a start on the same kernel', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const first = sim.start()
      first.world.disk.makeDirectory('/data')
      await syncDirectory(first.world.disk, '/')
      const log = await TestLog.open(first.world, HOME, { segmentBytes: 1000 })
      for (let i = 0; i < 10; i++) await log.append(makeBatch(1, 200))
      assert.equal(await log.flush(), true)
      const flushed = log.log.durableEndOffset
      for (let i = 0; i < 3; i++) await log.append(makeBatch(1, 200))
      sim.faults.add({ operation: 'sync', code: 'EIO', path: /\.log$/ })
      assert.equal(await log.flush(), false)
      sim.faults.clear()
      await sim.kill(first)
      const second = sim.start()
      const served = (await (await TestLog.open(second.world, HOME)).readAll()).map(content)
      assert.ok(served.length >= flushed, `${served.length} of ${flushed}`)
      await sim.powerLoss(second)
      const found = (await (await TestLog.open(sim.start().world, HOME)).readAll()).map(content)
      assert.deepEqual(found, served)
    })
  }
})
