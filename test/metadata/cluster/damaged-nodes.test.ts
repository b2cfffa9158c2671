import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import { NOBODY } from '../../../src/metadata/image/metadata-state.ts'
import { paths } from '../../../src/metadata/layout/znodes.ts'
import { alone } from './alone.ts'
import type { Alone } from './alone.ts'

const ASKED = { numPartitions: 2, replicationFactor: 1, assignments: [], configs: [] }
const MIN_ISR = [{ name: 'min.insync.replicas', value: '1' }]

/** Two topics that are led, and then somebody writes into the store and another term begins. */
function broken(
  breaks: (witness: Alone['witness']) => Promise<unknown>,
  body: (parts: Alone & { term: () => Promise<void>; leaders: (topic: string) => unknown }) => Promise<void>,
): Promise<void> {
  return alone(async (parts) => {
    const { metadata, witness, sim } = parts
    metadata.start(NOBODY)
    await metadata.whenServing()
    const topics = ['bad', 'good'].map((name) => ({ ...ASKED, name, configs: MIN_ISR }))
    for (const { errorCode } of await metadata.createTopics(topics, false)) assert.equal(errorCode, 0)
    const leaders = (topic: string): unknown =>
      metadata.topics.get(topic)?.partitions.map(({ leader }) => leader)
    const term = async (): Promise<void> => {
      await sim.sleep(3_000)
      assert.equal(metadata.controllerId, 3)
      await metadata.whenServing()
    }
    assert.deepEqual(
      [leaders('bad'), leaders('good')],
      [
        [3, 3],
        [3, 3],
      ],
    )
    await breaks(witness)
    await witness.delete(paths.controller, -1)
    await term()
    // Everything else goes on.
    assert.deepEqual(leaders('good'), [3, 3])
    const [another] = await metadata.createTopics([{ ...ASKED, name: 'another' }], false)
    assert.equal(another!.errorCode, ErrorCode.NONE)
    await body({ ...parts, term, leaders })
  })
}

function told({ lines }: Alone): unknown[] {
  return lines.filter(({ level }) => level === 'error').map(({ fields }) => fields['path'])
}

const STATE = paths.partitionState('bad', 1)
const GARBAGE: readonly string[] = [
  '',
  '{',
  'null',
  '{}',
  '{"leader":3,"leader_epoch":"0","isr":[3]}',
  '{"leader":3,"leader_epoch":0,"isr":[3,9]}',
  '{"leader":9,"leader_epoch":0,"isr":[3]}',
  '{"leader":3,"leader_epoch":0,"isr":[3],"controller_epoch":1e12}',
]

test('a state that makes no sense is that of one partition, stays, and counts again when it is repaired', async () => {
  for (const garbage of GARBAGE) {
    let sound: Buffer = Buffer.alloc(0)
    await broken(
      async (witness) => {
        sound = (await witness.get(STATE))!.data
        await witness.set(STATE, Buffer.from(garbage), -1)
      },
      async (parts) => {
        const { witness, leaders, term } = parts
        assert.deepEqual(told(parts), [STATE])
        assert.deepEqual(leaders('bad'), [3, -1])
        assert.equal((await witness.get(STATE))!.data.toString(), garbage)
        await witness.set(STATE, sound, -1)
        await term()
        assert.deepEqual(leaders('bad'), [3, 3])
      },
    )
  }
})

test('a state that is taken away is not that of a partition that never had one', () =>
  broken(
    (witness) => witness.delete(STATE, -1),
    async (parts) => {
      const { witness, leaders, term } = parts
      assert.deepEqual(told(parts), [STATE])
      assert.deepEqual(leaders('bad'), [3, -1])
      assert.equal(await witness.get(STATE), null)
      const state = { leader: -1, leader_epoch: 0, isr: [3] }
      await witness.create(STATE, Buffer.from(JSON.stringify(state)))
      await term()
      assert.deepEqual(leaders('bad'), [3, 3])
    },
  ))

test('so it is when its partition went with it', () =>
  broken(
    async (witness) => {
      await witness.delete(STATE, -1)
      await witness.delete(paths.partition('bad', 1), -1)
    },
    async (parts) => {
      assert.deepEqual(told(parts), [STATE])
      assert.deepEqual(parts.leaders('bad'), [3, -1])
      assert.deepEqual((await parts.metadata.deleteTopic('bad')).errorCode, ErrorCode.NONE)
      assert.equal(await parts.witness.get(paths.topic('bad')), null)
      assert.equal(parts.metadata.controllerId, 3)
    },
  ))

test('a topic that makes no sense keeps its name, its id and what brokers have of it', async () => {
  for (const garbage of ['', '{"partitions":{}}', '{"topic_id":"x","partitions":{"0":[3],"1":[3]}}']) {
    let sound: Buffer = Buffer.alloc(0)
    await broken(
      async (witness) => {
        sound = (await witness.get(paths.topic('bad')))!.data
        await witness.set(paths.topic('bad'), Buffer.from(garbage), -1)
      },
      async (parts) => {
        const { metadata, witness, leaders, term } = parts
        assert.deepEqual(told(parts), [paths.topic('bad')])
        const { topicId } = metadata.topics.get('bad')!
        assert.deepEqual(leaders('bad'), [-1, -1])
        const [again] = await metadata.createTopics([{ ...ASKED, name: 'bad' }], false)
        assert.equal(again!.errorCode, ErrorCode.TOPIC_ALREADY_EXISTS)
        assert.equal((await witness.get(paths.topic('bad')))!.data.toString(), garbage)
        await witness.set(paths.topic('bad'), sound, -1)
        await term()
        assert.deepEqual(leaders('bad'), [3, 3])
        assert.equal(metadata.topics.get('bad')!.topicId, topicId)
      },
    )
  }
})

test('of two topics with one id the older one is the topic', () =>
  broken(
    async (witness) => witness.create(paths.topic('copy'), (await witness.get(paths.topic('bad')))!.data),
    async (parts) => {
      assert.deepEqual(told(parts), [paths.topic('copy')])
      assert.deepEqual([parts.leaders('bad'), parts.leaders('copy')], [[3, 3], undefined])
    },
  ))

test('a configuration that cannot be read holds its topic, and is not written over', () =>
  broken(
    (witness) => witness.set(paths.topicConfig('bad'), Buffer.from('{"config":3}'), -1),
    async (parts) => {
      const { metadata, witness, leaders, term } = parts
      const path = paths.topicConfig('bad')
      assert.deepEqual(told(parts), [path])
      assert.deepEqual(leaders('bad'), [3, 3])
      assert.equal(metadata.topics.get('bad')!.config['retention.ms'], -1)
      const change = [{ name: 'retention.ms', operation: 'set', value: '5' }] as const
      const resource = { kind: 'topic', name: 'bad' } as const
      const refused = await metadata.incrementalAlterConfigs(resource, change, false)
      assert.equal(refused.errorCode, ErrorCode.INVALID_CONFIG)
      assert.match(refused.errorMessage!, /config\/topics\/bad.*config is not an object/)
      assert.equal((await witness.get(path))!.data.toString(), '{"config":3}')
      await witness.delete(path, -1)
      await term()
      assert.equal(metadata.topics.get('bad')!.config['retention.ms'], 604_800_000)
      assert.equal((await metadata.incrementalAlterConfigs(resource, change, false)).errorCode, 0)
    },
  ))

test('what holds for all brokers and cannot be read holds all topics that say nothing themselves', () =>
  broken(
    (witness) => witness.create(paths.brokerConfig('<default>'), Buffer.from('retention')),
    async (parts) => {
      assert.deepEqual(told(parts), [paths.brokerConfig('<default>')])
      assert.equal(parts.metadata.topics.get('good')!.config['retention.ms'], -1)
    },
  ))

test('a registration that cannot be read is that of a broker that may have lost something, and is made anew', async () => {
  for (const path of [paths.registration(3), paths.brokerId(3)])
    await broken(
      (witness) => witness.set(path, Buffer.from('{'), -1),
      async (parts) => {
        assert.deepEqual(told(parts), [path])
        assert.deepEqual(parts.leaders('bad'), [3, 3])
        assert.equal(parts.metadata.brokers.get(3)!.fenced, false)
        assert.equal(parts.metadata.brokers.get(3)!.epoch, parts.metadata.brokerEpoch)
      },
    )
})

test('so it is with one that was removed', () =>
  broken(
    (witness) => witness.delete(paths.registration(3), -1),
    async (parts) => {
      assert.deepEqual(told(parts), [paths.registration(3)])
      assert.deepEqual(parts.leaders('bad'), [3, 3])
      // It led in doubt for a moment.
      assert.ok(parts.metadata.topics.get('bad')!.partitions[0]!.leaderEpoch > 0)
    },
  ))

test('the epoch of controllers goes on from what brokers know, whatever becomes of its node', async () => {
  for (const breaks of [
    (witness: Alone['witness']) => witness.delete(paths.controllerEpoch, -1),
    (witness: Alone['witness']) => witness.set(paths.controllerEpoch, Buffer.from('{'), -1),
    (witness: Alone['witness']) => witness.set(paths.controllerEpoch, Buffer.from('0'), -1),
    (witness: Alone['witness']) => witness.set(paths.controllerEpoch, Buffer.from('2147483647'), -1),
  ])
    await broken(breaks, async (parts) => {
      assert.deepEqual(told(parts), [paths.controllerEpoch])
      assert.equal((await parts.witness.get(paths.controllerEpoch))!.data.toString(), '2')
    })
})

test('who is controller says so again when somebody wrote over it', () =>
  alone(async (parts) => {
    const { metadata, witness, sim } = parts
    metadata.start(NOBODY)
    await metadata.whenServing()
    await witness.set(paths.controller, Buffer.from('nobody'), -1)
    await sim.sleep(100)
    assert.deepEqual(told(parts), [paths.controller])
    assert.match((await witness.get(paths.controller))!.data.toString(), /"brokerid":3/)
    assert.equal(metadata.controllerId, 3)
  }))
