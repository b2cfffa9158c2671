/** Faults of a cluster, one after the other, by chance and under load. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'

import type { Seeded } from '../support/seed.ts'
import { until } from '../support/until.ts'
import { type BrokerProcess, ClusterProcesses } from './cluster-processes.ts'
import { compareDirectories, whenInSync } from './contents.ts'
import { Load } from './load.ts'
import type { ClusterParts } from './parts.ts'

/** Brings the cluster into trouble and out of it again; resolves when all brokers are on their way back. */
type Fault = (cluster: ClusterProcesses, broker: BrokerProcess, load: Load, random: Seeded) => Promise<void>

const faults: Readonly<Record<string, Fault>> = {
  'kill -9': async (_cluster, broker, load, random) => {
    await broker.kill()
    await load.progress(random.between(1, 200))
    await broker.start()
  },
  'kill -9, and at once again': async (_cluster, broker, load, random) => {
    await broker.kill()
    broker.launch()
    await sleep(random.between(50, 1_500))
    await broker.kill()
    await load.progress(random.between(1, 100))
    await broker.start()
  },
  'kill -9 of it and of its session': async (_cluster, broker, load, random) => {
    await broker.vanish()
    await load.progress(random.between(1, 200))
    await broker.start()
  },
  SIGTERM: async (_cluster, broker, load, random) => {
    await broker.stop()
    await load.progress(random.between(1, 200))
    await broker.start()
  },
  'a rolling restart': async (cluster, _broker, load) => {
    for (const broker of cluster.brokers) {
      await broker.stop()
      await broker.start()
      await whenInSync(cluster, load.topic)
    }
  },
  'kill -9 of two': async (cluster, broker, _load, random) => {
    const others = cluster.brokers.filter((other) => other !== broker)
    await Promise.all(
      others.map(async (other) => {
        await sleep(random.between(0, 200))
        await other.kill()
      }),
    )
    await Promise.all(others.map((other) => other.start()))
  },
  'kill -9 of all': async (cluster, _broker, load, random) => {
    load.history.allStop()
    await Promise.all(
      cluster.brokers.map(async (broker) => {
        await sleep(random.between(0, 200))
        await broker.kill()
      }),
    )
    await Promise.all(cluster.brokers.map((broker) => broker.start()))
  },
  'SIGSTOP for a moment': async (_cluster, broker, load, random) => {
    broker.freeze()
    await sleep(random.between(100, 1_500))
    broker.thaw()
    await load.progress(1)
  },
  'SIGSTOP until its session is gone': async (_cluster, broker, load, random) => {
    broker.freeze()
    await sleep(random.between(3_000, 5_000))
    await load.progress(random.between(1, 100))
    broker.thaw()
  },
  'ZooKeeper restarts': async (cluster, _broker, load, random) => {
    const [server] = cluster.zooKeepers
    await server!.kill()
    await sleep(random.between(0, 3_000))
    await load.progress(random.between(1, 200))
    await server!.start()
  },
  'the session of one ends': async (_cluster, broker, load, random) => {
    const from = broker.said.length
    const holder = broker.sessionHolder
    if (holder !== null) process.kill(holder, 'SIGKILL')
    await load.progress(random.between(1, 200))
    await until(() => broker.said.includes('registered again in the metadata store', from))
  },
}

export const faultNames: readonly string[] = Object.keys(faults)

/**
 * A cluster, its load, and some rounds; resolves to how many records were acknowledged. After each round everything is
 * checked and all replicas are in sync again; at the end the three directories are compared.
 */
export async function playRounds(
  parts: ClusterParts,
  random: Seeded,
  rounds: number,
  tell: (line: string) => void,
  among: readonly string[] = faultNames,
): Promise<number> {
  await using cluster = await ClusterProcesses.start(parts)
  try {
    await using load = await Load.start(cluster, parts.programs)
    for (let round = 1; round <= rounds; round++) {
      const startedMs = performance.now()
      const name = random.pick(among)
      const broker = random.pick(cluster.brokers)
      load.history.forgetGaps()
      await faults[name]!(cluster, broker, load, random)
      await load.progress(50)
      await load.check()
      await whenInSync(cluster, load.topic)
      const tookMs = Math.round(performance.now() - startedMs)
      const gapMs = Math.round(load.history.longestGapMs)
      tell(`${round}: ${name}, broker ${broker.id}: ${tookMs} ms, ${gapMs} ms without an acknowledgement`)
    }
    await load.finish()
    await whenInSync(cluster, load.topic)
    for (const broker of cluster.brokers) await broker.stop()
    assert.deepEqual(compareDirectories(cluster.brokers, load.topic, { exactly: true }), [])
    assert.deepEqual(compareDirectories(cluster.brokers, '__consumer_offsets', { exactly: false }), [])
    return load.history.acknowledged
  } catch (error) {
    tell(`what the brokers said: ${await cluster.keepWhatWasSaid()}`)
    throw error
  }
}
