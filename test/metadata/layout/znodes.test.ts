import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  Damage,
  decodeAccepted,
  decodeBroker,
  decodeClusterId,
  decodeConfig,
  decodeController,
  decodeControllerEpoch,
  decodeKafkaMetadata,
  decodePartitionState,
  decodeProducerIdBlock,
  decodeTopic,
  encodeAccepted,
  encodeBroker,
  encodeClusterId,
  encodeConfig,
  encodeController,
  encodeKafkaMetadata,
  encodePartitionState,
  encodeProducerIdBlock,
  encodeTopic,
  whole,
} from '../../../src/metadata/layout/znodes.ts'
import type { StoredState } from '../../../src/metadata/layout/znodes.ts'

const STATE: StoredState = {
  leader: 3,
  leaderEpoch: 5,
  leaderBrokerEpoch: 77,
  controllerEpoch: 9,
  isr: [3, 0],
  elr: [1],
  lastKnownElr: [2],
  leaderRecoveryState: 1,
  minIsr: 3,
}

/** What a node of Kafka leaves open. */
const UNTOLD = {
  leaderBrokerEpoch: -1,
  controllerEpoch: -1,
  elr: [],
  lastKnownElr: [],
  leaderRecoveryState: 0,
  minIsr: 1,
} as const

const PATH = '/some/node'
const TOPIC_ID = 'AAAAAAAAQACAAAAAAAAAAQ'
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
const damaged = { code: 'SAMSA_METADATA_STORE', message: /does not hold what it should/ }

/** What each node holds, and what it must not hold. */
const NODES: readonly {
  readonly decode: (data: Buffer) => unknown
  readonly good: readonly (readonly [data: Buffer, decoded: unknown])[]
  readonly bad: readonly unknown[]
}[] = [
  {
    decode: (data) => decodeTopic(PATH, data),
    good: [
      [encodeTopic(TOPIC_ID, [[0], [1, 2]]), { topicId: TOPIC_ID, assignment: [[0], [1, 2]] }],
      [json({ version: 1, partitions: { 1: [4], 0: [3] } }), { topicId: null, assignment: [[3], [4]] }],
    ],
    bad: [
      {},
      { partitions: null },
      { partitions: 'none' },
      { partitions: { 0: [0], 2: [0] } },
      { partitions: { 0: 0 } },
      { partitions: { 0: [-1] } },
      { partitions: { 0: [0.5] } },
      { partitions: { 0: ['0'] } },
      { partitions: { 0: [2 ** 31] } },
      { partitions: {} },
      { partitions: { 0: [] } },
      { partitions: { 0: [1, 1] } },
      { partitions: { 0: [1] }, topic_id: 7 },
      { partitions: { 0: [1] }, topic_id: 'an id' },
    ],
  },
  {
    decode: (data) => decodePartitionState(PATH, data, [0, 1, 2, 3]),
    good: [
      [encodePartitionState(STATE), STATE],
      [
        json({ leader: -1, leader_epoch: 70_000, isr: [] }),
        { ...UNTOLD, leader: -1, leaderEpoch: 70_000, isr: [] },
      ],
    ],
    bad: [
      { leader: -2, leader_epoch: 0, isr: [] },
      { leader: '0', leader_epoch: 0, isr: [] },
      { leader: 0, leader_epoch: -1, isr: [] },
      { leader: 0, isr: [] },
      { leader: 0, leader_epoch: 0 },
      { leader: 0, leader_epoch: 0, isr: [-1] },
      { leader: -1, leader_epoch: 2 ** 31 - 1, isr: [] },
      { leader: -1, leader_epoch: 0, controller_epoch: 2 ** 40, isr: [] },
      { leader: 4, leader_epoch: 0, isr: [4] },
      { leader: 0, leader_epoch: 0, isr: [0, 0] },
      { leader: 0, leader_epoch: 0, isr: [0], elr: [0], min_isr: 2 },
      { leader: 0, leader_epoch: 0, isr: [0], elr: [1], min_isr: 1 },
      { leader: 0, leader_epoch: 0, isr: [0], elr: ['1'], min_isr: 2 },
      { leader: 0, leader_epoch: 0, isr: [0], min_isr: 0 },
      { leader: 0, leader_epoch: 0, isr: [1, 2] },
    ],
  },
  {
    decode: (data) => decodeConfig(PATH, data),
    good: [
      [encodeConfig(new Map([['a', 'b']])), new Map([['a', 'b']])],
      [json({ config: { n: 5 } }), new Map([['n', '5']])],
    ],
    bad: [
      {},
      { config: null },
      { config: 'a' },
      { config: ['a'] },
      { config: { a: {} } },
      { config: { a: null } },
    ],
  },
  {
    decode: (data) => decodeBroker(PATH, data),
    good: [
      [
        json({ endpoints: ['A://[::1]:9', 'B://h:8'], rack: 'r', samsa_lineage: [3, 'x'] }),
        {
          endpoints: new Map([
            ['A', { host: '::1', port: 9 }],
            ['B', { host: 'h', port: 8 }],
          ]),
          rack: 'r',
          lineage: [3],
        },
      ],
    ],
    bad: [
      {},
      { endpoints: 'A://h:1' },
      { endpoints: ['h:1'] },
      { endpoints: ['A://h:70000'] },
      { endpoints: [], samsa_lineage: 3 },
    ],
  },
  {
    decode: (data) => decodeAccepted(PATH, data),
    good: [
      [encodeAccepted({ epoch: 5, fenced: true, doubtEpoch: 2 }), { epoch: 5, fenced: true, doubtEpoch: 2 }],
      [json({ epoch: 5, fenced: false }), { epoch: 5, fenced: false, doubtEpoch: -1 }],
    ],
    bad: [{}, { epoch: 'x', fenced: true }, { epoch: -1, fenced: true }, { epoch: 1, fenced: 'no' }],
  },
  {
    decode: decodeController,
    good: [[encodeController(7, 1), 7]],
    bad: [{}, { brokerid: '7' }, { brokerid: -1 }],
  },
  {
    decode: decodeClusterId,
    good: [[encodeClusterId('an id'), 'an id']],
    bad: [{}, { id: 7 }, { id: null }],
  },
  {
    decode: decodeProducerIdBlock,
    good: [
      [encodeProducerIdBlock({ brokerId: 0, first: 1_000, last: 1_999 }), 1_999],
      [json({ block_end: '-1' }), -1],
    ],
    bad: [
      {},
      { block_end: 5 },
      { block_end: '' },
      { block_end: 'x' },
      { block_end: '1.5' },
      { block_end: String(2 ** 53) },
    ],
  },
  {
    decode: decodeControllerEpoch,
    good: [
      [Buffer.from('0'), 0],
      [Buffer.from('17'), 17],
    ],
    bad: ['x', { epoch: 1 }, -1, 1.5, 2 ** 31],
  },
  {
    decode: decodeKafkaMetadata,
    good: [[encodeKafkaMetadata('taken'), 'taken']],
    bad: [{}, { state: 1 }, { state: null }],
  },
]

test('a node is read as it was written, and what is not one is damage', () => {
  for (const { decode, good, bad } of NODES) {
    for (const [data, decoded] of good) assert.deepEqual(decode(data), decoded)
    for (const value of [...bad, 'text', [], ['a']]) {
      const found = decode(json(value))
      assert.ok(found instanceof Damage, JSON.stringify(value))
      assert.throws(() => whole(found), damaged)
    }
    assert.ok(decode(Buffer.from('{')) instanceof Damage)
  }
})

test('nodes have the versions and fields that Kafka’s have', () => {
  const fields = (data: Buffer): unknown => JSON.parse(data.toString())
  assert.deepEqual(fields(encodeTopic('an id', [[0]])), {
    version: 3,
    topic_id: 'an id',
    partitions: { 0: [0] },
    adding_replicas: {},
    removing_replicas: {},
  })
  assert.deepEqual(fields(encodePartitionState(STATE)), {
    version: 1,
    leader: 3,
    leader_epoch: 5,
    controller_epoch: 9,
    isr: [3, 0],
    leader_recovery_state: 1,
    elr: [1],
    last_known_elr: [2],
    min_isr: 3,
    leader_broker_epoch: 77,
  })
  assert.deepEqual(fields(encodeConfig(new Map([['a', 'b']]))), { version: 1, config: { a: 'b' } })
  const broker = {
    lineage: [3, 5],
    endpoints: ['PLAINTEXT://a:1'],
    protocols: new Map([['PLAINTEXT', 'PLAINTEXT']]),
    incarnation: 'x',
    timestampMs: 5,
  }
  const encoded = {
    version: 5,
    endpoints: ['PLAINTEXT://a:1'],
    listener_security_protocol_map: { PLAINTEXT: 'PLAINTEXT' },
    features: {},
    host: null,
    port: -1,
    jmx_port: -1,
    timestamp: '5',
    incarnation: 'x',
    samsa_lineage: [3, 5],
  }
  assert.deepEqual(fields(encodeBroker({ ...broker, rack: null })), encoded)
  assert.deepEqual(fields(encodeBroker({ ...broker, rack: 'r' })), { ...encoded, rack: 'r' })
  assert.deepEqual(fields(encodeController(7, 5)), { version: 1, brokerid: 7, timestamp: '5' })
  assert.deepEqual(fields(encodeClusterId('an id')), { version: '1', id: 'an id' })
  assert.deepEqual(fields(encodeKafkaMetadata('taken')), { version: 1, state: 'taken' })
  assert.deepEqual(fields(encodeProducerIdBlock({ brokerId: 7, first: 0, last: 999 })), {
    version: 1,
    broker: 7,
    block_start: '0',
    block_end: '999',
  })
})
