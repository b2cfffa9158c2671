import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { Contender } from '../../bench/arena.ts'
import type { RunningBroker, Target } from '../../bench/targets/target.ts'

const nothing = async (): Promise<void> => undefined

function contenderOf(pid: number, more: Partial<RunningBroker> = {}): Contender {
  const broker: RunningBroker = {
    endpoint: { host: '127.0.0.1', port: 1 },
    pid,
    dataDirectory: tmpdir(),
    printed: async () => '',
    kill: nothing,
    restart: nothing,
    stop: nothing,
    ...more,
  }
  const target: Target = {
    name: 'ended',
    description: '',
    awakeMs: 0,
    start: async () => broker,
    withoutAddon: null,
    measureStart: async () => 0,
  }
  return new Contender(target, broker)
}

test('a broker that has ended can be paused, resumed and stopped: others are measured after it', async () => {
  const child = spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' })
  const { pid } = child
  assert.ok(pid)
  await once(child, 'exit')
  let stopped = false
  const contender = contenderOf(pid, {
    stop: async () => {
      stopped = true
    },
  })
  contender.pause()
  await contender.resume()
  contender.pause()
  await contender.stop()
  assert.ok(stopped)
})
