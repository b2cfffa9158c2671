/** Transactions that were left open, found and ended by Apache Kafka's own tool. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { startSystemWorld } from '../../src/system/system-world.ts'
import { makeBatch, TestLog } from '../log/log-fixture.ts'
import { kafkaJars, runKafkaTool } from '../support/apache-kafka.ts'
import { startSamsa } from '../support/broker-process.ts'

const jars = await kafkaJars()
const HOUR_MS = 3_600_000

/** A partition as Apache Kafka may leave it: a transaction of producer 7 began at offset 2, an hour ago. */
async function leaveTransactionOpen(dataDir: string): Promise<void> {
  const { world, close } = await startSystemWorld({}, { mode: 'threads', directories: [dataDir] })
  const log = await TestLog.open(world, `${dataDir}/t-0`)
  const timestampMs = Date.now() - HOUR_MS
  const producer = { producerId: 7, producerEpoch: 3, baseSequence: 0, transactional: true }
  await log.append(makeBatch(2, 10, { timestampMs }))
  await log.append(makeBatch(1, 10, { ...producer, timestampMs }))
  await log.append(makeBatch(3, 10, { timestampMs }))
  await log.log.close(true)
  close()
}

test(
  'kafka-transactions finds what hangs, and aborts it',
  { skip: jars === null, timeout: 170_000 },
  async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'samsa-transactions-'))
    try {
      await leaveTransactionOpen(dataDir)
      await using server = await startSamsa({ dataDir })
      const call = async (...args: string[]): Promise<string> => {
        const all = ['--bootstrap-server', server.bootstrap, ...args]
        const { code, stdout, stderr } = await runKafkaTool(jars!, 'kafka-transactions', all)
        assert.equal(code, 0, `${stdout}\n${stderr}`)
        return stdout
      }
      assert.match(await call('find-hanging', '--topic', 't'), /^t\s+0\s+7\s+3\s+-1\s+2\s+\d+\s+\d+\s*$/m)
      await call('abort', '--topic', 't', '--partition', '0', '--start-offset', '2')
      assert.doesNotMatch(await call('find-hanging', '--topic', 't'), /^t\s/m)
      assert.match(
        await call('describe-producers', '--topic', 't', '--partition', '0'),
        /^7\s+3\s.*None\s*$/m,
      )
    } finally {
      await rm(dataDir, { recursive: true })
    }
  },
)
