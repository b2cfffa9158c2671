import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import type { MetadataChange } from '../../../protocol/messages/1000-metadata-poll.ts'
import { parseBrokerConfig } from '../../../src/core/config/broker-config.ts'
import { ClusterImage } from '../../../src/metadata/cluster/cluster-image.ts'
import type { TopicImage } from '../../../src/metadata/image/metadata-image.ts'
import type { MetadataListener } from '../../../src/metadata/image/metadata-state.ts'
import { SimWorld } from '../../simulator/sim-world.ts'

type Told = Partial<MetadataChange>

const NOTHING = { topicsGone: [], damagedTopics: [], brokers: [], topics: [], partitions: [], configs: [] }

function partition(topicId: string, index: number, partitionEpoch = 0, leader = 1) {
  return {
    topicId,
    index,
    replicas: [1],
    adding: [],
    removing: [],
    leader,
    leaderEpoch: partitionEpoch,
    leaderBrokerEpoch: 5,
    controllerEpoch: 1,
    partitionEpoch,
    isr: leader === -1 ? [] : [1],
    elr: [],
    lastKnownElr: leader === -1 ? [1, 2] : [],
    leaderRecoveryState: 0,
    minIsr: 1,
    damaged: false,
  }
}

function topic(name: string, topicId: string, overrides: readonly { name: string; value: string }[] = []) {
  return { name, topicId, overrides }
}

/** What a broker would carry out, in order. */
class Host implements MetadataListener {
  readonly heard: string[] = []

  async onTopicCreated({ name, partitions }: TopicImage): Promise<void> {
    this.heard.push(`${name} with ${partitions.length}`)
  }

  async onPartitionsAdded({ name }: TopicImage, added: readonly { index: number }[]): Promise<void> {
    this.heard.push(`${name} more ${added.map(({ index }) => index).join()}`)
  }

  async onTopicDeleted({ name, topicId }: TopicImage): Promise<void> {
    this.heard.push(`${name} ${topicId} gone`)
  }

  /** What a disk is still busy with. */
  slow: Promise<void> = Promise.resolve()

  async onPartitionsChanged(
    { name }: TopicImage,
    changed: readonly { index: number; partitionEpoch: number }[],
  ): Promise<void> {
    for (const { index, partitionEpoch } of changed) this.heard.push(`${name}-${index} at ${partitionEpoch}`)
    if (name === 'slow') await this.slow
  }

  onBrokersChanged(): void {
    this.heard.push('brokers')
  }

  logEnd(_topic: string, index: number): { lastEpoch: number; endOffset: number } | null {
    return index === 0 ? { lastEpoch: 3, endOffset: 70 } : null
  }

  onTopicConfigChanged({ name, config }: TopicImage): void {
    this.heard.push(`${name} keeps ${config['retention.ms']}`)
  }
}

class Known {
  readonly host = new Host()
  readonly known: ClusterImage
  readonly sim = new SimWorld(1)
  #sequence = 0

  constructor() {
    const values = new Map([
      ['broker.id', '1'],
      ['log.dirs', '/data'],
    ])
    const { config } = parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', origin: 'test', values }])
    this.known = new ClusterImage(config, this.sim.start().world)
    this.known.listener = this.host
  }

  async hears(change: Told, { full = false, controllerEpoch = 1 } = {}): Promise<string[]> {
    this.#sequence += 1
    const changes = [{ ...NOTHING, ...change, sequence: this.#sequence }]
    await this.known.apply({ errorCode: ErrorCode.NONE, controllerEpoch, full, changes })
    return this.host.heard.splice(0)
  }
}

test('what comes is carried out, and what is older than what is known is not', async () => {
  const known = new Known()
  const created = { topics: [topic('t', 'A')], partitions: [partition('A', 1), partition('A', 0, 4)] }
  assert.deepEqual(await known.hears(created, { full: true }), ['brokers', 't with 2'])
  assert.deepEqual(await known.hears({ partitions: [partition('A', 0, 4), partition('A', 1, 1)] }), [
    't-1 at 1',
  ])
  // Of a new controller that read before the one before it wrote.
  const stale = { topics: [topic('t', 'A')], partitions: [partition('A', 0, 3), partition('A', 1, 1)] }
  assert.deepEqual(await known.hears(stale, { full: true, controllerEpoch: 2 }), ['brokers'])
  assert.equal(known.known.image.topics.get('t')!.partitions[0]!.partitionEpoch, 4)
  assert.deepEqual([known.known.controllerEpoch, known.known.sequence], [2, 3])
})

test('what a full answer does not name is gone, and so is a topic whose name another one has', async () => {
  const known = new Known()
  await known.hears({
    topics: [topic('t', 'A'), topic('u', 'B')],
    partitions: [partition('A', 0), partition('B', 0)],
    brokers: [
      { id: 1, epoch: 5, fenced: false, shuttingDown: false, rack: null, endpoints: [] },
      { id: 2, epoch: 6, fenced: false, shuttingDown: false, rack: null, endpoints: [] },
    ],
  })
  const now = {
    topics: [topic('t', 'C')],
    partitions: [partition('C', 0)],
    brokers: [{ id: 2, epoch: 7, fenced: true, shuttingDown: false, rack: null, endpoints: [] }],
  }
  assert.deepEqual(await known.hears(now, { full: true }), ['t A gone', 'u B gone', 'brokers', 't with 1'])
  assert.deepEqual([...known.known.image.brokers.keys()], [2])
  assert.deepEqual(await known.hears({ topics: [topic('t', 'D')], partitions: [] }), ['t C gone', 't with 0'])
  assert.deepEqual(await known.hears({ topicsGone: ['D', 'never known'] }), ['t D gone'])
})

test('where a broker is stays known when a new controller cannot say', async () => {
  const known = new Known()
  const broker = { id: 2, epoch: 6, fenced: false, shuttingDown: false, rack: 'r' }
  await known.hears({ brokers: [{ ...broker, endpoints: [{ name: 'PLAINTEXT', host: 'h', port: 1 }] }] })
  await known.hears({ brokers: [{ ...broker, fenced: true, endpoints: [] }] })
  const { endpoints, fenced } = known.known.image.brokers.get(2)!
  assert.deepEqual([endpoints.get('PLAINTEXT'), fenced], [{ host: 'h', port: 1 }, true])
})

test('partitions of a topic that was half made come when those before them do', async () => {
  const known = new Known()
  const half = { topics: [topic('t', 'A')], partitions: [partition('A', 0), partition('A', 2)] }
  assert.deepEqual(await known.hears(half), ['t with 1'])
  assert.deepEqual(await known.hears({ partitions: [partition('A', 3)] }), [])
  assert.deepEqual(await known.hears({ partitions: [partition('A', 1)] }), ['t more 1,2,3'])
})

test('configurations of topics and of all brokers reach the topics', async () => {
  const known = new Known()
  await known.hears({ topics: [topic('t', 'A')], partitions: [partition('A', 0)] })
  const own = { topics: [topic('t', 'A', [{ name: 'retention.ms', value: '5' }])] }
  assert.deepEqual(await known.hears(own), ['t keeps 5'])
  assert.deepEqual(await known.hears(own), [])
  const defaults = { configs: [{ brokerId: -1, values: [{ name: 'log.retention.ms', value: '7' }] }] }
  assert.deepEqual(await known.hears(defaults), ['t keeps 5'])
  assert.deepEqual(await known.hears({ topics: [topic('t', 'A')] }), ['t keeps 7'])
  const others = { configs: [{ brokerId: 2, values: [{ name: 'log.retention.ms', value: '9' }] }] }
  assert.deepEqual(await known.hears(others), [])
  assert.deepEqual(await known.hears({ topics: [topic('t', 'A')] }, { full: true }), [
    'brokers',
    't keeps 604800000',
  ])
})

test('how far logs go is told of partitions that nobody can lead otherwise', async () => {
  const known = new Known()
  const lost = { ...partition('A', 0, 1, -1) }
  await known.hears({
    topics: [topic('t', 'A')],
    partitions: [
      lost,
      partition('A', 1, 1, -1),
      { ...partition('A', 2, 1, -1), elr: [2], lastKnownElr: [1] },
    ],
  })
  assert.deepEqual(known.known.awaitedLogs(), [{ topicId: 'A', index: 0, lastEpoch: 3, endOffset: 70 }])
  await known.hears({ partitions: [partition('A', 0, 2)] })
  assert.deepEqual(known.known.awaitedLogs(), [])
})

test('of what is damaged nobody is known to lead any more, and what is repaired is known whatever its version', async () => {
  const known = new Known()
  const both = { topics: [topic('t', 'A')], partitions: [partition('A', 0, 7), partition('A', 1, 2)] }
  await known.hears(both)
  const damaged = { ...partition('A', 0, -1, -1), leaderEpoch: 0, damaged: true }
  const told = { ...both, partitions: [damaged, partition('A', 1, 2)] }
  assert.deepEqual(await known.hears(told, { full: true, controllerEpoch: 2 }), ['brokers', 't-0 at -1'])
  const [first] = known.known.image.topics.get('t')!.partitions
  assert.deepEqual([first!.leader, first!.leaderEpoch, first!.isr], [-1, 7, []])
  assert.deepEqual(await known.hears(told, { full: true, controllerEpoch: 3 }), ['brokers'])
  // Its node was made anew, so its versions begin anew, too.
  const repaired = { ...partition('A', 0, 0), leaderEpoch: 7 }
  assert.deepEqual(await known.hears({ partitions: [repaired] }), ['t-0 at 0'])
  assert.deepEqual(await known.hears({ partitions: [{ ...repaired, leaderEpoch: 8 }] }), ['t-0 at 0'])
  assert.deepEqual(await known.hears({ partitions: [{ ...repaired, partitionEpoch: 9 }] }), [])
})

test('a topic that cannot be read stays where it is known, without leaders, until it can be', async () => {
  const known = new Known()
  const both = { topics: [topic('t', 'A')], partitions: [partition('A', 0, 7), partition('A', 1, 2)] }
  await known.hears(both)
  const damaged = { damagedTopics: ['t', 'never known'] }
  assert.deepEqual(await known.hears(damaged, { full: true }), ['brokers', 't-0 at -1', 't-1 at -1'])
  assert.ok(known.known.isDamaged('never known'))
  assert.deepEqual(await known.hears(both, { full: true }), ['brokers', 't-0 at 7', 't-1 at 2'])
  assert.ok(!known.known.isDamaged('never known'))
  assert.deepEqual(await known.hears({}, { full: true }), ['t A gone', 'brokers'])
})

test('a disk that is slow holds up nothing of other topics, nor what comes next, and is waited for by who wants to know', () => {
  const known = new Known()
  return known.sim.run(async () => {
    const topics = [topic('slow', 'A'), topic('fast', 'B')]
    await known.hears({ topics, partitions: [partition('A', 0), partition('B', 0)] }, { full: true })
    let done!: () => void
    known.host.slow = new Promise((resolve) => (done = resolve))
    const { image } = known.known
    const heard = known.hears({ partitions: [partition('A', 0, 1), partition('B', 0, 1)] })
    await known.sim.sleep(1)
    assert.equal(image.topics.get('fast')!.partitions[0]!.partitionEpoch, 1)
    assert.deepEqual(await heard, ['slow-0 at 1', 'fast-0 at 1'])
    assert.equal(image.topics.get('slow')!.partitions[0]!.partitionEpoch, 1)
    assert.deepEqual([known.known.sequence, known.known.carriedOut], [2, 1])
    assert.deepEqual(await known.hears({ partitions: [partition('B', 0, 2)] }), ['fast-0 at 2'])
    assert.deepEqual([known.known.sequence, known.known.carriedOut], [3, 1])
    // Whose numbers begin anew.
    await known.hears({ topics, partitions: [] }, { full: true, controllerEpoch: 2 })
    assert.deepEqual([known.known.sequence, known.known.carriedOut], [4, 3])
    done()
    await known.sim.sleep(1)
    assert.equal(known.known.carriedOut, 4)
  })
})
