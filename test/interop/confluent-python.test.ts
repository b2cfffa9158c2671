/**
 * confluent-kafka for Python: today's librdkafka.
 */
import { join } from 'node:path'
import { test } from 'node:test'

import { startServer } from '../support/broker-process.ts'
import { pythonPackages } from '../support/installs.ts'
import { repositoryRoot } from '../support/processes.ts'
import { fetchHint, skipMissing } from '../support/requirements.ts'
import { runClientProgram } from './client-program.ts'

test('confluent-kafka for Python', { timeout: 170_000 }, async (t) => {
  const packages = await pythonPackages()
  if (packages === null) return skipMissing(t, `confluent-kafka for Python: ${fetchHint}`)
  await using server = await startServer()
  await runClientProgram(t, server, {
    command: 'python3',
    // A run leaves nothing in the checkout.
    env: { PYTHONPATH: packages, PYTHONDONTWRITEBYTECODE: '1' },
    args: [join(repositoryRoot, 'test/interop/clients/python/confluent_client.py'), server.bootstrap],
    steps: [
      'admin: cluster and topics',
      'admin: configs',
      'admin: groups',
      'admin: offsets',
      'admin: partitions, records, topics',
      'admin: access control is off',
      'transactions end in an error that says why, at once',
    ],
  })
})
