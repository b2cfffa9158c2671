import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CpuProfile, selfTimes } from '../../bench/profile.ts'

test('self times leave the idle time out and add up what one function has in several stacks', () => {
  const frame = (functionName: string): CpuProfile['nodes'][number]['callFrame'] => ({
    functionName,
    url: '',
    lineNumber: 0,
    columnNumber: 0,
  })
  const profile: CpuProfile = {
    nodes: [
      { id: 1, callFrame: frame('a') },
      { id: 2, callFrame: frame('b') },
      { id: 3, callFrame: frame('a') },
      { id: 4, callFrame: frame('(idle)') },
    ],
    samples: [1, 2, 3, 4, 2],
    timeDeltas: [30, 10, 50, 1_000, 10],
  }
  assert.deepEqual(
    selfTimes(profile, ({ functionName }) => functionName),
    [
      { place: 'a', share: 0.8 },
      { place: 'b', share: 0.2 },
    ],
  )
})
