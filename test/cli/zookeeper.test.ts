/** The command line with `zookeeper.connect`: a broker whose topics are in a real ensemble. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Kafka, logLevel } from 'kafkajs'
import type { MetadataStore } from '../../src/ports.ts'
import { openSession } from '../system/store/zookeeper/zookeeper-harness.ts'
import { freePort } from '../support/processes.ts'
import { fetchHint, skipMissing } from '../support/requirements.ts'
import { until } from '../support/until.ts'
import { startZooKeeper, zookeeperClient, zookeeperJars } from '../support/zookeeper.ts'
import type { ZooKeeperServer } from '../support/zookeeper.ts'
import { freshPath, Samsa, startSamsa } from './samsa-process.ts'

const client = await zookeeperClient()
const jars = await zookeeperJars('3.9.5')

function kafkaOf(samsa: Samsa): Kafka {
  return new Kafka({ brokers: [`127.0.0.1:${samsa.port}`], logLevel: logLevel.NOTHING })
}

async function withAdmin<T>(
  samsa: Samsa,
  use: (admin: ReturnType<Kafka['admin']>) => Promise<T>,
): Promise<T> {
  const admin = kafkaOf(samsa).admin()
  await admin.connect()
  // After another session has begun there is for a moment no controller, and nobody who serves.
  await until(async () => {
    const { controller, brokers } = await admin.describeCluster()
    return controller !== null && controller >= 0 && brokers.length > 0
  })
  try {
    return await use(admin)
  } finally {
    await admin.disconnect()
  }
}

/** It is its own controller, and has learned what there is. */
const servesAgain = /registered again in the metadata store[^]*a broker serves/

/** The process beside it that holds its session. */
function holderOf(samsa: Samsa): number {
  const children = readFileSync(`/proc/${samsa.child.pid}/task/${samsa.child.pid}/children`, 'utf8')
  const found = children.split(' ').find((pid) => {
    if (pid === '') return false
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('zookeeper-sidecar')
  })
  return Number(found)
}

async function ended(samsa: Samsa): Promise<string> {
  assert.deepEqual(await samsa.exited, [1, null], samsa.stdout + samsa.stderr)
  return samsa.stderr
}

describe('samsa start with zookeeper.connect', () => {
  if (client === null || jars === null) {
    test('keeps topics and configurations in ZooKeeper', (t) => {
      skipMissing(t, `ZooKeeper 3.9.5 and the npm package zookeeper: ${fetchHint}`)
    })
    return
  }
  let server: ZooKeeperServer
  let witness: MetadataStore
  let alive: NodeJS.Timeout
  let chroots = 0
  const settings = (chroot: string, ...more: string[]): string[] =>
    [
      `zookeeper.connect=${server.address}${chroot}`,
      'zookeeper.session.timeout.ms=3000',
      `samsa.zookeeper.module=${client}`,
      'group.initial.rebalance.delay.ms=0',
      ...more,
    ].flatMap((setting) => ['--set', setting])
  const attempt = (dataDir: string, ...args: string[]): Samsa =>
    new Samsa([
      'start',
      '--set',
      'listeners=PLAINTEXT://127.0.0.1:0',
      '--set',
      `log.dirs=${dataDir}`,
      ...args,
    ])
  /** An ensemble of its own, as far as brokers can tell. */
  const freshChroot = async (): Promise<string> => {
    const chroot = `/cli-${chroots++}`
    await witness.create(chroot, Buffer.alloc(0))
    return chroot
  }
  const json = async (path: string): Promise<Record<string, unknown>> =>
    JSON.parse((await witness.get(path))!.data.toString())

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

  test("topics, records and configurations are there after a restart, and in ZooKeeper under Kafka's names", async () => {
    const root = await freshChroot()
    const dataDir = freshPath()
    const port = await freePort()
    const fixed = settings(root, 'broker.id=4', `listeners=PLAINTEXT://127.0.0.1:${port}`)
    const first = await startSamsa(dataDir, ...fixed)
    assert.match(
      first.stdout,
      /"session":"0x[0-9a-f]+","timeoutMs":3000,"ms":\d+,"msg":"connected to ZooKeeper"/,
    )
    await withAdmin(first, (admin) =>
      admin.createTopics({
        topics: [
          {
            topic: 'orders',
            numPartitions: 3,
            configEntries: [{ name: 'retention.ms', value: '123456789' }],
          },
        ],
      }),
    )
    const producer = kafkaOf(first).producer({ idempotent: true })
    await producer.connect()
    await producer.send({ topic: 'orders', messages: [{ key: 'k', value: 'v' }] })
    await producer.disconnect()

    const { endpoints } = await json(`${root}/brokers/ids/4`)
    assert.deepEqual(endpoints, [`PLAINTEXT://127.0.0.1:${port}`])
    assert.equal((await witness.get(`${root}/brokers/ids/4`))?.stat.ephemeral, true)
    assert.equal((await json(`${root}/controller`))['brokerid'], 4)
    assert.deepEqual((await json(`${root}/brokers/topics/orders`))['partitions'], { 0: [4], 1: [4], 2: [4] })
    const state = await json(`${root}/brokers/topics/orders/partitions/2/state`)
    assert.deepEqual([state['leader'], state['isr'], state['leader_epoch']], [4, [4], 0])
    assert.deepEqual((await json(`${root}/config/topics/orders`))['config'], { 'retention.ms': '123456789' })
    assert.equal(fs.existsSync(`${dataDir}/samsa-metadata.log`), false)

    first.child.kill('SIGTERM')
    assert.deepEqual(await first.exited, [0, null], first.stdout + first.stderr)
    assert.equal(await witness.get(`${root}/brokers/ids/4`), null)
    assert.equal(await witness.get(`${root}/controller`), null)

    const second = await startSamsa(dataDir, ...fixed)
    await withAdmin(second, async (admin) => {
      const offsets = await admin.fetchTopicOffsets('orders')
      assert.equal(
        offsets.reduce((sum, { high }) => sum + Number(high), 0),
        1,
      )
      const described = await admin.describeConfigs({
        includeSynonyms: false,
        resources: [{ type: 2, name: 'orders', configNames: ['retention.ms'] }],
      })
      assert.equal(described.resources[0]!.configEntries[0]!.configValue, '123456789')
    })
    const elected = await json(`${root}/brokers/topics/orders/partitions/2/state`)
    assert.deepEqual([elected['leader'], elected['isr']], [4, [4]])
    assert.ok(Number(elected['leader_epoch']) > 0)
    second.child.kill('SIGTERM')
    await second.exited
  })

  test('another broker of the same id is refused, and changes nothing; one of another id is its companion', async () => {
    const root = await freshChroot()
    const samsa = await startSamsa(freshPath(), ...settings(root))
    await withAdmin(samsa, (admin) => admin.createTopics({ topics: [{ topic: 'kept' }] }))
    const before = await json(`${root}/brokers/topics/kept/partitions/0/state`)
    const directory = freshPath()
    const [same, other] = await Promise.all([
      ended(attempt(directory, ...settings(root))),
      startSamsa(freshPath(), ...settings(root, 'broker.id=1')),
    ])
    const address = `PLAINTEXT://127.0.0.1:${samsa.port}`
    assert.ok(
      same.startsWith(
        `samsa: broker.id=0: another broker is registered as 0 in this metadata store (${address})`,
      ),
      same,
    )
    assert.deepEqual(fs.readdirSync(directory), ['.lock'], 'it may still become any other')
    assert.deepEqual(await json(`${root}/brokers/topics/kept/partitions/0/state`), before)
    assert.deepEqual((await witness.children(`${root}/brokers/ids`))?.toSorted(), ['0', '1'])
    const { brokers } = await withAdmin(other, (admin) => admin.describeCluster())
    assert.deepEqual(new Set(brokers.map(({ port }) => port)), new Set([samsa.port, other.port]))
    for (const each of [samsa, other]) {
      each.child.kill('SIGTERM')
      assert.deepEqual(await each.exited, [0, null], each.stdout + each.stderr)
    }
  })

  test('a broker that waits for its controller says so, and ends when it is told to', async () => {
    const root = await freshChroot()
    const unreached = `advertised.listeners=PLAINTEXT://127.0.0.1:${await freePort()}`
    const samsa = await startSamsa(freshPath(), ...settings(root, unreached))
    const other = attempt(freshPath(), ...settings(root, 'broker.id=1'))
    await other.says('this broker does not serve clients yet')
    assert.match(other.stdout, /"waitingFor":"the controller, broker 0, to accept it"/)
    other.child.kill('SIGTERM')
    assert.deepEqual(await other.exited, [143, null], other.stdout + other.stderr)
    assert.match(other.stdout, /ending before it served/)
    samsa.child.kill('SIGTERM')
    await samsa.exited
  })

  test('a broker that was killed starts again at once', async (t) => {
    const root = await freshChroot()
    const dataDir = freshPath()
    // Longer than a start takes on a busy machine.
    const patient = settings(root, 'zookeeper.session.timeout.ms=8000')
    const first = await startSamsa(dataDir, ...patient)
    await withAdmin(first, (admin) => admin.createTopics({ topics: [{ topic: 'survivor' }] }))
    first.child.kill('SIGKILL')
    await first.exited
    const begunMs = performance.now()
    const second = await startSamsa(dataDir, ...patient)
    t.diagnostic(`started ${Math.round(performance.now() - begunMs)} ms after the kill`)
    assert.deepEqual(await withAdmin(second, (admin) => admin.listTopics()), ['survivor'])
    // Its session as well: ZooKeeper has to notice by itself.
    const holder = holderOf(second)
    process.kill(holder, 'SIGSTOP')
    second.child.kill('SIGKILL')
    await second.exited
    process.kill(holder, 'SIGKILL')
    const third = await startSamsa(dataDir, ...patient)
    assert.match(
      third.stdout,
      /"path":"\/brokers\/ids\/0".*"msg":"waiting for an earlier session of this broker to end"/,
    )
    third.child.kill('SIGTERM')
    assert.deepEqual(await third.exited, [0, null], third.stdout + third.stderr)
  })

  test('goes on when ZooKeeper restarts, and when its session expires: changes wait, records do not', async () => {
    const root = await freshChroot()
    const dataDir = freshPath()
    // Longer than ZooKeeper takes to start on a busy machine.
    const samsa = await startSamsa(dataDir, ...settings(root, 'zookeeper.session.timeout.ms=10000'))
    await withAdmin(samsa, (admin) => admin.createTopics({ topics: [{ topic: 'before' }] }))
    const producer = kafkaOf(samsa).producer()
    await producer.connect()
    const send = (): Promise<unknown> => producer.send({ topic: 'before', messages: [{ value: 'x' }] })
    await send()

    await server.kill()
    await samsa.says('lost the connection to ZooKeeper')
    await send()
    const created = withAdmin(samsa, (admin) => admin.createTopics({ topics: [{ topic: 'meanwhile' }] }))
    await sleep(300)
    await send()
    await server.start()
    await created
    await samsa.says('connected to ZooKeeper again, in the same session')
    assert.ok((await witness.get(`${root}/brokers/topics/meanwhile`)) !== null)

    const epochBefore = (await witness.get(`${root}/brokers/ids/0`))!.stat.createdTransaction
    process.kill(holderOf(samsa), 'SIGKILL')
    await samsa.says('the ZooKeeper session expired')
    await send()
    await samsa.says(servesAgain)
    const registered = (await witness.get(`${root}/brokers/ids/0`))!
    assert.ok(registered.stat.createdTransaction > epochBefore)
    await withAdmin(samsa, (admin) => admin.createTopics({ topics: [{ topic: 'after' }] }))
    await send()
    await producer.disconnect()
    samsa.child.kill('SIGTERM')
    assert.deepEqual(await samsa.exited, [0, null], samsa.stdout + samsa.stderr)
    const marker: unknown = JSON.parse(fs.readFileSync(`${dataDir}/.kafka_cleanshutdown`, 'utf8'))
    assert.deepEqual(marker, { version: 0, brokerEpoch: registered.stat.createdTransaction })
  })

  test('is not registered while it is stopped, and registers again when it goes on', async (t) => {
    const root = await freshChroot()
    const samsa = await startSamsa(freshPath(), ...settings(root))
    const gone = new Promise<void>((resolve) => void witness.get(`${root}/brokers/ids/0`, resolve))
    const begunMs = performance.now()
    samsa.child.kill('SIGSTOP')
    await gone
    t.diagnostic(
      `gone ${Math.round(performance.now() - begunMs)} ms after SIGSTOP; its session timeout is 3,000 ms`,
    )
    assert.equal(await witness.get(`${root}/controller`), null)
    samsa.child.kill('SIGCONT')
    await samsa.says('the event loop of this broker stood still')
    await samsa.says(servesAgain)
    await withAdmin(samsa, (admin) => admin.createTopics({ topics: [{ topic: 'after' }] }))
    assert.notEqual(await witness.get(`${root}/brokers/topics/after/partitions/0/state`), null)
    samsa.child.kill('SIGTERM')
    assert.deepEqual(await samsa.exited, [0, null], samsa.stdout + samsa.stderr)
  })

  test('goes on when another broker was controller while it had no session', async () => {
    const root = await freshChroot()
    const samsa = await startSamsa(freshPath(), ...settings(root))
    await withAdmin(samsa, (admin) => admin.createTopics({ topics: [{ topic: 'before' }] }))
    // As a broker does that becomes controller.
    await witness.set(`${root}/controller_epoch`, Buffer.from('7'), -1)
    process.kill(holderOf(samsa), 'SIGKILL')
    await samsa.says(servesAgain)
    await withAdmin(samsa, (admin) => admin.createTopics({ topics: [{ topic: 'after' }] }))
    assert.equal((await witness.get(`${root}/controller_epoch`))?.data.toString(), '8')
    samsa.child.kill('SIGTERM')
    assert.deepEqual(await samsa.exited, [0, null], samsa.stdout + samsa.stderr)
  })

  test('stops while there is no ZooKeeper, although a change waits for it', async () => {
    const own = await startZooKeeper(jars)
    const samsa = await startSamsa(
      freshPath(),
      ...settings('').map((each) => each.replace(server.address, own.address)),
    )
    await own.kill()
    await samsa.says('lost the connection to ZooKeeper')
    const created = withAdmin(samsa, (admin) => admin.createTopics({ topics: [{ topic: 'never' }] })).catch(
      () => undefined,
    )
    await sleep(200)
    samsa.child.kill('SIGTERM')
    assert.deepEqual(await samsa.exited, [0, null], samsa.stdout + samsa.stderr)
    await created
    await own[Symbol.asyncDispose]()
  })

  test('a directory keeps to where its topics are', async () => {
    const root = await freshChroot()
    const here = freshPath()
    const samsa = await startSamsa(here)
    samsa.child.kill('SIGTERM')
    await samsa.exited
    assert.match(
      await ended(attempt(here, ...settings(root))),
      /^samsa: zookeeper\.connect=\S+: \S+ has its topics and configurations in samsa-metadata\.log/,
    )
    const there = freshPath()
    const other = await startSamsa(there, ...settings(root))
    other.child.kill('SIGTERM')
    await other.exited
    assert.match(
      await ended(attempt(there)),
      /^samsa: log\.dirs=\S+: its topics and configurations are in ZooKeeper: set zookeeper\.connect=127\.0\.0\.1:\d+\/cli-/,
    )
  })

  test('says what is wrong, by key and value, and ends with 1', async () => {
    const dataDir = freshPath()
    assert.match(
      await ended(attempt(dataDir, ...settings('/missing'))),
      /^samsa: zookeeper\.connect=127\.0\.0\.1:\d+\/missing: there is no \/missing in this ensemble\. Make it first: zkCli\.sh/,
    )
    assert.match(
      await ended(attempt(dataDir, ...settings('', 'samsa.zookeeper.module=no-such-package'))),
      /^samsa: zookeeper\.connect needs the npm package zookeeper, which is not installed.* run: npm install /,
    )
    assert.match(
      await ended(attempt(dataDir, ...settings('', 'zookeeper.set.acl=true'))),
      /^samsa: zookeeper\.set\.acl=true: needs samsa\.zookeeper\.credentials/,
    )
    assert.match(
      await ended(attempt(dataDir, '--set', 'zookeeper.connect=zk:port')),
      /^samsa: zookeeper\.connect=zk:port: must be host:port/,
    )
    // Of another broker's surroundings.
    const command = new Samsa(['--run', 'true'], { env: { KAFKA_ZOOKEEPER_CONNECT: server.address } })
    assert.deepEqual(await command.exited, [0, null], command.stderr)
    assert.match(command.stderr, /not used for a temporary broker \(environment\): zookeeper\.connect/)
  })
})
