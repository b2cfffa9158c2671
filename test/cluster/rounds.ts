/** Faults of a cluster, one after the other, by chance and under load. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'

import type { Seeded } from '../support/seed.ts'
import { until } from '../support/until.ts'
import { type BrokerProcess, ClusterProcesses, SESSION_MS } from './cluster-processes.ts'
import { compareDirectories, whenInSync } from './contents.ts'
import { compareDumps } from './dumps.ts'
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
  'kill -9 of all': async (cluster, _broker, _load, random) => {
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

/** What of a broker is cut: from whom it does not hear, and who does not hear from it. */
type Cut = (broker: BrokerProcess, cluster: ClusterProcesses) => { from: string[]; to: string[] }

const others: Cut = ({ host }, { brokers }) => {
  const hosts = brokers.map((other) => other.host).filter((other) => other !== host)
  return { from: hosts, to: hosts }
}
const zooKeeper: Cut = (_broker, { wires }) => ({ from: [wires!.zooKeeper], to: [wires!.zooKeeper] })
const clients: Cut = (_broker, { wires }) => ({ from: [wires!.clients], to: [wires!.clients] })
const all =
  (...cuts: readonly Cut[]): Cut =>
  (broker, cluster) => {
    const each = cuts.map((cut) => cut(broker, cluster))
    return { from: each.flatMap(({ from }) => from), to: each.flatMap(({ to }) => to) }
  }

const cuts: Readonly<Record<string, Cut>> = {
  'no way between it and the others': others,
  'no way from it to the others': (broker, cluster) => ({ ...others(broker, cluster), from: [] }),
  'no way from the others to it': (broker, cluster) => ({ ...others(broker, cluster), to: [] }),
  'no way between it and ZooKeeper': zooKeeper,
  'no way from it to ZooKeeper': (broker, cluster) => ({ ...zooKeeper(broker, cluster), from: [] }),
  'clients alone reach it': all(others, zooKeeper),
  'nobody reaches it': all(others, zooKeeper, clients),
}

/** Shorter than a session lives, and than a replica may lag; or longer than both. */
const lengths: Readonly<Record<string, readonly [number, number]>> = {
  'for a moment': [100, 1_500],
  'for long': [4_500, 6_500],
}

function cutFault(cut: Cut, [least, most]: readonly [number, number]): Fault {
  return async (cluster, broker, load, random) => {
    const { from, to } = cut(broker, cluster)
    for (const host of from) await cluster.wires!.cut(host, broker.host)
    for (const host of to) await cluster.wires!.cut(broker.host, host)
    await sleep(random.between(least, most))
    // Who is not heard for as long as a session lasts is replaced.
    if (least > SESSION_MS) await load.progress(50)
    await cluster.wires!.heal()
  }
}

const cutFaults = Object.fromEntries(
  Object.entries(cuts).flatMap(([what, cut]) =>
    Object.entries(lengths).map(([length, ms]) => [`${what}, ${length}`, cutFault(cut, ms)]),
  ),
)

/** Those that need `Wires`. */
export const cutNames: readonly string[] = Object.keys(cutFaults)

/**
 * A cluster, its load, and the faults of `plan` on one broker each; resolves to how many records were acknowledged. After each
 * everything is checked and all replicas are in sync again; at the end the three directories are compared, byte for byte and as Apache
 * Kafka reads them.
 */
export async function playRounds(
  parts: ClusterParts,
  random: Seeded,
  plan: readonly string[],
  tell: (line: string) => void,
): Promise<number> {
  await using cluster = await ClusterProcesses.start(parts, {
    wires: plan.some((name) => cutNames.includes(name)),
  })
  try {
    await using load = await Load.start(cluster, parts.programs)
    for (const [round, name] of plan.entries()) {
      const startedMs = performance.now()
      const broker = random.pick(cluster.brokers)
      load.history.forgetGaps()
      await { ...faults, ...cutFaults }[name]!(cluster, broker, load, random)
      await load.progress(50)
      await load.check()
      await whenInSync(cluster, load.topic)
      const tookMs = Math.round(performance.now() - startedMs)
      const gapMs = Math.round(load.history.longestGapMs)
      tell(`${round + 1}: ${name}, broker ${broker.id}: ${tookMs} ms, ${gapMs} ms without an acknowledgement`)
    }
    await load.finish()
    await whenInSync(cluster, load.topic)
    for (const broker of cluster.brokers) await broker.stop()
    assert.deepEqual(compareDirectories(cluster.brokers, load.topic, { exactly: true }), [])
    assert.deepEqual(compareDirectories(cluster.brokers, '__consumer_offsets', { exactly: false }), [])
    assert.deepEqual(await compareDumps(parts, cluster.brokers, load.topic, load.partitions), [])
    return load.history.acknowledged
  } catch (error) {
    tell(`what the brokers said: ${await cluster.keepWhatWasSaid()}`)
    throw error
  }
}
