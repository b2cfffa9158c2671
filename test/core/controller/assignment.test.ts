import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { assignReplicas } from '../../../src/core/controller/assignment.ts'

function brokers(...racks: (string | null)[]): { id: number; rack: string | null }[] {
  return racks.map((rack, at) => ({ id: at + 1, rack }))
}

describe('replicas of new partitions', () => {
  test('have leaders in turn, and followers that change each time round', () => {
    assert.deepEqual(assignReplicas(6, 2, 0, 0, brokers(null, null, null)), [
      [1, 2],
      [2, 3],
      [3, 1],
      [1, 3],
      [2, 1],
      [3, 2],
    ])
  })

  test('go on where a topic that grows ended', () => {
    const all = assignReplicas(9, 3, 0, 2, brokers(null, null, null, null))
    const more = assignReplicas(5, 3, 4, 2, brokers(null, null, null, null))
    assert.deepEqual(more, all.slice(4))
  })

  test('name no broker twice, and all brokers where there are no more', () => {
    for (const replicas of assignReplicas(20, 4, 0, 1, brokers('a', 'b', null, 'a')))
      assert.deepEqual(new Set(replicas), new Set([1, 2, 3, 4]))
  })

  test('are in as many racks as there are', () => {
    const candidates = brokers('a', 'a', 'b', 'b', 'c', 'c')
    const rackOf = new Map(candidates.map(({ id, rack }) => [id, rack]))
    const assigned = assignReplicas(30, 3, 0, 0, candidates)
    for (const replicas of assigned)
      assert.equal(new Set(replicas.map((id) => rackOf.get(id))).size, 3, String(replicas))
    for (const { id } of candidates)
      assert.equal(assigned.filter((replicas) => replicas.includes(id)).length, 15, `broker ${id}`)
  })

  test('of more replicas than racks are where the fewest are', () => {
    for (const replicas of assignReplicas(8, 3, 0, 0, brokers('a', 'a', 'b', 'b'))) {
      assert.equal(new Set(replicas).size, 3)
      assert.equal(new Set(replicas.map((id) => (id <= 2 ? 'a' : 'b'))).size, 2)
    }
  })

  test('of one broker are that broker', () => {
    assert.deepEqual(assignReplicas(2, 1, 0, 0, brokers(null)), [[1], [1]])
  })
})
