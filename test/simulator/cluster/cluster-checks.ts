import { strict as assert } from 'node:assert'
import type { Ledger } from './ledger.ts'
import type { ClusterBroker, SimCluster } from './sim-cluster.ts'
import { sameLogs, storedLog } from './stored-log.ts'

/** What must hold of the brokers of a run: in the middle of it, S17, and in the end (S1, S4, L2, L4, L7, L11). */

const OFFSETS = '__consumer_offsets'

export interface Checked {
  readonly cluster: SimCluster
  readonly ledger: Ledger
  /** Why it does not hold yet. */
  missing: string
}

/** L1, L2, L5: all serve, and all replicas are in sync. */
export async function isCalm(run: Checked): Promise<boolean> {
  const { cluster } = run
  const down = cluster.brokers.filter(({ isUp }) => !isUp)
  run.missing = `${down.map(({ id }) => id).join()} do not serve`
  if (down.length > 0) return false
  for (const { topic, index, state, replicas } of await cluster.states()) {
    run.missing = `${topic}-${index} is ${JSON.stringify(state)}`
    if (state.leader === -1 || state.isr.length < replicas.length) return false
  }
  return true
}

/** L4. */
export async function everyReplicaHasAll(run: Checked): Promise<boolean> {
  const { cluster } = run
  for (const { topic, index, state, replicas } of await cluster.states()) {
    const ends = replicas.map((id) => {
      const partition = cluster.broker(id).partition(topic, index)
      return [partition?.log.logEndOffset, partition?.highWatermark].join(' committed up to ')
    })
    run.missing = `${topic}-${index}: ${ends.join(', ')}`
    if (new Set(ends).size > 1) return false
    const leader = cluster.broker(state.leader).partition(topic, index)
    if (leader?.highWatermark !== leader?.log.logEndOffset) return false
  }
  return true
}

/** S17: whoever lost what it had, one of the replicas has all that anybody was told of. */
export async function checkHolders({ cluster, ledger }: Checked): Promise<void> {
  for (const { topic, index, replicas } of await cluster.states()) {
    const name = `${topic}-${index}`
    const ends = replicas.map((id) => ledger.endOfKnown(name, valuesOn(cluster.broker(id), topic, index)))
    const committed = ledger.committedEnd(name)
    assert(
      topic === OFFSETS || Math.max(...ends) >= committed,
      `S17: of ${name} ${committed} are committed, and of brokers ${replicas.join()} the disks have ${ends.join()}`,
    )
  }
}

/** Whatever its process makes of it, or will. */
function valuesOn(
  { machine: { image }, logDirectories }: ClusterBroker,
  topic: string,
  index: number,
): readonly string[] {
  const directory = logDirectories
    .map((each) => `${each}/${topic}-${index}`)
    .find((path) => image.find(path) !== null)
  return directory === undefined ? [] : storedLog(image, directory, Infinity).values
}

export async function checkCluster(run: Checked): Promise<void> {
  const { cluster, ledger } = run
  for (const { topic, index, state, replicas } of await cluster.states()) {
    // Compacted, and each replica has its own time for that.
    if (topic === OFFSETS) continue
    const name = `${topic}-${index}`
    const end = cluster.broker(state.leader).partition(topic, index)?.highWatermark ?? 0
    const logs = replicas.map((id) => {
      const broker = cluster.broker(id)
      return storedLog(broker.machine.image, broker.partition(topic, index)!.log.directory, end)
    })
    for (const [at, log] of logs.entries()) {
      assert.equal(log.gapAt, null, `S13: ${name}: broker ${replicas[at]} left one out at ${log.gapAt}`)
      assert.equal(log.values.length, end, `${name}: broker ${replicas[at]} has less on its disk`)
      sameLogs(logs[0]!, log, `${name}: brokers ${replicas[0]} and ${replicas[at]}`)
    }
    ledger.settle(name, logs[0]!.values, 'in the end')
  }
  await checkImages(cluster)
}

/** L7, L11. */
async function checkImages(cluster: SimCluster): Promise<void> {
  const controller = await cluster.controllerId()
  for (const broker of cluster.brokers) {
    const { metadata } = broker.running!.broker
    assert.equal(metadata.controllerId, controller, `L11: who is controller, says ${broker.id}`)
    assert.deepEqual(imageOf(broker), imageOf(cluster.broker(1)), `L7: what ${broker.id} and 1 know`)
  }
  for (const { topic, index, state } of await cluster.states()) {
    const known = cluster.broker(1).running!.broker.metadata.topics.get(topic)?.partitions[index]
    assert.deepEqual(
      [known?.leader, known?.leaderEpoch, known?.isr, known?.elr],
      [state.leader, state.leader_epoch, state.isr, state.elr],
      `L7: ${topic}-${index}`,
    )
  }
}

function imageOf({ running }: ClusterBroker): unknown {
  const { topics, brokers } = running!.broker.metadata
  return {
    topics: [...topics.values()]
      .map(({ name, topicId, partitions, config }) => ({
        name,
        topicId,
        partitions,
        overrides: [...config.overrides],
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
    brokers: [...brokers.values()].sort((a, b) => a.id - b.id),
  }
}
