import { strict as assert } from 'node:assert'
import type { Partition } from '../../../src/broker/partition.ts'
import type { LeaderCore } from '../../../src/core/replication/leader.ts'
import type { Version } from '../sim-zookeeper-history.ts'
import type { Ledger } from './ledger.ts'
import type { ClusterBroker, SimCluster, StoredPartitionState } from './sim-cluster.ts'
import { StoreChecks } from './store-checks.ts'
import type { StoreTally } from './store-checks.ts'

/**
 * What must hold of the running brokers after every step. Names as in `replication.md` 5.1.
 *
 * What is committed is what any leader's high watermark has reached, and what any client was told of: whoever is in sync or
 * eligible has it all, with the records of the epochs that the leader has (S4, S5).
 */

const STATE = /^\/brokers\/topics\/([^/]+)\/partitions\/(\d+)\/state$/
const REGISTRATION = /^\/brokers\/registrations\/(\d+)$/

/** A leader at the last look. */
interface Led {
  core: LeaderCore | null
  leaderEpoch: number
  partitionEpoch: number
  highWatermark: number
  underMinIsr: boolean
}

interface Watched {
  readonly name: string
  readonly topic: string
  readonly index: number
  state: StoredPartitionState
  committed: number
  /** Of the last record that is committed. */
  committedEpoch: number
  /** By broker, as those of the cluster. */
  readonly led: readonly Led[]
}

export class ClusterWatch {
  readonly #cluster: SimCluster
  readonly #ledger: Ledger
  readonly #watched = new Map<string, Watched>()
  /** The incarnation that the controller accepted. */
  readonly #accepted = new Map<number, number>()
  readonly #store: StoreChecks
  #failure: { readonly error: unknown } | null = null

  constructor(cluster: SimCluster, ledger: Ledger) {
    this.#cluster = cluster
    this.#ledger = ledger
    this.#store = new StoreChecks(cluster.store.ensemble.history)
  }

  get tally(): StoreTally {
    return this.#store.tally
  }

  begin(): void {
    const { store, sim } = this.#cluster
    const { history } = store.ensemble
    for (const path of history.paths())
      for (const version of history.versionsOf(path)) this.#stored(path, version)
    history.listener = (path, version) => {
      try {
        this.#store.stored(path, version)
        this.#stored(path, version)
      } catch (error) {
        // Whoever wrote it is not to blame: the run ends with the turn.
        this.#failure ??= { error }
      }
    }
    sim.scheduler.afterTurn = () => this.#look()
  }

  #stored(path: string, { node }: Version): void {
    const registration = REGISTRATION.exec(path)
    if (registration !== null && node !== null) {
      const { epoch } = JSON.parse(node.data.toString()) as { epoch: number }
      this.#accepted.set(Number(registration[1]), epoch)
    }
    const placed = STATE.exec(path)
    if (placed === null) return
    const [, topic = '', index] = placed
    const name = `${topic}-${index}`
    if (node === null) return void this.#watched.delete(name)
    const state = JSON.parse(node.data.toString()) as StoredPartitionState
    const known = this.#watched.get(name)
    if (known === undefined) {
      const led = this.#cluster.brokers.map(() => nothingLed())
      const watched = { name, topic, index: Number(index), state, committed: 0, committedEpoch: -1, led }
      this.#watched.set(name, watched)
      return
    }
    this.#checkJoined(known, state)
    // What the one that was elected does not have is lost, as everybody was told.
    if (state.leader_recovery_state === 1 && known.state.leader_recovery_state === 0) known.committed = 0
    known.state = state
  }

  /** Who joins has all that was there when its leader was elected: the leader cannot know yet what of it is committed. */
  #checkJoined({ name, topic, index, state: before }: Watched, state: StoredPartitionState): void {
    if (state.leader === -1 || state.leader_epoch !== before.leader_epoch) return
    const core = this.#cluster.broker(state.leader).partition(topic, index)?.leader
    if (core?.committed.leaderEpoch !== state.leader_epoch) return
    for (const id of state.isr.filter((each) => !before.isr.includes(each))) {
      const end = this.#cluster.broker(id).partition(topic, index)?.log.writtenEndOffset ?? Infinity
      assert(
        end >= core.epochStartOffset,
        `S5: ${name}: ${id} joins at ${end}, and the term began at ${core.epochStartOffset}: ${JSON.stringify(state)}`,
      )
    }
  }

  #look(): void {
    if (this.#failure !== null) throw this.#failure.error
    for (const broker of this.#cluster.brokers) {
      if (broker.running === null) continue
      const { partitions, metadata } = broker.running.broker
      const isAccepted = metadata.brokerEpoch === this.#accepted.get(broker.id)
      for (const watched of this.#watched.values()) {
        const partition = partitions.get(watched.topic, watched.index)
        if (partition === undefined) continue
        if (partition.leader !== null) this.#lookAtLeader(watched, broker, partition, partition.leader)
        if (isAccepted) this.#lookAtMember(watched, broker, partition)
      }
    }
  }

  #lookAtLeader(watched: Watched, broker: ClusterBroker, partition: Partition, core: LeaderCore): void {
    const { state } = watched
    const led = watched.led[broker.id - 1]!
    const { highWatermark, log } = partition
    const { committed, maximalIsr, underMinIsr, pending } = core
    const { leaderEpoch, partitionEpoch } = committed
    const broken = (what: string): never =>
      assert.fail(`${what}: ${watched.name}, ${broker.id} leads: ${JSON.stringify(state)}`)
    // Or whoever asks where the term begins would never learn it (KAFKA-20961).
    if (!log.failed && log.epochs.latestEpoch !== leaderEpoch) broken('its log does not know of its term')
    if (led.core === core && led.leaderEpoch === leaderEpoch && highWatermark !== led.highWatermark) {
      const moved = `${led.highWatermark} became ${highWatermark}`
      if (highWatermark < led.highWatermark) broken(`S3: ${moved}`)
      const isBelow = led.underMinIsr && underMinIsr && partitionEpoch - led.partitionEpoch <= 1
      if (isBelow) broken(`S10: ${moved} below the minimum`)
    }
    if (led.core !== core || led.partitionEpoch !== partitionEpoch || led.highWatermark !== highWatermark)
      Object.assign(led, { core, leaderEpoch, partitionEpoch, highWatermark, underMinIsr })
    if (pending === null && !hasMembers(maximalIsr, committed.isr))
      broken(`S9: it waits for ${[...maximalIsr].join()}`)
    if (state.leader === broker.id && state.leader_epoch === leaderEpoch && !underMinIsr) {
      for (const id of state.isr) if (!maximalIsr.has(id)) broken(`S8: it does not wait for ${id}`)
      for (const id of state.elr) if (!maximalIsr.has(id)) broken(`S8: it does not wait for ${id}`)
    }
    if (highWatermark <= watched.committed) return
    watched.committed = highWatermark
    watched.committedEpoch = log.epochs.epochAt(highWatermark - 1)
  }

  #lookAtMember(watched: Watched, { id }: ClusterBroker, { log }: Partition): void {
    const { name, state, committedEpoch } = watched
    if (!state.isr.includes(id) && !state.elr.includes(id)) return
    const committed = Math.max(watched.committed, this.#ledger.committedEnd(name))
    const { writtenEndOffset } = log
    if (writtenEndOffset < committed)
      assert.fail(
        `S5: ${name}: ${id} has written up to ${writtenEndOffset}, and ${committed} are committed: ${JSON.stringify(state)}`,
      )
    if (watched.committed === 0 || watched.committed <= log.logStartOffset) return
    const epoch = log.epochs.epochAt(watched.committed - 1)
    if (epoch !== committedEpoch && epoch !== -1)
      assert.fail(
        `S4: ${name}: ${id} has a record of epoch ${epoch} at ${watched.committed - 1}, and ${committedEpoch} is committed: ${JSON.stringify(state)}`,
      )
  }
}

function hasMembers(members: ReadonlySet<number>, ids: readonly number[]): boolean {
  return members.size === ids.length && ids.every((id) => members.has(id))
}

function nothingLed(): Led {
  return { core: null, leaderEpoch: -1, partitionEpoch: -1, highWatermark: -1, underMinIsr: false }
}
