import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KeyedQueue } from '../../../src/metadata/image/keyed-queue.ts'

test('tasks of a key follow each other, failed ones too, and idle waits for the last', async () => {
  const queue = new KeyedQueue()
  const done: string[] = []
  const gates = new Map<string, () => void>()
  const task =
    (name: string, fails = false) =>
    async (): Promise<string> => {
      await new Promise<void>((resolve) => gates.set(name, resolve))
      done.push(name)
      if (fails) throw new Error(name)
      return name
    }
  const open = async (name: string): Promise<void> => {
    gates.get(name)!()
    for (let i = 0; i < 10; i++) await Promise.resolve()
  }
  const first = assert.rejects(queue.run('a', task('a1', true)))
  const second = queue.run('a', task('a2'))
  const other = queue.run('b', task('b1'))
  let isIdle = false
  const idle = queue.idle().then(() => (isIdle = true))
  assert.deepEqual([...gates.keys()], ['a1', 'b1'], 'a2 waits')
  await open('b1')
  assert.equal(await other, 'b1')
  await open('a1')
  await first
  assert.equal(isIdle, false)
  await open('a2')
  assert.equal(await second, 'a2')
  await idle
  assert.deepEqual(done, ['b1', 'a1', 'a2'])
})
