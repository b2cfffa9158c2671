import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManagedLog } from '../../../src/log/directory/managed-log.ts'
import type { LogListener } from '../../../src/log/directory/managed-log.ts'
import type { LogDirectory } from '../../../src/log/directory/log-directory.ts'
import type { Log } from '../../../src/log/log.ts'

test('until a partition has it, a log is committed as far as was known, and not to its end', () => {
  const managed = new ManagedLog({ schedule: () => {} } as unknown as LogDirectory, 't', 0)
  const log = { checkpointedHighWatermark: 7, promisedEndOffset: 10, config: {}, dirtySinceMs: -1 }
  managed.opened(log as unknown as Log)
  assert.equal(managed.highWatermark, 7)
  managed.listener = { highWatermark: 9 } as unknown as LogListener
  assert.equal(managed.highWatermark, 9)
})
