import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turnstile } from '../../../src/metadata/changes/turnstile.ts'

/** Tasks that end when told to. */
class Tasks {
  readonly running: string[] = []
  readonly #ends = new Map<string, (error: Error | null) => void>()

  start(turnstile: Turnstile, name: string, weight: number): Promise<string> {
    return turnstile.run(weight, async () => {
      this.running.push(name)
      await new Promise<void>((resolve, reject) => {
        this.#ends.set(name, (error) => (error === null ? resolve() : reject(error)))
      })
      return name
    })
  }

  async end(name: string, error: Error | null = null): Promise<void> {
    this.#ends.get(name)!(error)
    for (let i = 0; i < 20; i++) await Promise.resolve()
  }
}

test('tasks run side by side as long as they fit, and in order', async () => {
  const turnstile = new Turnstile(10)
  const tasks = new Tasks()
  const all = [
    tasks.start(turnstile, 'a', 4),
    tasks.start(turnstile, 'b', 5),
    tasks.start(turnstile, 'heavy', 50),
    tasks.start(turnstile, 'light', 1),
  ]
  assert.deepEqual(tasks.running, ['a', 'b'])
  await tasks.end('a')
  assert.deepEqual(tasks.running, ['a', 'b'], 'nobody overtakes the heavy one, which runs alone')
  await tasks.end('b')
  assert.deepEqual(tasks.running, ['a', 'b', 'heavy'])
  await tasks.end('heavy')
  assert.deepEqual(tasks.running, ['a', 'b', 'heavy', 'light'])
  await tasks.end('light')
  assert.deepEqual(await Promise.all(all), ['a', 'b', 'heavy', 'light'])
})

test('a task that fails makes room as well', async () => {
  const turnstile = new Turnstile(1)
  const tasks = new Tasks()
  const failing = assert.rejects(tasks.start(turnstile, 'a', 1), /full/)
  const next = tasks.start(turnstile, 'b', 1)
  await tasks.end('a', new Error('the disk is full'))
  await failing
  assert.deepEqual(tasks.running, ['a', 'b'])
  await tasks.end('b')
  assert.equal(await next, 'b')
})
