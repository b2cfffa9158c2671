import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turn } from '../../src/system/turn.ts'

/** Callbacks of `setImmediate` run in the order they were asked for, so the turn asked for before is over. */
const nextTurn = (): Promise<void> =>
  new Promise((resolve) => setImmediate(() => setImmediate(() => resolve())))

test('stages run in order, once, at the end of the turn', async () => {
  const turn = new Turn()
  const seen: string[] = []
  turn.at('reply', () => seen.push('reply'))
  turn.at('submit', () => seen.push('submit'))
  turn.at('append', () => seen.push('append 1'))
  turn.at('append', () => seen.push('append 2'))
  assert.deepEqual(seen, [])
  await nextTurn()
  assert.deepEqual(seen, ['append 1', 'append 2', 'submit', 'reply'])
  assert.equal(turn.number, 1)
})

test('what a stage queues for an earlier or the same stage runs before any reply', async () => {
  const turn = new Turn()
  const seen: string[] = []
  turn.at('reply', () => seen.push('reply'))
  turn.at('submit', () => {
    seen.push('submit')
    turn.at('append', () => {
      seen.push('append again')
      turn.at('append', () => seen.push('append once more'))
      turn.at('submit', () => seen.push('submit again'))
    })
  })
  await nextTurn()
  assert.deepEqual(seen, ['submit', 'append again', 'append once more', 'submit again', 'reply'])
  assert.equal(turn.number, 1)
})

test('what a reply queues still belongs to this turn', async () => {
  const turn = new Turn()
  const seen: string[] = []
  turn.at('reply', () => {
    turn.at('append', () => {
      seen.push('append')
      turn.at('reply', () => seen.push('reply 2'))
    })
    seen.push('reply 1')
  })
  await nextTurn()
  assert.deepEqual(seen, ['reply 1', 'append', 'reply 2'])
  assert.equal(turn.number, 1)
})

test('a throw does not lose the callbacks behind it', async () => {
  const turn = new Turn()
  const seen: string[] = []
  const caught = new Promise((resolve) => process.once('uncaughtException', resolve))
  // node:test listens too and would fail the test; for this moment the exception is ours alone.
  const others = process.listeners('uncaughtException').slice(0, -1)
  for (const listener of others) process.off('uncaughtException', listener)
  turn.at('append', () => {
    throw new Error('broken invariant')
  })
  turn.at('append', () => seen.push('append'))
  turn.at('reply', () => seen.push('reply'))
  assert.match(String(await caught), /broken invariant/)
  for (const listener of others) process.on('uncaughtException', listener)
  await nextTurn()
  assert.deepEqual(seen, ['append', 'reply'])
})
