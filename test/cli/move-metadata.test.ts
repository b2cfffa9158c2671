/** A broker that ran alone becomes the first one of a cluster. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { Kafka, logLevel } from 'kafkajs'
import type { MetadataStore } from '../../src/ports.ts'
import { openSession } from '../system/store/zookeeper/zookeeper-harness.ts'
import { fetchHint, skipMissing } from '../support/requirements.ts'
import { startZooKeeper, zookeeperClient, zookeeperJars } from '../support/zookeeper.ts'
import type { ZooKeeperServer } from '../support/zookeeper.ts'
import { freshPath, Samsa, startSamsa } from './samsa-process.ts'

const client = await zookeeperClient()
const jars = await zookeeperJars('3.9.5')

describe('samsa move-metadata', () => {
  if (client === null || jars === null) {
    test('brings topics and configurations to ZooKeeper', (t) => {
      skipMissing(t, `ZooKeeper 3.9.5 and the npm package zookeeper: ${fetchHint}`)
    })
    return
  }
  let server: ZooKeeperServer
  let witness: MetadataStore
  let alive: NodeJS.Timeout
  before(async () => {
    alive = setInterval(() => undefined, 1_000)
    server = await startZooKeeper(jars)
    witness = await openSession(client, server.address, { sessionTimeoutMs: 30_000 })
  })
  after(async () => {
    await witness.close()
    await server[Symbol.asyncDispose]()
    clearInterval(alive)
  })

  const run = async (...args: string[]): Promise<{ code: number | null; out: string; err: string }> => {
    const samsa = new Samsa(args)
    const [code] = await samsa.exited
    return { code, out: samsa.stdout, err: samsa.stderr }
  }

  test('brings topics and configurations to ZooKeeper, where the broker and others find them', async () => {
    const dataDir = freshPath()
    await witness.create('/moved', Buffer.alloc(0))
    const settings = (...more: string[]): string[] =>
      [`log.dirs=${dataDir}`, 'broker.id=1', `samsa.zookeeper.module=${client}`, ...more].flatMap((each) => [
        '--set',
        each,
      ])
    const ensemble = `zookeeper.connect=${server.address}/moved`
    const alone = await startSamsa(dataDir, ...settings())
    const kafka = (samsa: Samsa): Kafka =>
      new Kafka({ brokers: [`127.0.0.1:${samsa.port}`], logLevel: logLevel.NOTHING })
    const admin = kafka(alone).admin()
    await admin.connect()
    const configEntries = [{ name: 'retention.ms', value: '-1' }]
    await admin.createTopics({ topics: [{ topic: 'kept', numPartitions: 2, configEntries }] })
    await admin.disconnect()
    const producer = kafka(alone).producer()
    await producer.connect()
    await producer.send({ topic: 'kept', messages: [{ value: 'a record', partition: 1 }] })
    await producer.disconnect()

    const running = await run('move-metadata', ...settings(ensemble))
    assert.equal(running.code, 1)
    assert.match(running.err, /is in use by process/)
    alone.child.kill('SIGTERM')
    await alone.exited
    const nowhere = await run('move-metadata', ...settings())
    assert.match(nowhere.err, /zookeeper\.connect: set it to the ensemble/)

    const moved = await run('move-metadata', ...settings(ensemble))
    assert.equal(moved.code, 0, moved.err)
    assert.match(moved.out, /^\d+ nodes moved to .*\/moved\. Start the broker with this zookeeper\.connect/)
    assert.ok(existsSync(`${dataDir}/samsa-metadata.log.moved`))
    const again = await run('move-metadata', ...settings(ensemble))
    assert.equal(again.code, 1)
    assert.match(again.err, /no broker that keeps its metadata itself ran here/)

    const member = await startSamsa(dataDir, ...settings(ensemble))
    const reader = kafka(member).admin()
    await reader.connect()
    assert.deepEqual(
      await reader.fetchTopicOffsets('kept').then((all) => all.map(({ high }) => high).toSorted()),
      ['0', '1'],
    )
    const described = await reader.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: 2, name: 'kept', configNames: ['retention.ms'] }],
    })
    assert.equal(described.resources[0]!.configEntries[0]!.configValue, '-1')
    await reader.disconnect()
    member.child.kill('SIGTERM')
    assert.deepEqual(await member.exited, [0, null])
  })
})
