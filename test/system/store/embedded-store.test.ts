import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'

import type { LogFields, Logger, MetadataStore, World } from '../../../src/ports.ts'
import { SystemDisk } from '../../../src/system/disk/system-disk.ts'
import { ConfirmedMark } from '../../../src/system/store/confirmed-mark.ts'
import { EmbeddedStore } from '../../../src/system/store/embedded-store.ts'
import { SystemClock } from '../../../src/system/system-clock.ts'
import { Turn } from '../../../src/system/turn.ts'
import { storeConformance } from '../../metadata/store-conformance.ts'
import { seedsFromEnvironment } from '../../simulator/sim-random.ts'
import type { SimRandom } from '../../simulator/sim-random.ts'
import { SimWorld } from '../../simulator/sim-world.ts'

const quiet: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => quiet,
}

function realWorld(): Pick<World, 'clock' | 'disk' | 'logger'> {
  const turn = new Turn()
  return { clock: new SystemClock(turn), disk: new SystemDisk(turn), logger: quiet }
}

storeConformance('the embedded store on a real disk', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'samsa-store-'))
  const world = realWorld()
  let store = await EmbeddedStore.open(world, directory, { snapshotAfterBytes: 4096 })
  const expirations = new Map<MetadataStore, () => Promise<void>>()
  return {
    connect: () => {
      const session = store.connect()
      expirations.set(session, () => session.expire())
      return Promise.resolve(session)
    },
    expire: (session) => expirations.get(session)!(),
    crash: async () => {
      store = await EmbeddedStore.open(world, directory, { snapshotAfterBytes: 4096 })
    },
    dispose: async () => {
      await store.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
})

/** Every persistent node below `path`, as text. */
async function dump(store: MetadataStore, path = '/'): Promise<string> {
  const lines: string[] = []
  const visit = async (at: string): Promise<void> => {
    const node = await store.get(at)
    lines.push(`${at} ${node?.stat.version} ${node?.data.toString('hex')}`)
    for (const child of ((await store.children(at)) ?? []).sort())
      await visit(at === '/' ? `/${child}` : `${at}/${child}`)
  }
  await visit(path)
  return lines.join('\n')
}

/** What a store should hold, kept beside it: the text of `dump` after every change that was asked for. */
class Model {
  readonly states: string[] = []
  private nodes = new Map<string, { data: string; version: number }>([['/', { data: '', version: 0 }]])

  constructor() {
    this.remember()
  }

  change(random: SimRandom, store: MetadataStore): Promise<unknown> {
    const paths = [...this.nodes.keys()]
    const path = paths[random.below(paths.length)]!
    const data = random.bytes(random.below(200))
    const kind = random.below(10)
    const hasChildren = paths.some(
      (other) => other !== path && other.startsWith(path === '/' ? '/' : `${path}/`),
    )
    if (kind < 3 && path !== '/' && !hasChildren) {
      this.nodes.delete(path)
      this.remember()
      return store.delete(path, -1)
    }
    const node = this.nodes.get(path)!
    if (kind < 6) {
      const expected = node.version
      this.nodes.set(path, { data: data.toString('hex'), version: expected + 1 })
      this.remember()
      return store.set(path, data, expected)
    }
    const child = `${path === '/' ? '' : path}/n${paths.length}-${random.below(5)}`
    if (this.nodes.has(child) || child.length > 300) return store.get(path)
    this.nodes.set(child, { data: data.toString('hex'), version: 0 })
    this.remember()
    return store.create(child, data)
  }

  /** Goes on from one of its own states. */
  restart(state: string): void {
    this.nodes = new Map(
      state.split('\n').map((line) => {
        const [path, version, data] = line.split(' ')
        return [path!, { data: data ?? '', version: Number(version) }]
      }),
    )
    this.states.length = 0
    this.remember()
  }

  private remember(): void {
    const lines = [...this.nodes.entries()].map(([path, { data, version }]) => `${path} ${version} ${data}`)
    this.states.push(sortTree(lines).join('\n'))
  }
}

/** In the order of a walk: children by name, below their parents. */
function sortTree(lines: readonly string[]): string[] {
  const key = (line: string): string => line.split(' ')[0]!.replaceAll('/', '\0')
  return [...lines].sort((a, b) => (key(a) < key(b) ? -1 : 1))
}

describe('the embedded store under power cuts', () => {
  it('keeps every change it answered, and of the others a beginning', async () => {
    for (const seed of seedsFromEnvironment(1, 150)) {
      const sim = new SimWorld(seed)
      const random = sim.random.fork()
      const model = new Model()
      await sim.run(async () => {
        for (let life = 0; life < 4; life++) {
          const process = sim.start()
          const options = { snapshotAfterBytes: 200 + random.below(4000) }
          const store = (await EmbeddedStore.open(process.world, '/data', options)).connect()
          const found = await dump(store)
          assert.ok(
            model.states.includes(found),
            `seed ${seed}, life ${life}: nothing that was asked for leads here`,
          )
          model.restart(found)
          let answered = 0
          await store.create('/e', Buffer.alloc(0), 'ephemeral')
          const rounds = random.below(12)
          for (let round = 0; round < rounds; round++) {
            const burst = Array.from({ length: 1 + random.below(20) }, () => {
              const change = model.change(random, store)
              const state = model.states.length - 1
              return change.then(() => {
                answered = Math.max(answered, state)
              })
            })
            if (random.chance(0.7)) await Promise.all(burst)
            else if (random.chance(0.5)) await sim.sleep(random.below(5))
          }
          await (random.chance(0.7) ? sim.powerLoss(process) : sim.kill(process))
          model.states.splice(0, answered)
        }
      })
    }
  })

  it('believes nothing after a failed write, and starts again with what was answered', async () => {
    for (const operation of ['write', 'sync', 'rename', 'syncDirectory', 'truncate'] as const) {
      const sim = new SimWorld(1)
      await sim.run(async () => {
        const process = sim.start()
        const opened = await EmbeddedStore.open(process.world, '/data', { snapshotAfterBytes: 300 })
        const store = opened.connect()
        await store.create('/a', Buffer.from('kept'))
        sim.faults.add({ operation, code: 'EIO', after: 1, count: 1 })
        let failures = 0
        for (let index = 0; index < 40; index++)
          await store.create(`/n${index}`, Buffer.alloc(20)).catch((error: unknown) => {
            assert.equal((error as { code?: string }).code, 'STORAGE')
            failures += 1
          })
        assert.ok(failures > 0, `${operation} was never asked for`)
        await assert.rejects(store.get('/a'), { code: 'STORAGE' })
        await assert.rejects(store.close(), { code: 'STORAGE' })
        await opened.close()
        sim.faults.clear()
        await sim.powerLoss(process)
        const again = (await EmbeddedStore.open(sim.start().world, '/data')).connect()
        assert.equal((await again.get('/a'))?.data.toString(), 'kept')
        for (let index = 0; index < 40 - failures; index++)
          assert.ok(await again.get(`/n${index}`), operation)
      })
    }
  })

  it('does not believe after a restart what a failed flush left in the page cache only', async () => {
    let refused = 0
    for (let seed = 1; seed <= 60; seed++) {
      const sim = new SimWorld(seed)
      await sim.run(async () => {
        const first = sim.start()
        const store = (await EmbeddedStore.open(first.world, '/data')).connect()
        await store.create('/a', Buffer.from('kept'))
        // Killed while it writes: what the system has taken of it is in the page cache.
        store.create('/n', Buffer.alloc(20)).catch(() => {})
        await new Promise<void>((resolve) => void first.world.clock.after(0.01, resolve))
        await sim.kill(first)
        sim.faults.add({ operation: 'sync', code: 'EIO', after: 0, count: 1 })
        const second = sim.start()
        await EmbeddedStore.open(second.world, '/data').catch(() => (refused += 1))
        await sim.kill(second)
        sim.faults.clear()
        const third = sim.start()
        const served = await (await EmbeddedStore.open(third.world, '/data')).connect().children('/')
        await sim.powerLoss(third)
        const fourth = await EmbeddedStore.open(sim.start().world, '/data')
        assert.deepEqual(await fourth.connect().children('/'), served, `seed ${seed}`)
      })
    }
    assert.equal(refused, 60)
  })

  it('refuses to start on damage that is not a torn end', async () => {
    const damage = async (position: number, keepsMark = true): Promise<unknown> => {
      const sim = new SimWorld(7)
      return sim.run(async () => {
        const process = sim.start()
        const store = (await EmbeddedStore.open(process.world, '/data')).connect()
        for (let index = 0; index < 5; index++) await store.create(`/n${index}`, Buffer.alloc(50))
        await sim.sleep(100)
        await sim.kill(process)
        // A durable write may have left zeros behind the last frame.
        const size = process.world.disk.readFile('/data/samsa-metadata.log').findLastIndex(Boolean) + 1
        sim.image.flipBit('/data/samsa-metadata.log', position < 0 ? size + position : position, 3)
        const { world } = sim.start()
        if (!keepsMark)
          await new Promise((removed) => world.disk.remove('/data/samsa-metadata.confirmed', removed))
        const again = await EmbeddedStore.open(world, '/data')
        return (await again.connect().children('/'))?.length
      })
    }
    for (const position of [0, 5, 9, 14, 60, 200]) {
      await assert.rejects(damage(position), { code: 'SAMSA_METADATA_STORE' }, `byte ${position}`)
    }
    // Without the mark the last frame cannot be told from one that a crash cut short.
    await assert.rejects(damage(-1), { message: /a confirmed change is missing behind change \d+/ })
    assert.equal(await damage(-1, false), 4)
  })

  for (const [what, ends] of [
    ['a clean stop', true],
    ['a kill', false],
  ] as const)
    it(`refuses to start when confirmed changes are gone from the end, after ${what}`, async () => {
      let cases = 0
      const after = async (snapshotAfterBytes: number, left: (bytes: Buffer) => Buffer): Promise<void> => {
        const sim = new SimWorld(11)
        await sim.run(async () => {
          const process = sim.start()
          const opened = await EmbeddedStore.open(process.world, '/data', { snapshotAfterBytes })
          const store = opened.connect()
          for (let index = 0; index < 5; index++) await store.create(`/n${index}`, Buffer.alloc(50))
          await store.get('/')
          await (ends ? opened.close() : sim.sleep(100))
          await sim.kill(process)
          const { world } = sim.start()
          const path = '/data/samsa-metadata.log'
          const bytes = world.disk.readFile(path)
          const file = world.disk.open(path, 'replace')
          await new Promise((resolve) => file.write(0, [left(bytes)], true, resolve))
          file.close()
          const message =
            /^the metadata store cannot go on: \/data\/samsa-metadata\.log is damaged or cut short at byte \d+: .* missing behind change \d+; with samsa-metadata\.log and samsa-metadata\.snapshot moved away, .* nothing of them is deleted$/
          for (let starts = 0; starts < 2; starts++)
            await assert.rejects(EmbeddedStore.open(world, '/data'), {
              code: 'SAMSA_METADATA_STORE',
              message,
            })
          // What stands there is left as it is.
          assert(world.disk.readFile(path).subarray(0, left(bytes).length).equals(left(bytes)))
          for (const name of ['log', 'snapshot'])
            await new Promise((removed) => world.disk.remove(`/data/samsa-metadata.${name}`, removed))
          const anew = (await EmbeddedStore.open(world, '/data')).connect()
          assert.deepEqual(await anew.children('/'), [])
          await anew.create('/anew', Buffer.alloc(0))
          await sim.powerLoss(process)
          const again = (await EmbeddedStore.open(sim.start().world, '/data')).connect()
          assert.deepEqual(await again.children('/'), ['anew'])
          cases += 1
        })
      }
      const frames = (bytes: Buffer): number[] => {
        const starts: number[] = []
        for (let at = -1; (at = bytes.indexOf('SMDF', at + 1)) !== -1;) starts.push(at)
        return starts
      }
      for (const from of [1, 2, 4]) {
        const start = (bytes: Buffer): number => frames(bytes).at(-from)!
        await after(1 << 20, (bytes) => bytes.subarray(0, start(bytes)))
        await after(1 << 20, (bytes) => bytes.subarray(0, start(bytes) + 20))
        await after(1 << 20, (bytes) => Buffer.concat([bytes.subarray(0, start(bytes)), Buffer.alloc(300)]))
      }
      // Behind a snapshot, all that the log held.
      await after(200, () => Buffer.alloc(0))
      await after(200, (bytes) => Buffer.alloc(bytes.length))
      assert.equal(cases, 11)
    })

  it('a mark that a crash tore leaves the one before, and what nobody marked is believed', async () => {
    const sim = new SimWorld(13)
    await sim.run(async () => {
      const opened = await EmbeddedStore.open(sim.start().world, '/data')
      const store = opened.connect()
      for (let index = 0; index < 5; index++) {
        await store.create(`/n${index}`, Buffer.alloc(50))
        await sim.sleep(100)
      }
      await opened.close()
      const { disk } = sim.start().world
      assert.equal(ConfirmedMark.read(disk, '/data'), 5)
      for (const [at, left] of [
        [10, 4],
        [522, 0],
      ] as const) {
        sim.image.flipBit('/data/samsa-metadata.confirmed', at, 1)
        assert.equal(ConfirmedMark.read(disk, '/data'), left)
      }
      const again = await EmbeddedStore.open(sim.start().world, '/data')
      assert.equal((await again.connect().children('/'))?.length, 5)
      await again.close()
      assert.equal(ConfirmedMark.read(disk, '/data'), 5)
    })
  })

  it('goes on without its mark when that cannot be written', async () => {
    const sim = new SimWorld(17)
    await sim.run(async () => {
      const process = sim.start()
      const opened = await EmbeddedStore.open(process.world, '/data')
      sim.faults.add({ operation: 'write', code: 'ENOSPC', path: /confirmed$/ })
      const store = opened.connect()
      for (let index = 0; index < 3; index++) await store.create(`/n${index}`, Buffer.alloc(50))
      await opened.close()
      assert.equal(process.logger.messages('warn').length, 1)
      sim.faults.clear()
      const again = await EmbeddedStore.open(sim.start().world, '/data')
      assert.equal((await again.connect().children('/'))?.length, 3)
    })
  })

  it('takes no notice of the zeros that a durable write leaves behind its end', async () => {
    const sim = new SimWorld(9)
    await sim.run(async () => {
      const first = sim.start()
      const store = (await EmbeddedStore.open(first.world, '/data')).connect()
      await store.create('/a', Buffer.alloc(50))
      await sim.kill(first)
      const log = first.world.disk.readFile('/data/samsa-metadata.log')
      const { world } = sim.start()
      const file = world.disk.open('/data/samsa-metadata.log', 'update')
      await new Promise((resolve) => file.write(log.length, [Buffer.alloc(4096)], true, resolve))
      file.close()
      const warnings: string[] = []
      const logger = { ...quiet, warn: (_fields: LogFields, message: string) => void warnings.push(message) }
      const again = (await EmbeddedStore.open({ ...world, logger }, '/data')).connect()
      assert.deepEqual(await again.children('/'), ['a'])
      await again.create('/b', Buffer.alloc(50))
      assert.deepEqual(warnings, [])
    })
  })

  it('refuses to start on a damaged snapshot', async () => {
    const sim = new SimWorld(3)
    await sim.run(async () => {
      const process = sim.start()
      const opened = await EmbeddedStore.open(process.world, '/data', { snapshotAfterBytes: 10 })
      const store = opened.connect()
      await store.create('/a', Buffer.alloc(50))
      await store.create('/b', Buffer.alloc(50))
      await opened.close()
      sim.image.flipBit('/data/samsa-metadata.snapshot', 20, 1)
      await assert.rejects(EmbeddedStore.open(sim.start().world, '/data'), { code: 'SAMSA_METADATA_STORE' })
    })
  })

  it('refuses to start when the log is gone and the snapshot is there', async () => {
    const sim = new SimWorld(1)
    await sim.run(async () => {
      const opened = await EmbeddedStore.open(sim.start().world, '/data', { snapshotAfterBytes: 10 })
      const store = opened.connect()
      for (const path of ['/a', '/b']) await store.create(path, Buffer.alloc(50))
      await opened.close()
      const { world } = sim.start()
      await new Promise((removed) => world.disk.remove('/data/samsa-metadata.log', removed))
      await assert.rejects(EmbeddedStore.open(world, '/data'), {
        code: 'SAMSA_METADATA_STORE',
        message:
          /samsa-metadata\.log is missing; with samsa-metadata\.log and samsa-metadata\.snapshot moved away, .* nothing of them is deleted/,
      })
    })
  })

  it('makes a thousand changes of one turn durable with one write', async () => {
    const sim = new SimWorld(5)
    await sim.run(async () => {
      const { world } = sim.start()
      const store = (await EmbeddedStore.open(world, '/data')).connect()
      sim.faults.add({ operation: 'write', code: 'EIO', after: 1 })
      await Promise.all(
        Array.from({ length: 1000 }, (_, index) => store.create(`/n${index}`, Buffer.alloc(10))),
      )
      await assert.rejects(store.create('/more', Buffer.alloc(0)), { code: 'STORAGE' })
    })
  })
})

describe('the embedded store', () => {
  it('leaves nothing in the log directory that Kafka would take for a partition', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'samsa-store-'))
    try {
      const store = await EmbeddedStore.open(realWorld(), directory, { snapshotAfterBytes: 64 })
      const session = store.connect()
      for (let index = 0; index < 10; index++) await session.create(`/n${index}`, Buffer.alloc(32))
      await store.close()
      const entries = await readdir(directory, { withFileTypes: true })
      assert.deepEqual(entries.map(({ name }) => name).sort(), [
        'samsa-metadata.confirmed',
        'samsa-metadata.log',
        'samsa-metadata.snapshot',
      ])
      assert.ok(entries.every((entry) => entry.isFile()))
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
})
