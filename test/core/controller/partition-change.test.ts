import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { changePartition } from '../../../src/core/controller/partition-change.ts'
import type { ChangeContext, PartitionEvent } from '../../../src/core/controller/partition-change.ts'
import type { BrokerView, PartitionState } from '../../../src/core/replication/partition-state.ts'

/** A partition under its controller: events go in, and what is agreed on after each is told in short. */
class Driven {
  state: PartitionState
  replicas: readonly number[]
  elr = true
  uncleanElection = false
  readonly gone = new Set<number>()
  readonly leaving = new Set<number>()
  readonly epochs = new Map<number, number>()

  constructor(minIsr: number, replicas: readonly number[] = [1, 2, 3]) {
    this.replicas = replicas
    for (const id of replicas) this.epochs.set(id, 100 + id)
    this.state = {
      leader: replicas[0]!,
      leaderEpoch: 0,
      leaderBrokerEpoch: 100 + replicas[0]!,
      controllerEpoch: 1,
      partitionEpoch: 0,
      isr: replicas,
      elr: [],
      lastKnownElr: [],
      leaderRecoveryState: 0,
      minIsr,
    }
  }

  /** Whether anything changed. */
  happens(event: PartitionEvent): boolean {
    const context: ChangeContext = {
      assignment: { replicas: this.replicas, adding: [], removing: [] },
      broker: (id) => this.view(id),
      eligibleLeaderReplicas: this.elr,
      uncleanElection: this.uncleanElection,
      controllerEpoch: 2,
    }
    const after = changePartition(this.state, event, context)
    if (event.kind === 'assignment') this.replicas = event.assignment.replicas
    if (after === null) return false
    assert.equal(after.partitionEpoch, this.state.partitionEpoch + 1)
    assert.equal(after.controllerEpoch, 2)
    this.state = after
    return true
  }

  view(id: number): BrokerView | undefined {
    const epoch = this.epochs.get(id)
    if (epoch === undefined) return undefined
    return { id, epoch, fenced: this.gone.has(id), shuttingDown: this.leaving.has(id) }
  }

  fence(broker: number): boolean {
    this.gone.add(broker)
    return this.happens({ kind: 'fenced', broker, unclean: false })
  }

  /** It registers again; `unclean`: it may have lost the end of its logs. */
  comesBack(broker: number, unclean = false): void {
    this.gone.add(broker)
    this.epochs.set(broker, this.epochs.get(broker)! + 100)
    this.happens({ kind: 'fenced', broker, unclean })
    this.gone.delete(broker)
    this.leaving.delete(broker)
    this.happens({ kind: 'unfenced', broker })
  }

  altersIsr(...isr: number[]): boolean {
    return this.happens({ kind: 'alter-isr', isr, recovered: false })
  }

  /** leader[epoch] isr | elr | last known elr */
  toString(): string {
    const { leader, leaderEpoch, isr, elr, lastKnownElr } = this.state
    const list = (ids: readonly number[]): string => (ids.length === 0 ? '-' : ids.join(','))
    return `${leader}[${leaderEpoch}] ${list(isr)} | ${list(elr)} | ${list(lastKnownElr)}`
  }
}

const is = (driven: Driven, expected: string): void => assert.equal(String(driven), expected)

test('a partition that loses two replicas and gets them back, one of them with a loss', () => {
  const p = new Driven(2)
  is(p, '1[0] 1,2,3 | - | -')
  p.altersIsr(1, 2)
  is(p, '1[0] 1,2 | - | -')
  p.fence(2)
  is(p, '1[0] 1 | 2 | -')
  p.comesBack(2)
  is(p, '1[0] 1 | 2 | -')
  p.fence(1)
  is(p, '2[1] 2 | 1 | -')
  p.comesBack(1, true)
  is(p, '2[1] 2 | - | 1')
  p.altersIsr(2, 3)
  is(p, '2[1] 2,3 | - | -')
  p.altersIsr(2, 3, 1)
  is(p, '2[1] 2,3,1 | - | -')
})

test('the last replica standing loses its log: who left before leads, or nobody does', () => {
  const p = new Driven(2)
  p.fence(3)
  p.fence(2)
  is(p, '1[0] 1 | 2 | -')
  p.fence(1)
  is(p, '-1[1] - | 2,1 | -')
  assert.equal(p.state.leaderBrokerEpoch, -1)
  p.comesBack(1, true)
  is(p, '-1[1] - | 2 | 1')
  p.comesBack(3)
  is(p, '-1[1] - | 2 | 1')
  p.comesBack(2)
  is(p, '2[2] 2 | - | 1')
  assert.equal(p.state.leaderBrokerEpoch, p.epochs.get(2))
})

test('all lost something: nobody is certain to be whole, and nobody is elected', () => {
  const p = new Driven(2)
  for (const broker of [3, 2, 1]) p.fence(broker)
  for (const broker of [1, 2, 3]) p.comesBack(broker, true)
  is(p, '-1[1] - | - | 1,2')
})

test('several leave in one step: all of them are eligible', () => {
  const p = new Driven(2)
  p.altersIsr(1)
  is(p, '1[0] 1 | 2,3 | -')
  p.fence(1)
  is(p, '2[1] 2 | 3,1 | -')
  p.altersIsr(2, 3)
  is(p, '2[1] 2,3 | - | -')
})

test('the order of failures: who comes back first of those that are eligible leads', () => {
  for (const order of [
    [1, 2, 3],
    [1, 3, 2],
    [2, 1, 3],
    [2, 3, 1],
    [3, 1, 2],
    [3, 2, 1],
  ]) {
    const p = new Driven(2)
    for (const broker of order) p.fence(broker)
    const [first, second, last] = order as [number, number, number]
    assert.deepEqual(
      [...p.state.elr].toSorted((a, b) => a - b),
      [second, last].toSorted((a, b) => a - b),
    )
    p.comesBack(first)
    assert.equal(p.state.leader, -1)
    p.comesBack(second)
    assert.equal(p.state.leader, second)
  }
})

test('with one replica and min.insync.replicas of two: it comes back and leads, and if it lost something it is said to', () => {
  const p = new Driven(1, [1])
  p.fence(1)
  is(p, '-1[1] - | 1 | -')
  p.comesBack(1)
  is(p, '1[2] 1 | - | -')
  assert.equal(p.state.leaderRecoveryState, 0)
  p.comesBack(1, true)
  is(p, '1[4] 1 | - | -')
  assert.equal(p.state.leaderRecoveryState, 1)
})

describe('leaders', () => {
  test('the first of the assignment that is in sync', () => {
    const p = new Driven(1, [3, 1, 2])
    p.fence(3)
    is(p, '1[1] 1,2 | - | -')
  })

  test('the same broker in a new incarnation is a new leader', () => {
    const p = new Driven(1)
    const epoch = p.state.leaderBrokerEpoch
    p.epochs.set(1, 900)
    assert.ok(p.happens({ kind: 'elect', how: 'clean' }))
    is(p, '1[1] 1,2,3 | - | -')
    assert.deepEqual([epoch, p.state.leaderBrokerEpoch], [101, 900])
  })

  test('a shrink or an expansion is no new term', () => {
    const p = new Driven(2)
    p.altersIsr(1, 3)
    p.altersIsr(1, 3, 2)
    assert.equal(p.state.leaderEpoch, 0)
    assert.ok(!p.altersIsr(1, 2, 3))
  })

  test('a broker that shuts down hands over before it goes', () => {
    const p = new Driven(2)
    p.fence(3)
    p.fence(2)
    p.comesBack(2)
    p.leaving.add(1)
    p.happens({ kind: 'shutting-down', broker: 1 })
    is(p, '2[1] 2 | 1 | -')
  })

  test('the preferred one, when it is in sync; not when it leads already', () => {
    const p = new Driven(1)
    p.fence(1)
    p.comesBack(1)
    is(p, '2[1] 2,3 | - | -')
    assert.ok(!p.happens({ kind: 'elect', how: 'preferred' }))
    p.altersIsr(2, 3, 1)
    assert.ok(p.happens({ kind: 'elect', how: 'preferred' }))
    is(p, '1[2] 2,3,1 | - | -')
    assert.ok(!p.happens({ kind: 'elect', how: 'preferred' }))
  })

  test('a designated one of the eligible; of others only when loss is asked for', () => {
    const p = new Driven(2)
    p.altersIsr(1)
    p.gone.add(2)
    p.gone.add(3)
    p.fence(1)
    is(p, '-1[1] - | 2,3,1 | -')
    p.gone.delete(3)
    p.happens({ kind: 'elect', how: { designated: 3 } })
    is(p, '3[2] 3 | 2,1 | -')
    const q = new Driven(2)
    for (const broker of [3, 2, 1]) q.fence(broker)
    q.gone.delete(3)
    assert.ok(!q.happens({ kind: 'elect', how: { designated: 3 } }))
    assert.ok(!q.happens({ kind: 'elect', how: { unclean: 2 } }))
    q.happens({ kind: 'elect', how: { unclean: 3 } })
    is(q, '3[2] 3 | - | -')
    assert.equal(q.state.leaderRecoveryState, 1)
    q.happens({ kind: 'alter-isr', isr: [3], recovered: true })
    assert.equal(q.state.leaderRecoveryState, 0)
  })

  test('an unclean one by itself only where the topic allows it, and only when nobody else may', () => {
    const p = new Driven(2)
    p.uncleanElection = true
    p.fence(3)
    p.fence(2)
    p.comesBack(3)
    p.fence(1)
    is(p, '3[1] 3 | - | -')
    assert.equal(p.state.leaderRecoveryState, 1)
    const q = new Driven(2)
    q.uncleanElection = true
    q.altersIsr(1)
    q.fence(1)
    is(q, '2[1] 2 | 3,1 | -')
    assert.equal(q.state.leaderRecoveryState, 0)
  })
})

describe('what leaves nothing behind', () => {
  test('a damaged replica is not eligible', () => {
    const p = new Driven(2)
    p.altersIsr(1)
    p.happens({ kind: 'replica-damaged', broker: 2 })
    is(p, '1[0] 1 | 3 | 2')
  })

  test('a broker that is unregistered is forgotten', () => {
    const p = new Driven(2)
    p.altersIsr(1)
    p.fence(2)
    p.epochs.delete(2)
    p.happens({ kind: 'unregistered', broker: 2 })
    is(p, '1[0] 1 | 3 | -')
  })

  test('a replica that a reassignment takes away may not come back as one that has everything', () => {
    const p = new Driven(2, [1, 2, 3, 4])
    p.altersIsr(4)
    p.happens({ kind: 'elect', how: 'clean' })
    is(p, '4[1] 4 | 1,2,3 | -')
    const three = { replicas: [1, 2, 3], adding: [], removing: [] }
    p.happens({ kind: 'assignment', assignment: three, minIsr: 2 })
    is(p, '1[2] 1 | 2,3 | -')
    p.happens({ kind: 'assignment', assignment: { ...three, replicas: [1, 2, 3, 4] }, minIsr: 2 })
    is(p, '1[2] 1 | 2,3 | -')
  })

  test('min.insync.replicas: lowered to what is there it ends the ELR, raised it makes none', () => {
    const p = new Driven(2)
    p.altersIsr(1)
    p.happens({ kind: 'min-isr', minIsr: 1 })
    is(p, '1[0] 1 | - | -')
    p.happens({ kind: 'min-isr', minIsr: 2 })
    is(p, '1[0] 1 | - | -')
    assert.ok(!p.happens({ kind: 'min-isr', minIsr: 2 }))
  })
})

test('without eligible leader replicas the ISR never empties', () => {
  const p = new Driven(2)
  p.elr = false
  p.fence(3)
  p.fence(2)
  is(p, '1[0] 1 | - | -')
  p.fence(1)
  is(p, '-1[1] 1 | - | -')
  p.comesBack(2)
  is(p, '-1[1] 1 | - | -')
  p.comesBack(1, true)
  is(p, '1[2] 1 | - | -')
})

/**
 * Every order of events, with a model of what the disks hold: a replica is whole while it has all that was acknowledged.
 * An acknowledged record lies on the ISR of the moment, and is acknowledged only while that has `minIsr` members.
 */
class World {
  readonly driven: Driven
  readonly whole = new Set<number>([1, 2, 3])
  losses = 0
  /** Who lost something just now. */
  lossy = -1

  constructor(minIsr: number) {
    this.driven = new Driven(minIsr)
  }

  copy(): World {
    const other = new World(this.driven.state.minIsr)
    other.driven.state = this.driven.state
    for (const id of this.driven.gone) other.driven.gone.add(id)
    for (const [id, epoch] of this.driven.epochs) other.driven.epochs.set(id, epoch)
    other.whole.clear()
    for (const id of this.whole) other.whole.add(id)
    other.losses = this.losses
    return other
  }

  get key(): string {
    const { leader, isr, elr, lastKnownElr } = this.driven.state
    const sets = [isr, elr, lastKnownElr, [...this.driven.gone], [...this.whole]]
    return [leader, this.losses, ...sets.map((ids) => [...ids].toSorted((a, b) => a - b).join(''))].join('|')
  }

  /** What may happen next, each in a world of its own. */
  *next(): Generator<World> {
    const { state, gone } = this.driven
    const { leader, isr, minIsr } = state
    if (leader !== -1 && isr.length >= minIsr)
      yield this.after(({ whole }) =>
        [1, 2, 3].filter((id) => !isr.includes(id)).forEach((id) => whole.delete(id)),
      )
    for (const id of [1, 2, 3]) {
      if (!gone.has(id)) {
        yield this.after(({ driven }) => driven.fence(id))
        yield this.after((world) =>
          world.loses(id, () => world.driven.happens({ kind: 'replica-damaged', broker: id })),
        )
      } else {
        yield this.after(({ driven }) => driven.comesBack(id))
        yield this.after((world) => world.loses(id, () => world.driven.comesBack(id, true)))
      }
      if (leader === -1 || id === leader) continue
      if (isr.includes(id))
        yield this.after(({ driven }) => driven.altersIsr(...isr.filter((each) => each !== id)))
      else if (!gone.has(id))
        yield this.after((world) => {
          // It joins when it has all that the leader has below the high watermark.
          world.whole.add(id)
          world.driven.altersIsr(...isr, id)
        })
    }
  }

  after(change: (world: World) => unknown): World {
    const world = this.copy()
    change(world)
    const before = this.driven.state
    const { leader, leaderEpoch } = world.driven.state
    const wasEligible = [...before.isr, ...before.elr].includes(leader) && world.lossy !== leader
    // The last one that was eligible leads: what it lost is lost, and from here on it has all that counts.
    if (leader !== -1 && leaderEpoch > before.leaderEpoch && !wasEligible) {
      world.whole.clear()
      world.whole.add(leader)
    }
    return world
  }

  loses(id: number, event: () => unknown): void {
    this.whole.delete(id)
    this.losses += 1
    this.lossy = id
    event()
  }

  check(): void {
    const { state, gone } = this.driven
    const { leader, isr, elr, minIsr } = state
    for (const id of [...isr, ...elr])
      assert.ok(this.whole.has(id), `${String(this.driven)}: ${id} lost something`)
    const electable = isr.length > 0 ? isr : elr
    assert.equal(
      leader !== -1,
      electable.some((id) => !gone.has(id)),
      `${String(this.driven)}: leader`,
    )
    if (this.losses < minIsr)
      assert.ok(isr.length + elr.length > 0, `${String(this.driven)}: nobody may ever lead again`)
  }
}

test('in every order of failures whoever may lead has all that was acknowledged, and somebody may while fewer than min ISR were lossy', () => {
  for (const minIsr of [1, 2, 3]) {
    const seen = new Set<string>()
    let worlds = [new World(minIsr)]
    while (worlds.length > 0) {
      const found: World[] = []
      for (const world of worlds.flatMap((each) => [...each.next()])) {
        if (world.losses > 3 || seen.has(world.key)) continue
        seen.add(world.key)
        world.check()
        found.push(world)
      }
      worlds = found
    }
    assert.ok(seen.size > 200, String(seen.size))
  }
})
