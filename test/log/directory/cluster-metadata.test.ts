import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KraftResource } from '../../../src/core/kraft/kraft-image.ts'
import type { KraftImage } from '../../../src/core/kraft/kraft-image.ts'
import { KraftReplay } from '../../../src/core/kraft/kraft-replay.ts'
import { findClusterMetadata, readClusterMetadata } from '../../../src/log/directory/cluster-metadata.ts'
import { writeWhole } from '../../../src/log/files/disk-calls.ts'
import type { Disk } from '../../../src/ports.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { onEveryDisk } from '../log-fixture.ts'
import { batchesOf, putGolden } from './cluster-metadata-golden.ts'
import type { Golden } from './cluster-metadata-golden.ts'

async function read(disk: Disk, logDir: string): Promise<KraftReplay> {
  const found = findClusterMetadata(disk, ['/nowhere', logDir])
  assert(found !== null)
  return readClusterMetadata(disk, found, () => new KraftReplay())
}

function summary(image: KraftImage): unknown {
  const names = [...image.topics().keys()].toSorted((a, b) => (a < b ? -1 : 1))
  return names.map((name) => [
    name,
    [...image.topics().get(name)!.partitions.keys()],
    Object.fromEntries(image.configOf(KraftResource.TOPIC, name)),
  ])
}

const BEFORE_THE_END = [
  ['compacted', [0], { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0.1' }],
  ['forever', [0, 1, 2], { 'retention.ms': '-1' }],
  ['plain', [0], {}],
]

for (const golden of ['kafka-4.3', 'kafka-3.3'] as const) {
  onEveryDisk(`what ${golden} left is read`, async (world, directory) => {
    await putGolden(world.disk, golden, directory)
    const { image, unknown } = await read(world.disk, directory)
    assert.deepEqual(summary(image), BEFORE_THE_END)
    assert.equal(unknown.size, 0)
    assert.equal(image.removedTopicIds.size, 1)
    const defaults = Object.fromEntries(image.configOf(KraftResource.BROKER, ''))
    assert.equal(defaults['log.segment.delete.delay.ms'], '1000')
    assert.deepEqual([...image.configOf(KraftResource.BROKER, '1')], [['log.retention.ms', '259200000']])
    const [quota] = image.quotas.values()
    assert.deepEqual(quota, {
      entity: [{ entityType: 'client-id', entityName: 'app' }],
      key: 'producer_byte_rate',
      value: 1024,
    })
    const [acl] = image.acls.values()
    assert.equal(acl?.principal, 'User:bob')
    assert.deepEqual(
      [...image.credentials.values()].map(({ name, iterations }) => [name, iterations]),
      golden === 'kafka-3.3' ? [] : [['alice', 4096]],
    )
    const topic = image.topics().get('forever')!
    assert.match(topic.topicId, /^[\w-]{22}$/)
    const partition = topic.partitions.get(0)!
    assert.deepEqual(partition.replicas, [1])
    // The broker that stopped led it, and then nobody.
    if (golden === 'kafka-4.3') {
      assert.equal(partition.leader, -1)
      assert.equal(partition.leaderEpoch, 1)
      assert.deepEqual(partition.isr, [])
      assert.equal(partition.directories.length, 1)
    } else assert.deepEqual(partition.directories, [])
  })
}

test('a snapshot and the log behind it say what the whole log says', async () => {
  const images: unknown[] = []
  for (const keep of [/./, /log$/, /58-|log$/]) {
    const sim = new SimWorld(1)
    await sim.run(async () => {
      const { disk } = sim.start().world
      await putGolden(disk, 'snapshots', '/data', (name, bytes) => (keep.test(name) ? bytes : null))
      const { image } = await read(disk, '/data')
      const { removedTopicIds: _, ...rest } = image
      images.push(rest)
      assert.deepEqual(summary(image), [...BEFORE_THE_END.slice(0, 2), ['later', [0], {}]])
    })
  }
  assert.deepEqual(images[1], images[0])
  assert.deepEqual(images[2], images[0])
})

test('a snapshot without its log is enough, and one that is not whole is passed over', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const { disk } = sim.start().world
    await putGolden(disk, 'snapshots', '/alone', (name, bytes) => (name.endsWith('.log') ? null : bytes))
    const whole = summary((await read(disk, '/alone')).image)
    assert.deepEqual(whole, [...BEFORE_THE_END.slice(0, 2), ['later', [0], {}]])
    for (const [i, cut] of [100, 1000, 1999].entries()) {
      await putGolden(disk, 'snapshots', `/cut-${i}`, (name, bytes) =>
        name.includes('64-') ? bytes.subarray(0, cut) : bytes,
      )
      assert.deepEqual(summary((await read(disk, `/cut-${i}`)).image), whole)
    }
  })
})

const DAMAGES: readonly (readonly [string, Golden, (name: string, bytes: Buffer) => Buffer | null])[] = [
  ['nothing is there', 'kafka-4.3', () => null],
  ['a bit in the middle is wrong', 'kafka-4.3', (_name, bytes) => flipped(bytes, 2_000)],
  [
    'the snapshots and their log are damaged',
    'snapshots',
    (_name, bytes) => flipped(bytes, bytes.length >> 1),
  ],
  [
    'the only snapshot is damaged and the log is gone',
    'snapshots',
    (name, bytes) => (name.includes('58-') ? flipped(bytes, 900) : null),
  ],
]

function flipped(bytes: Buffer, at: number): Buffer {
  const damaged = Buffer.from(bytes)
  if (at < damaged.length) damaged[at]! ^= 0x10
  return damaged
}

for (const [what, golden, damage] of DAMAGES) {
  test(`refused: ${what}`, async () => {
    const sim = new SimWorld(1)
    await sim.run(async () => {
      const { disk } = sim.start().world
      await putGolden(disk, golden, '/data', damage)
      await assert.rejects(read(disk, '/data'), {
        code: 'SAMSA_LOG_CORRUPT',
        message: /__cluster_metadata-0: /,
      })
    })
  })
}

test('what a crash left half written at the end is left out, wherever it was cut', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const { disk } = sim.start().world
    for (let left = 0; left < 3_691; left += 37) {
      await putGolden(disk, 'kafka-4.3', `/cut-${left}`, (name, bytes) =>
        name.endsWith('.log') ? bytes.subarray(0, left) : bytes,
      )
      const { image } = await read(disk, `/cut-${left}`)
      const names = [...image.topics().keys()]
      assert.deepEqual(
        names,
        ['forever', 'gone', 'compacted', 'plain'].filter((name) => names.includes(name)),
      )
      if (left > 2_200) assert.deepEqual(names, ['forever', 'compacted', 'plain'])
      // Zeros that were reserved, too.
      await putGolden(disk, 'kafka-4.3', `/cut-${left}`, (name, bytes) =>
        name.endsWith('.log') ? Buffer.concat([bytes, Buffer.alloc(5_000)]) : bytes,
      )
      assert.equal((await read(disk, `/cut-${left}`)).image.topicsById.size, 3)
    }
  })
})

async function put(disk: Disk, path: string): Promise<void> {
  await writeWhole(disk, path, Buffer.from('{"version":0,"brokerEpoch":1}'), true)
}

test('a log that ends before the offset at which Kafka closed it is damaged, wherever it was cut', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const { disk } = sim.start().world
    const ways = [
      (bytes: Buffer, left: number) => bytes.subarray(0, left),
      (bytes: Buffer, left: number) => Buffer.concat([bytes.subarray(0, left), Buffer.alloc(500)]),
    ]
    const batches = batchesOf('kafka-4.3')
    const end = batches.at(-1)!.endOffset
    const producerSnapshot = `__cluster_metadata-0/${String(end).padStart(20, '0')}.snapshot`
    for (const { at, bytes: size } of batches)
      for (const [i, way] of ways.entries())
        for (const left of [at, at + 30, at + (size >> 1)]) {
          const logDir = `/cut-${left}-${i}`
          await putGolden(disk, 'kafka-4.3', logDir, (name, bytes) =>
            name.endsWith('.log') ? way(bytes, left) : bytes,
          )
          await put(disk, `${logDir}/${producerSnapshot}`)
          await assert.rejects(read(disk, logDir), { code: 'SAMSA_LOG_CORRUPT' }, logDir)
        }
    // And with that snapshot behind a whole log, and zeros, it is as it was.
    await putGolden(disk, 'kafka-4.3', '/whole', (name, bytes) =>
      name.endsWith('.log') ? Buffer.concat([bytes, Buffer.alloc(500)]) : bytes,
    )
    for (const name of [producerSnapshot, '.kafka_cleanshutdown']) await put(disk, `/whole/${name}`)
    assert.deepEqual(summary((await read(disk, '/whole')).image), BEFORE_THE_END)
  })
})

test('after a clean stop nothing is half written: an end that does not decode is damage', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const { disk } = sim.start().world
    const last = batchesOf('kafka-4.3').at(-1)!
    await putGolden(disk, 'kafka-4.3', '/data', (name, bytes) =>
      name.endsWith('.log') ? bytes.subarray(0, last.at + 40) : bytes,
    )
    assert.deepEqual(summary((await read(disk, '/data')).image), BEFORE_THE_END)
    await put(disk, '/data/.kafka_cleanshutdown')
    await assert.rejects(read(disk, '/data'), { code: 'SAMSA_LOG_CORRUPT', message: /at position \d+/ })
  })
})

test('a log that ends before its snapshot is damaged, and an older snapshot is no way around that', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const { disk } = sim.start().world
    const { at } = batchesOf('snapshots').find(({ endOffset }) => endOffset > 62)!
    await putGolden(disk, 'snapshots', '/data', (name, bytes) =>
      name.endsWith('.log') ? bytes.subarray(0, at) : bytes,
    )
    await assert.rejects(read(disk, '/data'), { message: /ends at offset \d+, and ended at 64 before/ })
  })
})

test('the state tells whether Apache Kafka wrote there since', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const { disk } = sim.start().world
    const states = []
    for (const golden of ['kafka-4.3', 'kafka-3.3', 'snapshots', 'kafka-4.3'] as const) {
      await putGolden(disk, golden, `/${golden}`)
      states.push(findClusterMetadata(disk, [`/${golden}`])?.state)
    }
    assert.equal(new Set(states).size, 3)
    assert.equal(states[0], states[3])
    assert.equal(findClusterMetadata(disk, ['/nowhere']), null)
  })
})
