import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import type { NewTopic } from '../../../src/metadata/changes/topic-plan.ts'
import { NOBODY } from '../../../src/metadata/image/metadata-state.ts'
import { createTopicNodes } from '../../../src/metadata/layout/store-steps.ts'
import { paths } from '../../../src/metadata/layout/znodes.ts'
import { alone, SESSION_MS } from './alone.ts'

test('what happens while a broker opens its logs is told when it hosts them, and it is not counted on before', () =>
  alone(async ({ metadata, witness, sim }) => {
    const state = {
      leader: -1,
      leaderEpoch: 0,
      leaderBrokerEpoch: -1,
      controllerEpoch: 0,
      isr: [3],
      elr: [],
      lastKnownElr: [],
      leaderRecoveryState: 0,
      minIsr: 1,
    } as const
    const topic = { name: 'orders', topicId: 'AAAAAAAAQACAAAAAAAAAAQ', overrides: new Map<string, string>() }
    await createTopicNodes(witness, topic, new Map([[0, state]]), [[3]])
    // Another controller, of which the broker hears.
    await witness.delete(paths.controller, -1)
    await sim.sleep(3 * SESSION_MS)
    assert.deepEqual([metadata.topics.size, metadata.brokers.get(3)?.fenced], [0, true])
    const told: string[] = []
    metadata.start({ ...NOBODY, onTopicCreated: ({ name }) => Promise.resolve(void told.push(name)) })
    await metadata.whenServing()
    assert.deepEqual(told, ['orders'])
  }))

test('a topic that no node can hold is refused, and the controller stays', () =>
  alone(async ({ metadata }) => {
    metadata.start(NOBODY)
    await metadata.whenServing()
    const asked = { replicationFactor: 1, assignments: [], configs: [] }
    const [created] = await metadata.createTopics([{ ...asked, name: 'large', numPartitions: 90_000 }], false)
    assert.equal(created!.errorCode, ErrorCode.POLICY_VIOLATION)
    const [small] = await metadata.createTopics([{ ...asked, name: 'small', numPartitions: 1 }], false)
    assert.equal(small!.errorCode, ErrorCode.NONE)
    assert.equal(
      (await metadata.createPartitions('small', 90_000, null, false)).errorCode,
      ErrorCode.POLICY_VIOLATION,
    )
    assert.equal(metadata.controllerId, 3)
  }))

test('without a session there are no new producer ids, and with the next one there are', () =>
  alone(async ({ metadata, sessions, sim }) => {
    assert.equal(await metadata.nextProducerId(), 0)
    for (let id = 1; id < 1_000; id++) await metadata.nextProducerId()
    await sessions[0]!.expire()
    await assert.rejects(metadata.nextProducerId(), { code: 'SESSION_EXPIRED' })
    await sim.sleep(SESSION_MS)
    assert.equal(await metadata.nextProducerId(), 1_000)
  }))

test('whoever leaves is registered no more when others look for a controller, so that the next one does not count on it', () =>
  alone(async ({ metadata, witness, sim }) => {
    metadata.start(NOBODY)
    await metadata.whenServing()
    const found: boolean[] = []
    const gone = new Promise<void>((resolve) => {
      void witness.get(paths.controller, () => {
        void witness.get(paths.brokerId(3)).then((node) => {
          found.push(node !== null)
          resolve()
        })
      })
    })
    await metadata.leave()
    await gone
    assert.deepEqual(found, [false])
    await sim.sleep(SESSION_MS)
    assert.equal(await witness.get(paths.controller), null)
  }))

test('of a later controller a broker may know, and there is another term; of one in an epoch that no cluster reaches it may not', () =>
  alone(async ({ metadata, witness, sim }) => {
    metadata.start(NOBODY)
    await metadata.whenServing()
    const epoch = async (): Promise<number> => Number((await witness.get(paths.controllerEpoch))!.data)
    const says = (controllerEpoch: number): ErrorCode | null => {
      const polled = { brokerId: 7, brokerEpoch: 70, sequence: 0, carriedOut: 0, maxWaitMs: 0 }
      let answered: ErrorCode | null = null
      metadata.poll({ ...polled, controllerEpoch }, ({ errorCode }) => (answered = errorCode))
      return answered
    }
    for (const controllerEpoch of [2 ** 30 + 1, 0x7fff_0000, 2 ** 31 - 1])
      assert.equal(says(controllerEpoch), ErrorCode.NOT_CONTROLLER)
    await sim.sleep(3 * SESSION_MS)
    assert.deepEqual([await epoch(), metadata.controllerId], [1, 3])
    assert.equal(says(40), ErrorCode.NOT_CONTROLLER)
    await sim.sleep(3 * SESSION_MS)
    assert.deepEqual([await epoch(), metadata.controllerId], [41, 3])
  }))

test('a broker that registered anew is about to serve: what is asked of it at once waits for that', () =>
  alone(async ({ metadata, sessions, sim }) => {
    metadata.start(NOBODY)
    await metadata.whenServing()
    const asked = { numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }
    const create = async (topic: NewTopic): Promise<number> =>
      (await metadata.createTopics([topic], false))[0]!.errorCode
    const again = async (): Promise<void> => {
      const { brokerEpoch } = metadata
      await sessions.at(-1)!.expire()
      while (metadata.brokerEpoch === brokerEpoch || metadata.controllerId !== 3) await sim.sleep(1)
    }
    await again()
    assert.equal(await create({ ...asked, name: 'a' }), ErrorCode.NONE)
    await again()
    const chosen = [{ partitionIndex: 0, brokerIds: [3] }]
    const manual = { name: 'b', numPartitions: -1, replicationFactor: -1, assignments: chosen, configs: [] }
    assert.equal(await create(manual), ErrorCode.NONE)
    await again()
    assert.equal((await metadata.createPartitions('a', 2, null, false)).errorCode, ErrorCode.NONE)
    assert.equal(metadata.topics.get('a')!.partitions.length, 2)
    assert.equal(
      await create({ ...asked, name: 'c', replicationFactor: 2 }),
      ErrorCode.INVALID_REPLICATION_FACTOR,
    )
  }))
