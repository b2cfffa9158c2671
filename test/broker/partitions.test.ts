import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Partition } from '../../src/broker/partition.ts'
import type { TopicImage } from '../../src/metadata/image/metadata-image.ts'
import { Partitions } from '../../src/broker/partitions.ts'

const NOTHING = { topics: new Map<string, TopicImage>(), topicById: () => undefined }

function partition(topic: string, index: number): Partition & { readonly told: { removed: number } } {
  const told = { removed: 0 }
  const fake = { topic, topicId: `id of ${topic}`, index, told, removed: () => (told.removed += 1) }
  return fake as unknown as Partition & { readonly told: { removed: number } }
}

test('partitions are found by topic and index, topics by their id', () => {
  const partitions = new Partitions(NOTHING)
  const [a0, a1, b0] = [partition('a', 0), partition('a', 1), partition('b', 0)]
  for (const one of [a0, a1, b0]) partitions.add(one)
  assert.deepEqual([partitions.get('a', 0), partitions.get('a', 1), partitions.get('b', 0)], [a0, a1, b0])
  assert.deepEqual([partitions.get('a', 2), partitions.get('c', 0)], [undefined, undefined])
  assert.deepEqual([partitions.hasTopic('a'), partitions.hasTopic('c')], [true, false])
  assert.deepEqual([partitions.topicName('id of a'), partitions.topicName('id of c')], ['a', undefined])
  assert.deepEqual([[...partitions.ofTopic('a')], [...partitions.ofTopic('c')]], [[a0, a1], []])
  assert.deepEqual([...partitions.all()], [a0, a1, b0])
  assert.equal(partitions.count, 3)
})

test('a partition that is added again takes the place of the other', () => {
  const partitions = new Partitions(NOTHING)
  partitions.add(partition('a', 0))
  const again = partition('a', 0)
  partitions.add(again)
  assert.deepEqual([partitions.count, partitions.get('a', 0)], [1, again])
})

test('a topic that goes tells those of its partitions, and nobody else', () => {
  const partitions = new Partitions(NOTHING)
  const [a0, a1, b0] = [partition('a', 0), partition('a', 1), partition('b', 0)]
  for (const one of [a0, a1, b0]) partitions.add(one)
  partitions.removeTopic('c')
  assert.equal(partitions.count, 3)
  partitions.removeTopic('a')
  partitions.removeTopic('a')
  assert.deepEqual(
    [a0, a1, b0].map(({ told }) => told.removed),
    [1, 1, 0],
  )
  assert.deepEqual(
    [partitions.count, partitions.hasTopic('a'), partitions.topicName('id of a')],
    [1, false, undefined],
  )
  assert.deepEqual([partitions.get('a', 0), partitions.get('b', 0)], [undefined, b0])
})
