import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { OneNodeMetadata } from '../../src/metadata/one-node.ts'
import type { NewTopic } from '../../src/metadata/changes/topic-plan.ts'
import type { MetadataStore } from '../../src/ports.ts'
import { EmbeddedStore } from '../../src/system/store/embedded-store.ts'
import { seedsFromEnvironment } from '../simulator/sim-random.ts'
import { SimWorld } from '../simulator/sim-world.ts'
import { brokerConfig, newTopic, openMetadata, RecordingListener } from './metadata-harness.ts'
import type { OpenMetadata } from './metadata-harness.ts'

async function create(metadata: OneNodeMetadata, topic: NewTopic): Promise<number> {
  return (await metadata.createTopics([topic], false))[0]!.errorCode
}

function describeTopics(metadata: OneNodeMetadata): string[] {
  return [...metadata.topics.values()]
    .map(({ name, topicId, partitions, config }) =>
      JSON.stringify([name, topicId, partitions.map(({ replicas }) => replicas), [...config.overrides]]),
    )
    .sort()
}

describe('metadata that was left half written', () => {
  /** Opens metadata on a store that `prepare` changed behind its back. */
  const reopened = async (
    prepare: (store: MetadataStore) => Promise<unknown>,
    check: (opened: OpenMetadata, store: MetadataStore) => Promise<void>,
  ): Promise<void> => {
    const sim = new SimWorld(1)
    await sim.run(async () => {
      const first = await openMetadata(sim.start())
      await create(first.metadata, newTopic('a', 3, { configs: [{ name: 'retention.ms', value: '3' }] }))
      await first.metadata.close()
      const process = sim.start()
      const store = await EmbeddedStore.open(process.world, '/data')
      await prepare(store.connect())
      const metadata = await OneNodeMetadata.open(store.connect(), process.world, { config: brokerConfig() })
      const listener = new RecordingListener()
      await metadata.start(listener)
      await check({ metadata, listener }, store.connect())
    })
  }

  it('gets the partitions that a crash left out', async () => {
    await reopened(
      async (store) => {
        await store.delete('/brokers/topics/a/partitions/2/state', -1)
        await store.delete('/brokers/topics/a/partitions/1/state', -1)
        await store.delete('/brokers/topics/a/partitions/1', -1)
      },
      async ({ metadata }, store) => {
        const { partitions } = metadata.topics.get('a')!
        assert.deepEqual(
          partitions.map(({ leader, leaderEpoch }) => [leader, leaderEpoch]),
          [
            [0, 1],
            [0, 0],
            [0, 0],
          ],
        )
        for (const index of [0, 1, 2]) {
          const state = await store.get(`/brokers/topics/a/partitions/${index}/state`)
          assert.equal((JSON.parse(state!.data.toString()) as { leader: number }).leader, 0)
        }
      },
    )
  })

  it('finishes a deletion that was marked', async () => {
    await reopened(
      (store) => store.create('/admin/delete_topics/a', Buffer.alloc(0)),
      async ({ metadata, listener }, store) => {
        assert.equal(metadata.topics.size, 0)
        assert.deepEqual(listener.events, ['deleted a'])
        for (const parent of ['/brokers/topics', '/config/topics', '/admin/delete_topics'])
          assert.deepEqual(await store.children(parent), [], parent)
        assert.equal(await create(metadata, newTopic('a', 1)), ErrorCode.NONE)
      },
    )
  })

  it('forgets marks and configurations of topics that are not there', async () => {
    await reopened(
      async (store) => {
        await store.create('/admin/delete_topics/x', Buffer.alloc(0))
        await store.create('/config/topics/y', Buffer.from('{"version":1,"config":{"segment.ms":"99"}}'))
      },
      async ({ metadata }, store) => {
        assert.deepEqual(await store.children('/admin/delete_topics'), [])
        assert.deepEqual(await store.children('/config/topics'), ['a'])
        assert.equal(await create(metadata, newTopic('y', 1)), ErrorCode.NONE)
        assert.equal(metadata.topics.get('y')?.config['segment.ms'], 604_800_000)
      },
    )
  })

  it('says which node is damaged', async () => {
    for (const path of [
      '/brokers/topics/a',
      '/brokers/topics/a/partitions/0/state',
      '/cluster/id',
      '/config/topics/a',
    ]) {
      await assert.rejects(
        reopened(
          (store) => store.set(path, Buffer.from('{"version":3,'), -1),
          () => Promise.resolve(),
        ),
        (error: Error & { code?: string }) =>
          error.code === 'SAMSA_METADATA_STORE' && error.message.includes(path),
      )
    }
  })

  it('does not take the place of a broker that lives', async () => {
    await assert.rejects(
      reopened(
        (store) => store.create('/brokers/ids/0', Buffer.alloc(0), 'ephemeral'),
        () => Promise.resolve(),
      ),
      /another broker is registered as 0/,
    )
  })
})

describe('metadata under power cuts', () => {
  it('keeps what was answered, shows no topic in part, and finishes deletions', async () => {
    for (const seed of seedsFromEnvironment(1, 30)) {
      const sim = new SimWorld(seed)
      const random = sim.random.fork()
      await sim.run(async () => {
        /** What must be there, must not be there; names in neither set are open. */
        const there = new Map<string, string>()
        const gone = new Set<string>()
        for (let life = 0; life < 4; life++) {
          const process = sim.start()
          const { metadata } = await openMetadata(process)
          for (const [name, text] of there) {
            const topic = metadata.topics.get(name)
            assert.equal(topic?.topicId, text, `seed ${seed}: ${name}`)
          }
          for (const name of gone)
            assert.equal(metadata.topics.has(name), false, `seed ${seed}: ${name} is back`)
          for (const topic of metadata.topics.values()) {
            // Each test topic was asked for with the partitions and the override that its name says.
            const count = Number(topic.name.split('-')[1])
            assert.equal(topic.partitions.length, count, `seed ${seed}: ${topic.name} is there in part`)
            assert.equal(
              topic.config['retention.ms'],
              count,
              `seed ${seed}: ${topic.name} lost its configuration`,
            )
            assert.ok(topic.partitions.every(({ leader }) => leader === 0))
          }
          const asked: Promise<unknown>[] = []
          for (let step = 0; step < 8; step++) {
            const count = 1 + random.below(6)
            const name = `t${life}.${step}-${count}`
            const configs = [{ name: 'retention.ms', value: String(count) }]
            asked.push(
              metadata.createTopics([newTopic(name, count, { configs })], false).then(([result]) => {
                there.set(name, result!.topicId!)
              }),
            )
            const victim = [...there.keys()][random.below(there.size)]
            if (victim !== undefined && random.chance(0.4)) {
              there.delete(victim)
              asked.push(
                metadata.deleteTopic(victim).then(({ errorCode }) => {
                  assert.equal(errorCode, ErrorCode.NONE)
                  gone.add(victim)
                }),
              )
            }
            if (random.chance(0.5)) await sim.sleep(random.below(8))
          }
          if (random.chance(0.3)) await Promise.all(asked)
          await (random.chance(0.8) ? sim.powerLoss(process) : sim.kill(process))
        }
      })
    }
  })

  it('comes up the same however often it restarts', async () => {
    const sim = new SimWorld(1)
    await sim.run(async () => {
      let process = sim.start()
      let { metadata } = await openMetadata(process)
      for (let index = 0; index < 20; index++)
        await create(
          metadata,
          newTopic(`t${index}`, 1 + (index % 3), { configs: [{ name: 'segment.ms', value: '9' }] }),
        )
      await metadata.createPartitions('t0', 5, null, false)
      const before = describeTopics(metadata)
      for (let life = 0; life < 3; life++) {
        await sim.powerLoss(process)
        process = sim.start()
        metadata = (await openMetadata(process)).metadata
        assert.deepEqual(describeTopics(metadata), before)
      }
    })
  })
})
