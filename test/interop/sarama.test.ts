/**
 * sarama: takes its versions from the Kafka version it is told, so it is told its default and the newest.
 */
import { describe, test } from 'node:test'

import { startServer } from '../support/broker-process.ts'
import { goProgram } from '../support/installs.ts'
import { fetchHint, skipMissing } from '../support/requirements.ts'
import { runClientProgram } from './client-program.ts'

const program = goProgram('sarama')

/** Each mostly waits, for a broker of its own. */
describe('sarama', { concurrency: true }, () => {
  for (const version of ['2.8.0', '4.1.0']) {
    test(`sarama for Kafka ${version}`, { timeout: 170_000 }, async (t) => {
      const command = await program
      if (command === null) return skipMissing(t, `sarama's program, or go to build it: ${fetchHint}`)
      await using server = await startServer()
      await runClientProgram(t, server, {
        command,
        args: [server.bootstrap, version],
        steps: [
          'admin: cluster and topics',
          'admin: configs',
          'admin: groups',
          'admin: log directories',
          'admin: partitions, records, topics',
          'admin: users, access control',
        ],
      })
    })
  }
})
