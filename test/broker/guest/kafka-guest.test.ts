import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import { deleteRecordsRequest, deleteRecordsResponse } from '../../../protocol/messages/21-delete-records.ts'
import type { KraftImage } from '../../../src/core/kraft/kraft-image.ts'
import { readSmall, removePath, syncDirectory, writeAt } from '../../../src/log/files/disk-calls.ts'
import type { Disk } from '../../../src/ports.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import type { SimBroker } from '../../api/sim-broker.ts'
import { putGolden } from '../../log/directory/cluster-metadata-golden.ts'
import {
  DATA,
  inSim,
  leftAfterAWhile,
  loseStore,
  namesIn,
  putGuest,
  putPartition,
  startCutShort,
  startGuest,
  warningsOf,
} from './guest-fixture.ts'

const WHOLE = '0..12 whole'
const UNKNOWN_ID = 'AAAAAAAAQACAAAAAAAAAAg'
const LEFT_BY_CONFIGURATION = {
  'compacted-0': '0..12 less',
  'forever-0': WHOLE,
  'forever-1': WHOLE,
  'forever-2': WHOLE,
  'plain-0': '12..12 less',
}
const ALL_LEFT = { ...LEFT_BY_CONFIGURATION, 'compacted-0': WHOLE, 'plain-0': WHOLE }
/** Of `snapshots`: before `compacted` was altered, `forever` grown, `plain` deleted and `later` made. */
const EARLIER = (name: string, bytes: Buffer): Buffer | null =>
  name.endsWith('.log') ? bytes.subarray(0, 2_138) : null

/** Starts twice: what was decided at the first start holds at the second. */
async function startTwice(
  sim: SimWorld,
  check: (broker: SimBroker, isFirst: boolean) => Promise<void>,
): Promise<void> {
  for (const isFirst of [true, false]) {
    const broker = await startGuest(sim)
    await check(broker, isFirst)
    await broker.stop()
  }
}

function overridesOf({ running }: SimBroker, topic: string): Record<string, string> {
  return Object.fromEntries(running.broker.metadata.topics.get(topic)!.config.overrides)
}

const HELD = { 'cleanup.policy': 'delete', 'retention.ms': '-1', 'retention.bytes': '-1' }

for (const golden of ['kafka-4.3', 'kafka-3.3'] as const) {
  inSim(`topics of ${golden} keep their ids and configurations`, async (sim) => {
    const image = await putGuest(sim, golden)
    await startTwice(sim, async (broker, isFirst) => {
      assert.deepEqual(await leftAfterAWhile(sim, broker), LEFT_BY_CONFIGURATION)
      const { metadata } = broker.running.broker
      for (const { name, topicId, partitions } of image.topicsById.values()) {
        const topic = metadata.topics.get(name)!
        assert.equal(topic.topicId, topicId)
        assert.equal(topic.partitions.length, partitions.size)
        for (const [index, { leaderEpoch }] of partitions)
          assert(topic.partitions[index]!.leaderEpoch > leaderEpoch, name)
      }
      assert.deepEqual(overridesOf(broker, 'forever'), { 'retention.ms': '-1' })
      assert.deepEqual(overridesOf(broker, 'plain'), {})
      assert.equal(metadata.clusterDefaults.get('log.segment.delete.delay.ms'), '1000')
      assert.equal(metadata.config['log.retention.ms'], 259_200_000)
      assert.equal(warningsOf(broker, /NOT ENFORCED/).length, 1)
      assert.equal(warningsOf(broker, /kafka-configs/).length, 0)
      if (!isFirst) assert((await metadata.nextProducerId()) >= image.nextProducerId)
    })
  })
}

inSim('ACLs, quotas and credentials are kept beside the logs', async (sim) => {
  await putGuest(sim, 'kafka-4.3')
  const broker = await startGuest(sim)
  const kept = JSON.parse(
    readSmall(broker.process.world.disk, `${DATA}/samsa-kafka-metadata.json`)!.toString(),
  ) as Record<string, { [key: string]: unknown }[]>
  assert.equal(kept['acls']![0]!['principal'], 'User:bob')
  assert.deepEqual(kept['quotas']![0]!['entity'], [{ entityType: 'client-id', entityName: 'app' }])
  assert.equal(kept['credentials']![0]!['name'], 'alice')
  assert.equal(Buffer.from(String(kept['credentials']![0]!['storedKey']), 'base64').length, 32)
  await broker.stop()
})

const WITHOUT_METADATA: readonly (readonly [string, (name: string, bytes: Buffer) => Buffer | null])[] = [
  ['is gone', () => null],
  [
    'is damaged',
    (_name, bytes) => {
      const damaged = Buffer.from(bytes)
      damaged[damaged.length >> 1]! ^= 1
      return damaged
    },
  ],
]

for (const [what, damage] of WITHOUT_METADATA) {
  inSim(`Kafka's metadata ${what}: nothing is deleted or compacted until somebody says so`, async (sim) => {
    await putGuest(sim, 'kafka-4.3', damage)
    await startTwice(sim, async (broker, isFirst) => {
      assert.deepEqual(await leftAfterAWhile(sim, broker), ALL_LEFT)
      for (const topic of ['compacted', 'forever', 'plain'])
        assert.deepEqual(overridesOf(broker, topic), HELD)
      const told = broker.process.logger.lines.filter(({ message }) => message.includes('kafka-configs'))
      assert.deepEqual(
        told.map(({ fields }) => String(fields['topic'])).toSorted(byName),
        isFirst ? ['compacted', 'forever', 'plain'] : [],
      )
    })
    const broker = await startGuest(sim)
    const { metadata } = broker.running.broker
    const topics = [{ name: 'forever', partitions: [{ partitionIndex: 1, offset: 4 }] }]
    const answer = await broker.send([deleteRecordsRequest, deleteRecordsResponse], 2, {
      topics,
      timeoutMs: 1_000,
    })
    assert.equal(answer.topics[0]!.partitions[0]!.errorCode, 0)
    const alter = (name: string, changes: Record<string, string | null>): Promise<unknown> =>
      metadata.incrementalAlterConfigs(
        { kind: 'topic', name },
        Object.entries(changes).map(([key, value]) => ({
          name: key,
          operation: value === null ? ('delete' as const) : ('set' as const),
          value,
        })),
        false,
      )
    await alter('compacted', { 'cleanup.policy': 'compact' })
    await alter('plain', { 'cleanup.policy': null, 'retention.ms': null, 'retention.bytes': null })
    assert.deepEqual(await leftAfterAWhile(sim, broker), {
      ...LEFT_BY_CONFIGURATION,
      'forever-1': '4..12 whole',
    })
    await broker.stop()
  })
}

inSim('committed offsets are compacted whoever wrote them', async (sim) => {
  const { disk } = sim.start().world
  await putPartition(disk, '__consumer_offsets-0', UNKNOWN_ID)
  await putPartition(disk, '__transaction_state-0', 'AAAAAAAAQACAAAAAAAAABA')
  const broker = await startGuest(sim)
  assert.equal(overridesOf(broker, '__consumer_offsets')['cleanup.policy'], 'compact')
  assert.deepEqual(overridesOf(broker, '__transaction_state'), HELD)
  assert.equal(broker.running.broker.metadata.topics.get('__transaction_state')!.internal, true)
  await broker.stop()
})

inSim('the store is lost, and a new directory stands in front: what was kept is found', async (sim) => {
  await putGuest(sim, 'kafka-4.3')
  const before = await startGuest(sim)
  await before.stop()
  await loseStore(before)
  const broker = await startGuest(sim, { 'log.dirs': `/data2,${DATA}` })
  assert.deepEqual(overridesOf(broker, 'compacted'), { ...HELD, 'min.cleanable.dirty.ratio': '0.1' })
  assert.equal(warningsOf(broker, /NOT ENFORCED/).length, 1)
  await broker.stop()
  assert.deepEqual(namesIn(broker, /^samsa-(?!clean-stop)/), ['samsa-kafka-metadata.json'])
})

inSim('the store is lost: what Kafka once said may be past, so nothing is deleted', async (sim) => {
  await putGuest(sim, 'kafka-4.3')
  const before = await startGuest(sim)
  await before.createTopics({ name: 'ours', partitions: 1 })
  await before.stop()
  const { disk } = sim.start().world
  await loseStore(before)
  await removePath(disk, `${DATA}/plain-0`)
  await startTwice(sim, async (broker) => {
    const left = await leftAfterAWhile(sim, broker)
    assert.deepEqual(left, {
      'compacted-0': WHOLE,
      'forever-0': WHOLE,
      'forever-1': WHOLE,
      'forever-2': WHOLE,
      'ours-0': '0..0 less',
    })
    assert.deepEqual(overridesOf(broker, 'compacted'), { ...HELD, 'min.cleanable.dirty.ratio': '0.1' })
    // It may have been deleted here.
    assert(!broker.running.broker.metadata.topics.has('plain'))
  })
})

inSim('what Kafka deleted, or never knew, is set aside and does not come back', async (sim) => {
  const image = await putGuest(sim, 'kafka-4.3')
  const { disk } = sim.start().world
  const [goneId] = image.removedTopicIds
  await putPartition(disk, 'gone-0', goneId!)
  await putPartition(disk, 'unknown-0', UNKNOWN_ID)
  await startTwice(sim, async (broker) => {
    assert(!broker.running.broker.metadata.topics.has('gone'))
    assert(!broker.running.broker.metadata.topics.has('unknown'))
    assert.equal(namesIn(broker, /^(gone|unknown)-0\..*-stray$/).length, 2)
    assert.deepEqual(await leftAfterAWhile(sim, broker), LEFT_BY_CONFIGURATION)
  })
})

inSim('partitions without a directory start empty and are told of', async (sim) => {
  await putGuest(sim, 'kafka-4.3')
  const { disk } = sim.start().world
  for (const name of ['plain-0', 'forever-1']) await removePath(disk, `${DATA}/${name}`)
  await startTwice(sim, async (broker, isFirst) => {
    assert.deepEqual(await leftAfterAWhile(sim, broker), {
      ...LEFT_BY_CONFIGURATION,
      'forever-1': '0..0 less',
      'plain-0': '0..0 less',
    })
    const told = broker.process.logger.lines.filter(({ message }) =>
      message.includes('have no directory here'),
    )
    assert.deepEqual(told[0]?.fields['names'], isFirst ? ['forever-1', 'plain-0'] : undefined)
  })
})

inSim('partitions of other brokers have no leader here, and no directory is made', async (sim) => {
  await putGuest(sim, 'kafka-4.3')
  const { disk } = sim.start().world
  await removePath(disk, `${DATA}/forever-1`)
  for (let starts = 0; starts < 2; starts++) {
    const broker = await startGuest(sim, { 'broker.id': '2' })
    const { partitions } = broker.running.broker.metadata.topics.get('forever')!
    assert.deepEqual(
      partitions.map(({ leader }) => leader),
      [2, -1, 2],
    )
    assert.equal(namesIn(broker, /^forever-1$/).length, 0)
    await broker.stop()
  }
})

async function checkWhatKafkaChanged(sim: SimWorld, broker: SimBroker, image: KraftImage): Promise<void> {
  const { metadata } = broker.running.broker
  assert.deepEqual([...metadata.topics.keys()].toSorted(byName), ['compacted', 'forever', 'later'])
  assert.deepEqual(overridesOf(broker, 'compacted'), {
    'cleanup.policy': 'compact',
    'min.cleanable.dirty.ratio': '0.1',
  })
  assert.equal(metadata.topics.get('forever')!.partitions.length, 3)
  assert.equal(metadata.topics.get('later')!.topicId, image.topics().get('later')!.topicId)
  assert.equal(metadata.config['log.retention.ms'], 259_200_000)
  const left = await leftAfterAWhile(sim, broker)
  assert.equal(left['forever-0'], WHOLE)
  assert.equal(left['forever-2'], WHOLE)
  assert.equal(left['later-0'], '12..12 less')
}

function byName(a: string, b: string): number {
  return a < b ? -1 : 1
}

for (const lost of ['', ' and the store is lost']) {
  inSim(`Kafka had the directory again${lost}: what it changed since holds`, async (sim) => {
    await putGuest(sim, 'snapshots', undefined, EARLIER)
    const before = await startGuest(sim)
    const { metadata } = before.running.broker
    assert.deepEqual([...metadata.topics.keys()].toSorted(byName), ['compacted', 'forever', 'plain'])
    assert.equal(metadata.topics.get('forever')!.partitions.length, 2)
    await metadata.incrementalAlterConfigs(
      { kind: 'topic', name: 'forever' },
      [{ name: 'retention.ms', operation: 'set', value: '5' }],
      false,
    )
    await before.stop()
    if (lost !== '') await loseStore(before)
    const image = await putGuest(sim, 'snapshots')
    await startTwice(sim, async (broker, isFirst) => {
      await checkWhatKafkaChanged(sim, broker, image)
      const { lines } = broker.process.logger
      const replaced = lines.filter(({ message }) => message.startsWith('what was set here'))
      if (isFirst && lost === '')
        assert.deepEqual(
          replaced.map(({ fields }) => fields),
          [{ resource: { kind: 'topic', name: 'forever' }, keys: ['retention.ms'] }],
        )
      // Kafka deleted it, and had not yet taken it away.
      assert.equal(namesIn(broker, /^plain-0\..*-stray$/).length, 1)
    })
  })
}

inSim('a store that never read it is told what it lacks, and loses nothing', async (sim) => {
  await putGuest(sim, 'kafka-4.3', () => null)
  const before = await startGuest(sim)
  await before.running.broker.metadata.deleteTopic('plain')
  await before.stop()
  await putGolden(sim.start().world.disk, 'kafka-4.3', DATA)
  await startTwice(sim, async (broker) => {
    assert.deepEqual(overridesOf(broker, 'compacted'), { ...HELD, 'min.cleanable.dirty.ratio': '0.1' })
    assert(!broker.running.broker.metadata.topics.has('plain'))
    assert.equal((await leftAfterAWhile(sim, broker))['compacted-0'], WHOLE)
  })
})

inSim("nothing is written into Kafka's own directory", async (sim) => {
  await putGuest(sim, 'snapshots')
  const seen = (broker: SimBroker): string[] => {
    const { disk } = broker.process.world
    const directory = `${DATA}/__cluster_metadata-0`
    return disk
      .list(directory)
      .map((name) => `${name} ${disk.readFile(`${directory}/${name}`).toString('base64')}`)
  }
  const states: string[][] = []
  await startTwice(sim, async (broker) => {
    states.push(seen(broker))
    await leftAfterAWhile(sim, broker)
    states.push(seen(broker))
  })
  for (const state of states) assert.deepEqual(state, states[0])
  assert.equal(states[0]!.length, 3)
})

inSim('metadata that Kafka kept elsewhere is found by metadata.log.dir', async (sim) => {
  await putGuest(sim, 'kafka-4.3', () => null)
  await putGolden(sim.start().world.disk, 'kafka-4.3', '/elsewhere')
  const broker = await startGuest(sim, { 'metadata.log.dir': '/elsewhere' })
  assert.deepEqual(await leftAfterAWhile(sim, broker), LEFT_BY_CONFIGURATION)
  await broker.stop()
})

test('a power cut at any time of the takeover costs nothing', async () => {
  for (let seed = 0; seed < 30; seed++) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const image = await putGuest(sim, 'kafka-4.3')
      await putPartition(sim.start().world.disk, 'gone-0', [...image.removedTopicIds][0]!)
      const cutShort = startCutShort(sim)
      await sim.scheduler.sleep(seed * 3)
      await cutShort()
      const broker = await startGuest(sim)
      assert.deepEqual(await leftAfterAWhile(sim, broker), LEFT_BY_CONFIGURATION, `seed ${seed}`)
      for (const { name, topicId } of image.topicsById.values())
        assert.equal(broker.running.broker.metadata.topics.get(name)?.topicId, topicId)
      assert.equal(broker.running.broker.metadata.config['log.retention.ms'], 259_200_000)
      await broker.stop()
    })
  }
})

inSim(
  'a log directory is offline at the takeover: its topics keep their configuration when it comes back',
  async (sim) => {
    const image = await putGuest(sim, 'kafka-4.3')
    const { disk } = sim.start().world
    for (const name of ['forever-1', 'compacted-0']) {
      await putPartition(disk, name, image.topics().get(name.split('-')[0]!)!.topicId, '/data2')
      await removePath(disk, `${DATA}/${name}`)
    }
    const dirs = { 'log.dirs': `${DATA},/data2` }
    sim.faults.add({ operation: 'read', code: 'EIO', path: /^\/data2/ })
    const before = await startGuest(sim, dirs)
    const offline = before.running.broker.partitions.get('forever', 1)!
    assert.equal(offline.errorCode, ErrorCode.KAFKA_STORAGE_ERROR)
    await before.stop()
    sim.faults.clear()
    const broker = await startGuest(sim, dirs)
    assert.deepEqual(await leftAfterAWhile(sim, broker), LEFT_BY_CONFIGURATION)
    await broker.stop()
  },
)

for (const [what, content] of [
  ['empty', ''],
  ['no JSON', '{"state":'],
  ['of another kind', '[]'],
  ['gone', null],
] as const) {
  inSim(`the store is lost and what was kept is ${what}: nothing of Kafka's is deleted`, async (sim) => {
    await putGuest(sim, 'kafka-4.3')
    const before = await startGuest(sim)
    await before.stop()
    await loseStore(before)
    const { disk } = sim.start().world
    await removePath(disk, `${DATA}/samsa-kafka-metadata.json`)
    if (content !== null) {
      const file = disk.open(`${DATA}/samsa-kafka-metadata.json`, 'create')
      await writeAt(file, 0, [Buffer.from(content)], true)
      file.close()
    }
    const broker = await startGuest(sim)
    const left = await leftAfterAWhile(sim, broker)
    // Without it this is a first start.
    assert.deepEqual(left, content === null ? LEFT_BY_CONFIGURATION : ALL_LEFT)
    await broker.stop()
  })
}

inSim('more topics than may be served: those that are keep what clients change', async (sim) => {
  await putGuest(sim, 'kafka-4.3')
  const limit = { 'samsa.max.partitions': '4' }
  const before = await startGuest(sim, limit)
  const { metadata } = before.running.broker
  const [served] = [...metadata.topics.keys()]
  assert(metadata.topics.size < 3)
  const changed = [{ name: 'retention.ms', operation: 'set' as const, value: '77' }]
  await metadata.incrementalAlterConfigs({ kind: 'topic', name: served! }, changed, false)
  await before.stop()
  const broker = await startGuest(sim)
  assert.equal(overridesOf(broker, served!)['retention.ms'], '77')
  assert.equal(broker.running.broker.metadata.topics.size, 3)
  await broker.stop()
})

/** As Apache Kafka does with what it does not know. */
async function setAside(disk: Disk, name: string, logDir = DATA): Promise<void> {
  disk.rename(`${logDir}/${name}`, `${logDir}/${name}.${'5'.repeat(32)}-stray`)
  await syncDirectory(disk, logDir)
}

inSim('what Kafka set aside of topics that were made here comes back', async (sim) => {
  const long = 'x'.repeat(240)
  await putGuest(sim, 'kafka-4.3')
  const before = await startGuest(sim)
  await before.createTopics({ name: 'ours', partitions: 2 }, { name: long, partitions: 1 })
  const { metadata } = before.running.broker
  const idOf = (name: string): string => metadata.topics.get(name)!.topicId
  await before.stop()
  const { disk } = sim.start().world
  // Records in them, for they may be of any age.
  for (const name of ['ours-0', 'ours-1', `${long}-0`]) {
    await removePath(disk, `${DATA}/${name}`)
    await putPartition(disk, name, idOf(name.slice(0, -2)))
  }
  for (const name of ['ours-0', 'ours-1']) await setAside(disk, name)
  disk.rename(`${DATA}/${long}-0`, `${DATA}/${long.slice(0, 214)}-0.${'6'.repeat(32)}-stray`)
  // Of another topic of that name, and of no topic.
  await putPartition(disk, 'forever-1', UNKNOWN_ID, '/other')
  disk.rename('/other/forever-1', `${DATA}/forever-1.${'7'.repeat(32)}-stray`)
  await putPartition(disk, 'nobody-0', UNKNOWN_ID)
  await setAside(disk, 'nobody-0')
  await startTwice(sim, async (broker, isFirst) => {
    const { logs } = broker.running.broker
    for (const [topic, index] of [
      ['ours', 0],
      ['ours', 1],
      [long, 0],
    ] as const)
      assert.equal(logs.get(topic, index)?.logEndOffset, 12)
    assert.equal(namesIn(broker, /-stray$/).length, 2)
    assert.equal(warningsOf(broker, /set aside is back/).length, isFirst ? 3 : 0)
  })
})

inSim(
  'what was set aside stays there when the partition is there, or may be, or is set aside twice',
  async (sim) => {
    const dirs = { 'log.dirs': `${DATA},/data2` }
    const before = await startGuest(sim, dirs)
    await before.createTopics(
      { name: 'there', partitions: 1 },
      { name: 'twice', partitions: 1 },
      { name: 'may', partitions: 1 },
    )
    const { metadata } = before.running.broker
    const idOf = (name: string): string => metadata.topics.get(name)!.topicId
    await before.stop()
    const { disk } = sim.start().world
    await putPartition(disk, 'there-0', idOf('there'), '/spare')
    disk.rename('/spare/there-0', `/data2/there-0.${'5'.repeat(32)}-stray`)
    for (const logDir of [DATA, '/data2']) {
      await removePath(disk, `${logDir}/twice-0`)
      await putPartition(disk, 'twice-0', idOf('twice'), logDir)
      await setAside(disk, 'twice-0', logDir)
      await removePath(disk, `${logDir}/may-0`)
    }
    await putPartition(disk, 'may-0', idOf('may'))
    await setAside(disk, 'may-0')
    sim.faults.add({ operation: 'read', code: 'EIO', path: /^\/data2/ })
    const without = await startGuest(sim, dirs)
    assert.equal(without.running.broker.partitions.get('may', 0)!.errorCode, ErrorCode.KAFKA_STORAGE_ERROR)
    await without.stop()
    sim.faults.clear()
    const broker = await startGuest(sim, dirs)
    const { logs } = broker.running.broker
    assert.equal(logs.get('may', 0)?.logEndOffset, 12)
    assert.equal(logs.get('there', 0)?.logEndOffset, 0)
    assert.equal(logs.get('twice', 0)?.logEndOffset, 0)
    await broker.stop()
  },
)

inSim('a log directory of Kafka is none of ours: its partitions wait for it', async (sim) => {
  const image = await putGuest(sim, 'kafka-4.3')
  const { disk } = sim.start().world
  for (const name of ['plain-0', 'forever-1']) await removePath(disk, `${DATA}/${name}`)
  // Kafka's directory is the other one.
  const meta = readSmall(disk, `${DATA}/meta.properties`)!
  await removePath(disk, `${DATA}/meta.properties`)
  await startTwice(sim, async (broker) => {
    for (const [topic, index] of [
      ['plain', 0],
      ['forever', 1],
    ] as const)
      assert.equal(
        broker.running.broker.partitions.get(topic, index)!.errorCode,
        ErrorCode.KAFKA_STORAGE_ERROR,
      )
    assert.equal(broker.running.broker.partitions.get('forever', 0)!.errorCode, ErrorCode.NONE)
    assert.equal(namesIn(broker, /^(plain-0|forever-1)$/).length, 0)
    const told = broker.process.logger.messages('error').filter((message) => message.includes('wait for it'))
    assert.equal(told.length, 1)
  })
  disk.makeDirectory('/data2')
  const file = disk.open('/data2/meta.properties', 'replace')
  await writeAt(file, 0, [meta], true)
  file.close()
  const { topicId } = image.topics().get('forever')!
  await putPartition(disk, 'forever-1', topicId, '/data2')
  const broker = await startGuest(sim, { 'log.dirs': `${DATA},/data2` })
  const left = await leftAfterAWhile(sim, broker)
  assert.equal(left['forever-1'], WHOLE)
  // Its directory is here, and it is not in it.
  assert.equal(left['plain-0'], '0..0 less')
  await broker.stop()
})

inSim(
  'a topic that is deleted while its log directory is offline does not come back with it',
  async (sim) => {
    const image = await putGuest(sim, 'kafka-4.3')
    const { disk } = sim.start().world
    await putPartition(disk, 'plain-0', image.topics().get('plain')!.topicId, '/data2')
    await removePath(disk, `${DATA}/plain-0`)
    const dirs = { 'log.dirs': `${DATA},/data2` }
    sim.faults.add({ operation: 'read', code: 'EIO', path: /^\/data2/ })
    const before = await startGuest(sim, dirs)
    assert.equal((await before.running.broker.metadata.deleteTopic('plain')).errorCode, ErrorCode.NONE)
    await before.stop()
    sim.faults.clear()
    const broker = await startGuest(sim, dirs)
    assert(!broker.running.broker.metadata.topics.has('plain'))
    assert.equal(disk.list('/data2').filter((name) => /^plain-0\..*-stray$/.test(name)).length, 1)
    await broker.stop()
  },
)
