/**
 * @platformatic/kafka: speaks only the new, flexible versions, and needs a newer Node.js than Samsa does.
 */
import { join } from 'node:path'
import { test } from 'node:test'

import { startServer } from '../support/broker-process.ts'
import { clientSources, newerNode, platformaticPackage } from '../support/installs.ts'
import { fetchHint, skipMissing } from '../support/requirements.ts'
import { runClientProgram } from './client-program.ts'

test('@platformatic/kafka', { timeout: 170_000 }, async (t) => {
  const command = await newerNode()
  const packages = await platformaticPackage()
  if (command === null || packages === null) {
    return skipMissing(t, `@platformatic/kafka, or the newer Node.js that it needs: ${fetchHint}`)
  }
  await using server = await startServer()
  await runClientProgram(t, server, {
    command,
    args: [join(clientSources, 'platformatic.mjs'), server.bootstrap, packages],
    steps: [
      'admin: topics and configs',
      'admin: groups',
      'admin: offsets, log directories',
      'admin: partitions, records, topics',
      'admin: access control is off',
    ],
  })
})
