/**
 * kafka-python 3: a client of its own, in Python throughout.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'

import { startServer } from '../support/broker-process.ts'
import { pythonPackages } from '../support/installs.ts'
import { repositoryRoot } from '../support/processes.ts'
import { fetchHint, skipMissing } from '../support/requirements.ts'
import { runClientProgram } from './client-program.ts'
import type { ClientProgram } from './client-program.ts'

const program = (packages: string, bootstrap: string): ClientProgram => ({
  command: 'python3',
  // A run leaves nothing in the checkout.
  env: { PYTHONPATH: packages, PYTHONDONTWRITEBYTECODE: '1' },
  args: [join(repositoryRoot, 'test/interop/clients/python/kafka_python_client.py'), bootstrap],
  steps: [
    'admin: cluster and topics',
    'admin: configs',
    'admin: groups',
    'admin: offsets and producers',
    'admin: log directories',
    'admin: partitions, records, topics',
    'admin: access control is off',
    'the broker is taken for a recent one',
    'transactions end in an error that says why, at once',
  ],
})

test('kafka-python 3', { timeout: 340_000 }, async (t) => {
  const packages = await pythonPackages()
  if (packages === null) return skipMissing(t, `kafka-python 3: ${fetchHint}`)
  // About one run of ten gets stuck in the client itself on a loaded machine.
  for (let attempts = 1; ; attempts++) {
    await using server = await startServer()
    if (await runClientProgram(t, server, program(packages, server.bootstrap))) break
    assert.ok(attempts < 3, 'the client gets stuck each time')
  }
})
