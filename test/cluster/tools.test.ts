/** Apache Kafka's own tools on a cluster of three brokers whose ZooKeeper is an ensemble of three. */
import assert from 'node:assert/strict'
import { after, before, describe, test, type TestContext } from 'node:test'

import type { KafkaTool } from '../support/apache-kafka.ts'
import { startToolRunner, type ToolRunner } from '../support/kafka-tool-runner.ts'
import { runOrThrow } from '../support/processes.ts'
import { fetchHint, skipMissing } from '../support/requirements.ts'
import { until } from '../support/until.ts'
import { isLeader } from '../support/zookeeper.ts'
import { ClusterProcesses } from './cluster-processes.ts'
import { viewOf, whenInSync } from './contents.ts'
import { kafkaOf, Load } from './load.ts'
import { clusterParts, type ClusterParts, whatIsMissing, znodesCommand } from './parts.ts'

const timeout = 120_000
const found = await clusterParts()

if (found === null) {
  test('three brokers and three ZooKeepers', (t: TestContext) => skipMissing(t, whatIsMissing))
} else {
  clusterTests(found)
}

function clusterTests(parts: ClusterParts): void {
  describe('three brokers and three ZooKeepers', { timeout: 400_000 }, () => {
    let cluster: ClusterProcesses
    let load: Load
    let tools: ToolRunner

    before(async () => {
      cluster = await ClusterProcesses.start(parts, { zooKeepers: 3 })
      load = await Load.start(cluster, parts.programs)
      tools = startToolRunner(parts.kafka, parts.toolRunner)
    })
    after(async () => {
      await tools?.[Symbol.asyncDispose]()
      await load?.[Symbol.asyncDispose]()
      await cluster?.[Symbol.asyncDispose]()
    })

    function ask(tool: KafkaTool, broker: number, args: readonly string[]): Promise<string> {
      return tools.output(tool, ['--bootstrap-server', cluster.bootstrap[broker]!, ...args])
    }

    async function led(): Promise<readonly number[]> {
      return (await viewOf(cluster.brokers[0]!, load.topic))?.map(({ leader }) => leader) ?? []
    }

    test('one of the ZooKeepers is killed, the leader too: nobody notices', { timeout }, async (t) => {
      const before = await led()
      const leads = await Promise.all(cluster.zooKeepers.map(isLeader))
      for (const server of [
        cluster.zooKeepers[leads.indexOf(true)]!,
        cluster.zooKeepers[leads.indexOf(false)]!,
      ]) {
        await server.kill()
        await load.progress(600)
        const topic = `meanwhile-${server.pid}`
        await ask('kafka-topics', 1, ['--create', '--topic', topic, '--partitions', '3'])
        await server.start()
      }
      t.diagnostic(`longest time without an acknowledgement: ${Math.round(load.history.longestGapMs)} ms`)
      assert.deepEqual(await led(), before)
      await load.check()
    })

    test('kafka-topics and kafka-consumer-groups, whichever broker is asked', { timeout }, async () => {
      for (const broker of [0, 1, 2]) {
        const described = await ask('kafka-topics', broker, ['--describe', '--topic', load.topic])
        assert.match(described, /PartitionCount: 6\tReplicationFactor: 3\t/)
        const rows = [...described.matchAll(/Leader: (\d)\tReplicas: (\d),(\d),(\d)\tIsr: (\S+)/g)]
        assert.equal(rows.length, 6, described)
        for (const [row, leader, first, ...others] of rows) {
          const replicas = [first, ...others.slice(0, 2)]
          assert.ok(replicas.includes(leader), row)
          assert.deepEqual(new Set(replicas), new Set(['1', '2', '3']))
          assert.equal(others[2]!.split(',').length, 3, row)
        }
        const groups = await ask('kafka-consumer-groups', broker, ['--describe', '--group', 'readers'])
        assert.equal(groups.match(/^readers +load /gm)?.length, 6, groups)
      }
    })

    test('an Apache Kafka that has its metadata in ZooKeeper reads ours', { timeout }, async (t) => {
      const command = await znodesCommand()
      if (command === null) return skipMissing(t, `Apache Kafka 3.9: ${fetchHint}`)
      const config = ['--config', 'retention.ms=86400001', '--config', 'cleanup.policy=compact']
      await ask('kafka-topics', 2, ['--create', '--topic', 'configured', '--partitions', '2', ...config])
      const servers = cluster.zooKeepers.map(({ address }) => address).join(',')
      const admin = kafkaOf(cluster).admin()
      await admin.connect()
      const { clusterId, controller } = await admin.describeCluster()
      await admin.disconnect()
      const brokers = cluster.brokers.map(({ id, host, port }) => `broker ${id} ${host}:${port}`)
      const expected = [`cluster ${clusterId}`, `controller ${controller}`, ...brokers]
      for (const topic of [load.topic, 'configured']) {
        const described = await ask('kafka-topics', 0, ['--describe', '--topic', topic])
        const values = topic === 'configured' ? '{cleanup.policy=compact, retention.ms=86400001}' : '{}'
        expected.push(`topic ${topic} ${/TopicId: (\S+)/.exec(described)![1]} ${values}`)
        await whenInSync(cluster, topic)
        for (const { index, replicas, leader, leaderEpoch, isr } of (await viewOf(
          cluster.brokers[0]!,
          topic,
        ))!)
          expected.push(
            `partition ${topic} ${index} ${replicas.join()} ${leader} ${leaderEpoch} ${isr.join()} true`,
          )
      }
      const said = await runOrThrow(command[0]!, [...command.slice(1), servers])
      const lines = said.trim().split('\n')
      for (const line of expected) assert.ok(lines.includes(line), `${line} is missing in:\n${said}`)
    })

    test('kafka-leader-election gives a broker back what it led', { timeout }, async () => {
      const preferred = (await viewOf(cluster.brokers[0]!, load.topic))!.map(({ replicas }) => replicas[0])
      const broker = cluster.broker(3)
      await broker.stop()
      await until(async () => !(await led()).includes(3))
      await broker.start()
      await whenInSync(cluster, load.topic)
      assert.ok(!(await led()).includes(3))
      const election = ['--election-type', 'preferred', '--all-topic-partitions']
      await ask('kafka-leader-election', 1, election)
      await until(async () => JSON.stringify(await led()) === JSON.stringify(preferred))
      await load.progress()
      await load.finish()
    })
  })
}
