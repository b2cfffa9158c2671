import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CLUSTER_ROWS } from '../../bench/cluster/rows.ts'
import { applyLoad } from '../../bench/load/apply-load.ts'
import { Client } from '../../bench/load/client.ts'
import type { ClusterLoad, Endpoint } from '../../bench/load/spec.ts'
import { selectRows } from '../../bench/rows.ts'
import { Cluster } from '../../src/index.ts'

const TOPIC = 'some-topic'
const PARTITIONS = 6

function endpointOf(address: string): Endpoint {
  const [host, port] = address.split(':')
  return { host: host!, port: Number(port) }
}

function loadOf(cluster: Cluster): ClusterLoad {
  return {
    kind: 'cluster',
    endpoint: endpointOf(cluster.brokers[0]!),
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
}

async function started(): Promise<Cluster> {
  const cluster = await Cluster.start({ brokers: 3, config: { 'min.insync.replicas': 2 } })
  await cluster.createTopics([{ name: TOPIC, partitions: PARTITIONS, replicationFactor: 3 }])
  return cluster
}

test('a load of a cluster goes to the leaders of all partitions', async () => {
  await using cluster = await started()
  const load = loadOf(cluster)
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
      // Another one leads what it led, and acknowledges.
      while ((await cluster.leaderOf(TOPIC, 0)) === victim);
    })
  const pace = { kind: 'open', perSecond: 300, arrivals: 'constant' } as const
  const load: ClusterLoad = { ...loadOf(cluster), pace, inFlight: 64, measureMs: 60_000 }
  const result = await applyLoad(load, { measuring, until: killed })
  await killed
  assert.equal(result.failed, 0)
})

test('rows of a cluster are chosen like the others', () => {
  const ids = selectRows(CLUSTER_ROWS, ['cluster-open-*', 'cluster-stop'], false).map(({ id }) => id)
  assert.deepEqual(ids, ['cluster-open-p50', 'cluster-open-p99', 'cluster-stop'])
  assert.equal(new Set(CLUSTER_ROWS.map(({ id }) => id)).size, CLUSTER_ROWS.length)
})
