/** Three brokers of a real ZooKeeper, under the load of real clients, and what may happen to them. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

import { requireAll } from '../support/cache.ts'
import { runOrThrow, works } from '../support/processes.ts'
import { skipMissing } from '../support/requirements.ts'
import { until } from '../support/until.ts'
import { type BrokerProcess, ClusterProcesses } from './cluster-processes.ts'
import { compareDirectories, type PartitionView, viewOf, whenInSync } from './contents.ts'
import { kafkaOf, Load } from './load.ts'
import { clusterParts, whatIsMissing } from './parts.ts'

const timeout = 120_000
/** How long ZooKeeper is away: several times as long as a session lives without it. */
const AWAY_MS = requireAll ? 20_000 : 8_000

const parts = await clusterParts()

if (parts === null) {
  test('three brokers', (t: TestContext) => skipMissing(t, whatIsMissing))
} else {
  describe('three brokers', { timeout: 600_000 }, () => {
    let cluster: ClusterProcesses
    let load: Load
    let isLost = false

    before(async () => {
      // A server that starts while a load runs takes connections, and answers them seconds later.
      cluster = await ClusterProcesses.start(parts, {
        properties: { 'zookeeper.session.timeout.ms': '6000' },
      })
      load = await Load.start(cluster, parts.programs)
    })
    after(async () => {
      await load?.[Symbol.asyncDispose]()
      await cluster?.[Symbol.asyncDispose]()
    })

    /** One after the other, on one cluster: what comes after a failure says nothing. */
    function step(name: string, play: (t: TestContext) => Promise<void>): void {
      test(name, { timeout }, async (t) => {
        if (isLost) return t.skip('after a failure')
        isLost = true
        await play(t).catch(async (error: unknown) => {
          t.diagnostic(`what the brokers said: ${await cluster.keepWhatWasSaid()}`)
          throw error
        })
        isLost = false
      })
    }
    async function view(): Promise<PartitionView[]> {
      let found: PartitionView[] | null = null
      await until(async () => {
        found = await viewOf(
          cluster.brokers.find(({ isRunning }) => isRunning)!,
          load.topic,
        )
        return found !== null
      })
      return found!
    }
    /** Who leads, and since which election: a busy machine may make a replica lag, and no more. */
    async function led(): Promise<readonly (readonly number[])[]> {
      return (await view()).map((each) => [each.leader, each.leaderEpoch])
    }
    async function leader(): Promise<BrokerProcess> {
      return cluster.broker((await view())[0]!.leader)
    }
    async function controller(): Promise<BrokerProcess> {
      const admin = kafkaOf(cluster).admin()
      await admin.connect()
      let id: number | null = null
      await until(async () => {
        id = (await admin.describeCluster()).controller
        return id !== null && id >= 0
      })
      await admin.disconnect()
      return cluster.broker(id!)
    }
    /** All is as it was, and nothing was lost. */
    async function recovered(t: TestContext): Promise<void> {
      await load.progress()
      await load.check()
      await whenInSync(cluster, load.topic)
      t.diagnostic(`longest time without an acknowledgement: ${Math.round(load.history.longestGapMs)} ms`)
    }
    /** A fourth one, which is not to become a broker. */
    async function stranger(t: TestContext, changed: Readonly<Record<string, string>>): Promise<string> {
      const dataDir = await mkdtemp(join(tmpdir(), 'samsa-stranger-'))
      const broker = await cluster.another(9, dataDir)
      broker.launch(changed)
      assert.equal(await broker.exited(), 1, broker.said)
      t.diagnostic(`left behind: ${(await readdir(dataDir)).join(' ')}`)
      await rm(dataDir, { recursive: true })
      return broker.said
    }

    step('a topic has three replicas, and every client sees three addresses, whomever it asks', async (t) => {
      const partitions = await view()
      assert.equal(partitions.length, 6)
      for (const { replicas } of partitions) assert.deepEqual(new Set(replicas), new Set([1, 2, 3]))
      assert.deepEqual(new Set(partitions.map((each) => each.leader)), new Set([1, 2, 3]))
      await whenInSync(cluster, load.topic)
      if (!(await works('kcat', ['-V']))) return skipMissing(t, 'kcat is not installed')
      for (const address of cluster.bootstrap) {
        const said = await runOrThrow('kcat', ['-L', '-b', address])
        for (const broker of cluster.brokers)
          assert.match(said, new RegExp(`broker ${broker.id} at 127\\.0\\.0\\.1:${broker.port}\\b`))
        assert.match(said, / 6 partitions:/)
      }
    })

    step('kill -9 of a leader', async (t) => {
      const broker = await leader()
      load.history.forgetGaps()
      await broker.kill()
      await load.progress()
      assert.notEqual((await view())[0]!.leader, broker.id)
      await broker.start()
      await recovered(t)
    })

    step('kill -9 of the controller', async (t) => {
      const broker = await controller()
      load.history.forgetGaps()
      await broker.kill()
      await load.progress()
      assert.notEqual((await controller()).id, broker.id)
      await broker.start()
      await recovered(t)
    })

    step('a machine that is gone: its session ends by itself', async (t) => {
      const broker = await leader()
      load.history.forgetGaps()
      await broker.vanish()
      await load.progress()
      await broker.start()
      await recovered(t)
    })

    step('SIGTERM and start, one after the other: no send fails', async (t) => {
      load.history.forgetGaps()
      for (const broker of cluster.brokers) {
        const tookMs = await broker.stop()
        t.diagnostic(`broker ${broker.id} stopped within ${Math.round(tookMs)} ms`)
        await broker.start()
        await whenInSync(cluster, load.topic)
      }
      await recovered(t)
      assert.deepEqual(load.history.givenUp, [])
    })

    step('SIGSTOP: the others go on without it, and it catches up', async (t) => {
      const broker = await leader()
      load.history.forgetGaps()
      broker.freeze()
      await load.progress(1_000)
      const partitions = await view()
      for (const { isr } of partitions) assert.ok(!isr.includes(broker.id), JSON.stringify(partitions))
      broker.thaw()
      await recovered(t)
    })

    step('ZooKeeper away: records go on, nobody loses or wins anything', async (t) => {
      const before = await led()
      load.history.forgetGaps()
      await cluster.zooKeepers[0]!.kill()
      await sleep(AWAY_MS)
      await load.progress()
      assert.deepEqual(await led(), before)
      await cluster.zooKeepers[0]!.start()
      for (const broker of cluster.brokers)
        await broker.says('connected to ZooKeeper again, in the same session')
      await recovered(t)
      assert.deepEqual(await led(), before)
    })

    step('a broker with the id of another one is refused, and changes nothing', async (t) => {
      const before = await led()
      const { id, port } = cluster.broker(2)
      assert.match(
        await stranger(t, { 'broker.id': '2' }),
        new RegExp(
          `^samsa: broker\\.id=${id}: another broker is registered as ${id} in this metadata store \\(PLAINTEXT://127\\.0\\.0\\.1:${port}\\)`,
          'm',
        ),
      )
      await recovered(t)
      assert.deepEqual(await led(), before)
    })

    step('a broker of another cluster is refused', async (t) => {
      assert.match(
        await stranger(t, { 'cluster.id': 'AAAAAAAAAAAAAAAAAAAAAA' }),
        /^samsa: cluster\.id=AAAAAAAAAAAAAAAAAAAAAA: .* cluster /m,
      )
      await recovered(t)
    })

    step('all of them stop, and start again', async (t) => {
      await Promise.all(cluster.brokers.map((broker) => broker.stop()))
      await Promise.all(cluster.brokers.map((broker) => broker.start()))
      await recovered(t)
    })

    step('all of them are killed, and start again', async (t) => {
      await Promise.all(cluster.brokers.map((broker) => broker.kill()))
      await Promise.all(cluster.brokers.map((broker) => broker.start()))
      await recovered(t)
    })

    step('a group keeps its offsets when its coordinator is killed, again and again', async (t) => {
      for (let time = 0; time < 3; time++) {
        const before = load.group.commits
        const coordinator = cluster.broker(await load.coordinator())
        await coordinator.kill()
        await until(() => load.group.commits > before + 12)
        assert.notEqual(await load.coordinator(), coordinator.id)
        await coordinator.start()
        await whenInSync(cluster, '__consumer_offsets')
      }
      await recovered(t)
    })

    step('at the end every record had its fate, and the three directories are the same', async (t) => {
      await load.finish()
      await whenInSync(cluster, load.topic)
      for (const broker of cluster.brokers) await broker.stop()
      assert.deepEqual(compareDirectories(cluster.brokers, load.topic, { exactly: true }), [])
      assert.deepEqual(compareDirectories(cluster.brokers, '__consumer_offsets', { exactly: false }), [])
      t.diagnostic(`${load.history.acknowledged} records were acknowledged`)
    })
  })
}
