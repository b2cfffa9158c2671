import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { codeOf } from '../../../src/core/is-error.ts'
import { LastingStore } from '../../../src/metadata/layout/lasting-store.ts'
import type { MetadataStore } from '../../../src/ports.ts'
import { EmbeddedStore } from '../../../src/system/store/embedded-store.ts'
import { seedsFromEnvironment } from '../../simulator/sim-random.ts'
import type { SimRandom } from '../../simulator/sim-random.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { SimZooKeeper } from '../../simulator/sim-zookeeper.ts'
import type { SimSession } from '../../simulator/sim-zookeeper.ts'

interface Rig {
  readonly store: LastingStore
  readonly ensemble: SimZooKeeper
  readonly random: SimRandom
  readonly sleep: (ms: number) => Promise<void>
  readonly session: () => SimSession
  /** The session expires, and another one takes its place a little later. */
  readonly renew: () => Promise<void>
}

async function onEnsemble(seed: number, use: (rig: Rig) => Promise<void>): Promise<void> {
  const sim = new SimWorld(seed)
  await sim.run(async () => {
    const { world } = sim.start()
    const random = sim.random.fork()
    const server = await EmbeddedStore.open(world, '/data')
    const ensemble = new SimZooKeeper(server, world.clock, random, { maxLagMs: 200 })
    const sleep = (ms: number): Promise<void> => new Promise((resolve) => world.clock.after(ms, resolve))
    let session = ensemble.connect()
    const store = new LastingStore(world.clock, session)
    await use({
      store,
      ensemble,
      random,
      sleep,
      session: () => session,
      renew: async () => {
        await session.expire(random.below(50))
        await sleep(random.below(100))
        session = ensemble.connect()
        // As a broker that registers: what it reads after that is as new as that.
        await session.create('/registered', Buffer.alloc(0), 'ephemeral')
        store.attach(session)
      },
    })
    await store.close()
    await server.close()
  })
}

/** What stands where, and in which version. */
type Model = Map<string, { data: string; version: number }>

/**
 * Some changes that are asked for at once, each of another node, with what has to come of them. None is refused for what
 * stands above or below its node: when the refusal is lost, it is judged anew after those behind it.
 */
function changes(random: SimRandom, model: Model, store: MetadataStore, round: number): Promise<void>[] {
  const touched = new Set<string>()
  const isParent = (path: string): boolean => [...model.keys()].some((each) => each.startsWith(`${path}/`))
  const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/')) || '/'
  return Array.from({ length: 1 + random.below(12) }, async (_, index) => {
    const path = random.chance(0.3) ? `/n${random.below(6)}` : `/n${random.below(6)}/c${random.below(4)}`
    if (touched.has(path)) return
    touched.add(path)
    const data = `${round}.${index}`
    const node = model.get(path)
    const [ask, expected] = choose()
    const outcome = await ask.then(
      () => 'done',
      (error: unknown) => codeOf(error),
    )
    assert.equal(outcome, expected, `${path} in round ${round}`)

    function choose(): [Promise<unknown>, string] {
      const kind = random.below(3)
      const bytes = Buffer.from(data)
      if (kind === 0) {
        const parent = parentOf(path)
        if (parent !== '/' && !model.has(parent)) return [store.get(path), 'done']
        const asked = store.create(path, bytes)
        if (node !== undefined) return [asked, 'NODE_EXISTS']
        model.set(path, { data, version: 0 })
        return [asked, 'done']
      }
      if (kind === 1) {
        const isWrong = random.chance(0.2)
        const asked = store.set(path, bytes, (node?.version ?? 0) + (isWrong ? 7 : 0))
        if (node === undefined) return [asked, 'NO_NODE']
        if (isWrong) return [asked, 'BAD_VERSION']
        model.set(path, { data, version: node.version + 1 })
        return [asked, 'done']
      }
      // A node that was never there looks like one that is gone.
      if (node === undefined || isParent(path)) return [store.get(path), 'done']
      const asked = store.delete(path, -1)
      model.delete(path)
      return [asked, 'done']
    }
  })
}

async function assertHolds(store: MetadataStore, model: Model): Promise<void> {
  const found: Model = new Map()
  const visit = async (path: string): Promise<void> => {
    for (const name of (await store.children(path)) ?? []) {
      const child = path === '/' ? `/${name}` : `${path}/${name}`
      if (child === '/registered') continue
      const node = await store.get(child)
      found.set(child, { data: node!.data.toString(), version: node!.stat.version })
      await visit(child)
    }
  }
  await visit('/')
  const sorted = (each: Model) => [...each].toSorted(([a], [b]) => (a < b ? -1 : 1))
  assert.deepEqual(sorted(found), sorted(model))
}

describe('a store that outlives connections and sessions', () => {
  it('carries out every change once and in order, whatever is lost', async () => {
    for (const seed of seedsFromEnvironment(1, 60)) {
      await onEnsemble(seed, async ({ store, random, session, renew, sleep }) => {
        const model: Model = new Map()
        for (let round = 0; round < 12; round++) {
          const asked = Promise.all(changes(random, model, store, round))
          const trouble = random.below(4)
          await sleep(random.below(8))
          if (trouble === 0) session().cut(random.below(200))
          else if (trouble === 1) await renew()
          else if (trouble === 2) {
            session().cut(5)
            await sleep(random.below(20))
            session().cut(random.below(50))
          }
          await asked
        }
        await assertHolds(store, model)
      }).catch((error: unknown) => {
        throw new Error(`seed ${seed}`, { cause: error })
      })
    }
  })

  it('tells of what is there as an error, and of what was never there', async () => {
    await onEnsemble(1, async ({ store, session }) => {
      await store.create('/a', Buffer.from('first'))
      const refused = store.create('/a', Buffer.from('second'))
      session().cut(10)
      await assert.rejects(refused, { code: 'NODE_EXISTS' })
      const missing = store.delete('/b/c', -1)
      await assert.rejects(missing, { code: 'NO_NODE' })
    })
  })

  it('waits while there is no server, and reads what is there when there is one again', async () => {
    await onEnsemble(2, async ({ store, ensemble, sleep, session }) => {
      await store.create('/a', Buffer.from('1'))
      const asking = session()
      const ask = asking.get.bind(asking)
      let asked = 0
      asking.get = (path, watch) => {
        asked += 1
        return ask(path, watch)
      }
      ensemble.away(60_000)
      let isAnswered = false
      const read = store.get('/a').then((node) => {
        isAnswered = true
        return node
      })
      const changed = store.set('/a', Buffer.from('2'), 0)
      await sleep(59_000)
      assert.equal(isAnswered, false)
      assert.equal((await read)?.data.toString(), '1')
      assert.equal((await changed).version, 1)
      // It waits for the news, and does not try and try.
      assert.ok(asked <= 2, `asked ${asked} times`)
    })
  })

  it('does not make numbered nodes twice: whoever asks hears that nobody knows', async () => {
    await onEnsemble(3, async ({ store, session, sleep }) => {
      const created = store.create('/s-', Buffer.alloc(0), 'sequential')
      const lost = assert.rejects(created, { code: 'CONNECTION_LOSS' })
      await sleep(1)
      session().cut(10)
      await lost
    })
  })

  it('gives up when the broker ends: nothing waits any longer', async () => {
    await onEnsemble(4, async ({ store, ensemble, sleep }) => {
      ensemble.away(60_000)
      const waiting = [store.get('/'), store.create('/a', Buffer.alloc(0))]
      await sleep(1_000)
      const refused = waiting.map((each) => assert.rejects(each, { code: 'SESSION_EXPIRED' }))
      store.giveUp()
      await Promise.all(refused)
      await assert.rejects(store.get('/'), { code: 'SESSION_EXPIRED' })
    })
  })
})
