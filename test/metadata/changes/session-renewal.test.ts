import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import type { SamsaError } from '../../../src/core/samsa-error.ts'
import { OneNodeMetadata } from '../../../src/metadata/one-node.ts'
import type { MetadataStore } from '../../../src/ports.ts'
import { EmbeddedStore } from '../../../src/system/store/embedded-store.ts'
import { seedsFromEnvironment } from '../../simulator/sim-random.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { SimZooKeeper } from '../../simulator/sim-zookeeper.ts'
import type { SimSession } from '../../simulator/sim-zookeeper.ts'
import { brokerConfig, newTopic, RecordingListener } from '../metadata-harness.ts'

interface Rig {
  readonly sim: SimWorld
  readonly ensemble: SimZooKeeper
  /** Metadata of the broker with this id, and the session it has now. */
  readonly start: (id: number, properties?: Readonly<Record<string, string>>) => Promise<Started>
  readonly sleep: (ms: number) => Promise<void>
  /** Sees what is in the tree. */
  readonly witness: MetadataStore
}

interface Started {
  readonly metadata: OneNodeMetadata
  readonly session: () => SimSession
  /** Why it lost its place, once it has. */
  readonly lost: Promise<SamsaError>
}

async function onEnsemble(seed: number, use: (rig: Rig) => Promise<void>): Promise<void> {
  const sim = new SimWorld(seed)
  await sim.run(async () => {
    const process = sim.start()
    const { world } = process
    const server = await EmbeddedStore.open(world, '/zookeeper')
    const ensemble = new SimZooKeeper(server, world.clock, sim.random.fork(), { maxLagMs: 200 })
    const start: Rig['start'] = async (id, properties = {}) => {
      let session!: SimSession
      const open = (): Promise<MetadataStore> => Promise.resolve((session = ensemble.connect(2_000)))
      let lose!: (error: SamsaError) => void
      const lost = new Promise<SamsaError>((resolve) => (lose = resolve))
      const config = brokerConfig({ 'broker.id': String(id), 'zookeeper.connect': 'zk:2181', ...properties })
      const metadata = await OneNodeMetadata.open(await open(), world, {
        config,
        renewal: { open, renewed: () => undefined, lost: lose },
      })
      await metadata.start(new RecordingListener())
      return { metadata, session: () => session, lost }
    }
    const sleep = (ms: number): Promise<void> => new Promise((resolve) => world.clock.after(ms, resolve))
    await use({ sim, ensemble, start, sleep, witness: server.connect() })
  })
}

async function created(metadata: OneNodeMetadata, name: string): Promise<ErrorCode> {
  const [result] = await metadata.createTopics([newTopic(name, 2)], false)
  return result!.errorCode
}

describe('a broker whose session with the metadata store expires', () => {
  it('registers again under a later epoch, and what was asked meanwhile is done', async () => {
    await onEnsemble(1, async ({ start, witness, sleep }) => {
      const { metadata, session } = await start(0)
      assert.equal(await created(metadata, 'before'), ErrorCode.NONE)
      const epoch = metadata.brokerEpoch
      const expired = session().expire(20)
      assert.equal(await witness.get('/brokers/ids/0'), null)
      const meanwhile = created(metadata, 'meanwhile')
      await expired
      assert.equal(await meanwhile, ErrorCode.NONE)
      await sleep(1_000)
      const node = await witness.get('/brokers/ids/0')
      assert.ok(metadata.brokerEpoch > epoch)
      assert.equal(node?.stat.createdTransaction, metadata.brokerEpoch)
      assert.equal(metadata.brokers.get(0)?.epoch, metadata.brokerEpoch)
      assert.notEqual(await witness.get('/brokers/topics/meanwhile/partitions/1/state'), null)
      await metadata.close()
      await sleep(100)
      assert.equal(await witness.get('/controller'), null)
    })
  })

  it('tells which ports it got, in that session and in those after it', async () => {
    for (const seed of seedsFromEnvironment(1, 10))
      await onEnsemble(seed, async ({ start, witness, sleep }) => {
        const { metadata, session } = await start(0, {
          listeners: 'IN://10.0.0.1:0,OUT://[::1]:0',
          'advertised.listeners': 'OUT://example:9094',
          'listener.security.protocol.map': 'IN:PLAINTEXT,OUT:PLAINTEXT',
        })
        const registered = async (): Promise<unknown> =>
          JSON.parse((await witness.get('/brokers/ids/0'))!.data.toString()).endpoints
        assert.deepEqual(await registered(), ['IN://10.0.0.1:0', 'OUT://example:9094'])
        await metadata.listensOn(
          new Map([
            ['IN', { host: '10.0.0.1', port: 5001 }],
            ['OUT', { host: '::1', port: 5002 }],
          ]),
        )
        const known = ['IN://10.0.0.1:5001', 'OUT://example:9094']
        assert.deepEqual(await registered(), known)
        assert.equal((await witness.get('/brokers/ids/0'))!.stat.createdTransaction, metadata.brokerEpoch)
        await session().expire(20)
        await sleep(1_000)
        assert.deepEqual(await registered(), known)
        await metadata.close()
      })
  })

  it('waits for the nodes of its earlier session, whose end it does not bring about', async () => {
    for (const path of ['/brokers/ids/0', '/controller'])
      await onEnsemble(2, async ({ start, witness, sleep, ensemble }) => {
        const { metadata } = await start(0)
        await metadata.close()
        await sleep(100)
        // As after the death of the holder of a session: ZooKeeper has not noticed yet.
        const orphan = ensemble.connect(2_000)
        await orphan.create(path, Buffer.from('{"brokerid":0}'), 'ephemeral')
        let isStarted = false
        const next = start(0).then((started) => {
          isStarted = true
          return started
        })
        await sleep(1_500)
        assert.equal(isStarted, false)
        assert.equal((await witness.get(path))?.data.toString(), '{"brokerid":0}')
        await orphan.expire()
        await (await next).metadata.close()
      })
  })

  it('is refused the place of one that stays', async () => {
    await onEnsemble(5, async ({ start }) => {
      const { metadata } = await start(0)
      await assert.rejects(start(0), {
        code: 'SAMSA_METADATA_STORE',
        message: /^broker\.id=0: another broker is registered as 0 in this metadata store \(PLAINTEXT:/,
      })
      await assert.rejects(start(1), {
        code: 'SAMSA_METADATA_STORE',
        message: /^zookeeper\.connect=zk:2181: broker 0 is there already/,
      })
      assert.equal(await created(metadata, 'still-mine'), ErrorCode.NONE)
      await metadata.close()
    })
  })

  it('ends when somebody else was controller meanwhile, and changes nothing any more', async () => {
    await onEnsemble(3, async ({ start, witness, ensemble }) => {
      const { metadata, session, lost } = await start(0)
      assert.equal(await created(metadata, 'mine'), ErrorCode.NONE)
      const expired = session().expire(50)
      // The first broker does not know yet that it has lost its session.
      const other = await start(1)
      assert.equal(await created(other.metadata, 'theirs'), ErrorCode.NONE)
      const refused = created(metadata, 'late')
      await expired
      const reason = await lost
      assert.equal(reason.code, 'SAMSA_METADATA_STORE')
      assert.match(reason.message, /broker 1 is there already/)
      assert.notEqual(await refused, ErrorCode.NONE)
      assert.deepEqual((await witness.children('/brokers/topics'))?.sort(), ['mine', 'theirs'])
      assert.deepEqual(await witness.children('/brokers/ids'), ['1'])
      ensemble.away(10)
      await metadata.close()
      await other.metadata.close()
    })
  })

  it('ends, too, when that one is gone again: what is known here is not what is there', async () => {
    await onEnsemble(4, async ({ start, sleep }) => {
      const { metadata, session, lost } = await start(0)
      const expired = session().expire(5_000)
      const other = await start(1)
      await other.metadata.close()
      await expired
      assert.match((await lost).message, /another broker was its controller/)
      await sleep(100)
      await metadata.close()
    })
  })

  it('has every topic that it said it made, and none that it refused, whatever happens to connections and sessions', async () => {
    for (const seed of seedsFromEnvironment(1, 25))
      await onEnsemble(seed, async ({ sim, start, sleep, witness }) => {
        const { metadata, session } = await start(0)
        const random = sim.random.fork()
        const expected = new Set<string>()
        for (let round = 0; round < 10; round++) {
          const names = Array.from({ length: 1 + random.below(4) }, (_, i) => `t${round}-${i}`)
          const asked = names.map(async (name) => {
            assert.equal(await created(metadata, name), ErrorCode.NONE, `seed ${seed}`)
            expected.add(name)
            if (!random.chance(0.3)) return
            const { errorCode } = await metadata.deleteTopic(name)
            assert.equal(errorCode, ErrorCode.NONE, `seed ${seed}`)
            expected.delete(name)
          })
          await sleep(random.below(30))
          const trouble = random.below(3)
          if (trouble === 0) session().cut(random.below(300))
          else if (trouble === 1) await session().expire(random.below(300))
          await Promise.all(asked)
        }
        assert.deepEqual(new Set(metadata.topics.keys()), expected, `seed ${seed}`)
        assert.deepEqual(new Set(await witness.children('/brokers/topics')), expected, `seed ${seed}`)
        await metadata.close()
        const again = await start(0)
        assert.deepEqual(new Set(again.metadata.topics.keys()), expected, `seed ${seed}`)
        await again.metadata.close()
      })
  })
})
