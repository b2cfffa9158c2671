import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as batch from '../../../protocol/records/record-batch.ts'
import { BatchScanner } from '../../../src/log/files/batch-scanner.ts'
import { writeWhole } from '../../../src/log/files/disk-calls.ts'
import { inspectEnd } from '../../../src/log/recovery/log-end.ts'
import type { File } from '../../../src/ports.ts'
import type { SimRandom } from '../../simulator/sim-random.ts'
import { seedsFromEnvironment } from '../../simulator/sim-random.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { makeBatch } from '../log-fixture.ts'

const PATH = '/segment.log'

/** Batches from `firstOffset` on, of a few bytes or of many chunks. */
function makeBatches(random: SimRandom, count: number, largest: number, firstOffset = 0): Buffer[] {
  return Array.from({ length: count }, (_, i) => {
    const bytes = makeBatch(1, random.chance(0.2) ? random.below(largest) : random.below(300))
    batch.setBaseOffset(bytes, 0, firstOffset + i)
    return bytes
  })
}

async function withFile(
  seed: number,
  body: (random: SimRandom, fileOf: (bytes: Buffer) => Promise<File>) => Promise<void>,
): Promise<void> {
  const sim = new SimWorld(seed)
  await sim.run(async () => {
    const { disk } = sim.start().world
    await body(sim.random, async (bytes) => {
      await writeWhole(disk, PATH, bytes, true)
      return disk.open(PATH, 'read')
    })
  })
}

test('every batch is seen once, whole and in order, whatever the size of the chunks', async () => {
  for (const seed of seedsFromEnvironment(1, 60)) {
    await withFile(seed, async (random, fileOf) => {
      const batches = makeBatches(random, 1 + random.below(40), 20_000)
      const file = await fileOf(Buffer.concat(batches))
      // Two at a time use the same idle memory.
      const scan = async (): Promise<void> => {
        const scanner = new BatchScanner(file, 0, file.sizeBytes, random.pick([61, 100, 1000, 9000, 70_000]))
        const found: Buffer[] = []
        let position = 0
        while (await scanner.fill()) {
          while (scanner.step()) {
            assert.equal(scanner.position, position)
            found.push(Buffer.from(scanner.buffer.subarray(scanner.at, scanner.at + scanner.sizeBytes)))
            position += scanner.sizeBytes
          }
        }
        assert.equal(scanner.problem, null)
        assert.equal(scanner.position, file.sizeBytes)
        assert.deepEqual(found, batches)
      }
      await Promise.all([scan(), scan()])
    })
  }
})

test('a file that ends within a batch is told', async () => {
  for (const seed of seedsFromEnvironment(1, 40)) {
    await withFile(seed, async (random, fileOf) => {
      const batches = makeBatches(random, 1 + random.below(10), 5000)
      const whole = Buffer.concat(batches.slice(0, -1)).length
      const cut = whole + 1 + random.below(batches.at(-1)!.length - 1)
      const file = await fileOf(Buffer.concat(batches).subarray(0, cut))
      const scanner = new BatchScanner(file, 0, cut, random.pick([61, 500, 6000]))
      while (await scanner.fill()) while (scanner.step());
      assert(scanner.problem !== null)
      assert.equal(scanner.position, whole)
    })
  }
})

test('behind the end: zeros and old batches over many chunks, and the one good batch that makes the difference', async () => {
  const chunk = 1 << 20
  for (const seed of seedsFromEnvironment(1, 6)) {
    await withFile(seed, async (random, fileOf) => {
      const base = 1000
      const next = base + 50
      const zeros = (): Buffer => Buffer.alloc(random.below(2 * chunk))
      const old = (): Buffer => Buffer.concat(makeBatches(random, 20, 200_000, random.below(900)))
      const fresh = makeBatches(random, 1, 400_000, next + random.below(5))[0]!
      // The rest of an old batch that a write ended in.
      const rest = old().subarray(40 + random.below(100))
      for (const [parts, kind] of [
        [[zeros()], 'unused'],
        [[old()], 'stale'],
        [[rest, old()], 'stale'],
        [[zeros(), old(), zeros()], 'stale'],
        [[random.bytes(5000)], 'torn'],
        [[old(), random.bytes(100), old(), random.bytes(100)], 'torn'],
        [[fresh.subarray(0, fresh.length - 1)], 'torn'],
        [[fresh.subarray(0, 60), old()], 'torn'],
        [[zeros(), fresh], 'damaged'],
        [[old(), zeros(), fresh, zeros()], 'damaged'],
        [[random.bytes(3000), fresh], 'damaged'],
        [makeBatches(random, 1, 100, base + 3), 'damaged'],
      ] as const) {
        const file = await fileOf(Buffer.concat(parts))
        assert.equal(await inspectEnd(file, 0, file.sizeBytes, next, base), kind)
      }
    })
  }
})
