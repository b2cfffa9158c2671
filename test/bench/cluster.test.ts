import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { CLUSTER_ROWS } from '../../bench/cluster/rows.ts'
import { estimateClusterMs } from '../../bench/cluster/run.ts'
import { applyLoad } from '../../bench/load/apply-load.ts'
import { Client } from '../../bench/load/client.ts'
import { Librdkafka } from '../../bench/load/librdkafka.ts'
import type { ClusterLoad, Endpoint } from '../../bench/load/spec.ts'
import { selectRows } from '../../bench/rows.ts'
import { Cluster } from '../../src/index.ts'
import { ClusterProcesses } from '../cluster/cluster-processes.ts'
import { clusterParts, whatIsMissing } from '../cluster/parts.ts'
import { pythonPackages } from '../support/installs.ts'
import { fetchHint, skipMissing } from '../support/requirements.ts'
import { until } from '../support/until.ts'

const TOPIC = 'some-topic'
const PARTITIONS = 6

function endpointOf(address: string): Endpoint {
  const [host, port] = address.split(':')
  return { host: host!, port: Number(port) }
}

const LOAD: Omit<ClusterLoad, 'endpoint'> = {
  kind: 'cluster',
  brokerPid: 0,
  pids: [process.pid],
  blockStatPath: '',
  topic: TOPIC,
  partitions: PARTITIONS,
  connections: 3,
  inFlight: 2,
  seed: 1,
  batch: { records: 2, valueBytes: 100 },
  acks: -1,
  pace: { kind: 'closed' },
  warmupMs: 50,
  measureMs: 300,
}

function loadOf(cluster: Cluster): ClusterLoad {
  return { ...LOAD, endpoint: endpointOf(cluster.brokers[0]!) }
}

async function started(): Promise<Cluster> {
  const cluster = await Cluster.start({ brokers: 3, config: { 'min.insync.replicas': 2 } })
  await cluster.createTopics([{ name: TOPIC, partitions: PARTITIONS, replicationFactor: 3 }])
  return cluster
}

test('a load of a cluster goes to the leaders of all partitions', async () => {
  await using cluster = await started()
  // As long as a busy machine may need for the first of them.
  const load = { ...loadOf(cluster), measureMs: 2_000 }
  const result = await applyLoad(load)
  assert.ok(result.requests > 0)
  assert.equal(result.latency.count, result.requests)
  assert.equal(result.failed, 0)
  assert.ok(result.brokerCpu !== null)
  assert.ok(result.longestGapMs! > 0)
  const client = await Client.connect(load.endpoint)
  const { brokers, partitions } = await client.metadata(TOPIC)
  client.close()
  assert.equal(brokers.size, 3)
  assert.deepEqual(
    partitions.map(({ inSync, replicas }) => [inSync, replicas]),
    partitions.map(() => [3, 3]),
  )
  assert.equal(new Set(partitions.map(({ leader }) => leader)).size, 3)
})

test('what a broker that is killed did not acknowledge is sent to the next leader', async () => {
  await using cluster = await started()
  const victim = await cluster.leaderOf(TOPIC, 0)
  let measuring = (): void => undefined
  const begun = new Promise<void>((resolve) => (measuring = resolve))
  const killed = begun
    .then(() => cluster.kill(victim))
    .then(async () => {
      while ((await cluster.leaderOf(TOPIC, 0)) === victim);
    })
  const pace = { kind: 'open', perSecond: 300, arrivals: 'constant' } as const
  const load: ClusterLoad = { ...loadOf(cluster), pace, inFlight: 64, measureMs: 60_000 }
  const result = await applyLoad(load, { measuring, until: killed })
  await killed
  assert.equal(result.failed, 0)
})

test(
  'a watchful load leaves a broker that answers nothing and closes nothing',
  { timeout: 170_000 },
  async (t) => {
    const parts = await clusterParts()
    if (parts === null) return skipMissing(t, whatIsMissing)
    await using cluster = await ClusterProcesses.start(parts, {
      properties: { 'zookeeper.session.timeout.ms': '6000' },
    })
    const endpoint = { host: '127.0.0.1', port: cluster.broker(1).port }
    const client = await Client.connect(endpoint)
    assert.equal(await client.createTopic(TOPIC, PARTITIONS, {}, 3), 0)
    const pause = (): Promise<void> => sleep(20)
    const leads = async (id: number): Promise<boolean> => {
      const { partitions } = await client.metadata(TOPIC)
      return partitions.length < PARTITIONS || partitions.some(({ leader }) => leader === id || leader < 0)
    }
    await until(async () => !(await leads(-1)), pause)
    const pace = { kind: 'open', perSecond: 300, arrivals: 'constant' } as const
    let measuring = (): void => undefined
    const begun = new Promise<void>((resolve) => (measuring = resolve))
    const isLeft = begun.then(async () => {
      cluster.broker(3).freeze()
      await until(async () => !(await leads(3)), pause)
    })
    const shape = { ...LOAD, endpoint, pace, inFlight: 64, measureMs: 60_000, isWatchful: true }
    const result = await applyLoad(shape, { measuring, until: isLeft })
    client.close()
    await isLeft
    // It stands still to the end, and everything was acknowledged by others.
    assert.equal(result.failed, 0)
    assert.ok(result.stalls! > 0)
  },
)

test('a broker can be the one that only follows', async () => {
  await using cluster = await Cluster.start({ brokers: 3 })
  const client = await Client.connect(endpointOf(cluster.brokers[0]!))
  const replicas = [
    [1, 2, 3],
    [2, 1, 3],
  ]
  assert.equal(await client.createTopic(TOPIC, 2, {}, replicas), 0)
  client.close()
  assert.deepEqual([await cluster.leaderOf(TOPIC, 0), await cluster.leaderOf(TOPIC, 1)], [1, 2])
})

test('librdkafka says what it was told', { timeout: 120_000 }, async (t) => {
  if ((await pythonPackages()) === null) return skipMissing(t, `confluent-kafka for Python: ${fetchHint}`)
  await using cluster = await started()
  const load = { topic: TOPIC, partitions: PARTITIONS, perSecond: 300, members: 2 }
  const client = await Librdkafka.start({ bootstrap: cluster.brokers.join(','), ...load })
  client.begin()
  const victim = await cluster.leaderOf(TOPIC, 0)
  await cluster.stopBroker(victim)
  while ((await cluster.leaderOf(TOPIC, 0)) === victim);
  const said = await client.end()
  assert.equal(said.failed, 0)
  for (const figure of ['acknowledged', 'longestGapMs', 'recordsGapMs', 'commitsGapMs'] as const)
    assert.ok(said[figure] > 0, figure)
})

test('rows of a cluster are chosen like the others', () => {
  const ids = selectRows(CLUSTER_ROWS, ['cluster-open-*', 'cluster-refill'], false).map(({ id }) => id)
  assert.deepEqual(ids, ['cluster-open-p50', 'cluster-open-p99', 'cluster-refill'])
  assert.equal(new Set(CLUSTER_ROWS.map(({ id }) => id)).size, CLUSTER_ROWS.length)
})

test('what is measured of ours alone takes the peer no time, and what needs a cluster of its own takes one', () => {
  const target = {
    name: 'samsa',
    description: '',
    patienceMs: 8_000,
    start: () => Promise.reject(new Error()),
  }
  const plan = {
    rows: selectRows(CLUSTER_ROWS, ['cluster-takeover-5000p', 'cluster-store-writes'], false),
    targets: [target],
    repeats: 3,
    timing: { warmupMs: 30_000, measureMs: 30_000 },
    warmupMs: 30_000,
    watchMs: 60_000,
    refillBytes: 1e10,
    kills: 5,
  }
  const aloneMs = estimateClusterMs(plan)
  assert.equal(estimateClusterMs({ ...plan, targets: [target, { ...target, name: 'kafka' }] }), aloneMs)
  assert.equal(estimateClusterMs({ ...plan, repeats: 1 }), aloneMs / 3)
  const rows = [...plan.rows, ...selectRows(CLUSTER_ROWS, ['cluster-follower-*'], false)]
  assert.ok(estimateClusterMs({ ...plan, rows }) > aloneMs + 3 * plan.warmupMs)
})
