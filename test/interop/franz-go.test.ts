/**
 * franz-go: the Go client that uses the newest version of everything.
 */
import { test } from 'node:test'

import { startServer } from '../support/broker-process.ts'
import { goProgram } from '../support/installs.ts'
import { fetchHint, skipMissing } from '../support/requirements.ts'
import { runClientProgram } from './client-program.ts'

test('franz-go', { timeout: 170_000 }, async (t) => {
  const command = await goProgram('franz')
  if (command === null) return skipMissing(t, `franz-go's program, or go to build it: ${fetchHint}`)
  await using server = await startServer()
  await runClientProgram(t, server, {
    command,
    args: [server.bootstrap],
    steps: [
      'admin: cluster and topics',
      'admin: configs',
      'admin: groups',
      'admin: offsets, producers, epochs',
      'admin: log directories',
      'admin: partitions, records, topics',
      'admin: quotas, users, access control',
    ],
  })
})
