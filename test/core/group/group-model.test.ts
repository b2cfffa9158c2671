import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import type { JoinRequest, JoinResponse, SyncResponse } from '../../../src/core/group/group-types.ts'
import { SimRandom, seedsFromEnvironment } from '../../simulator/sim-random.ts'
import { DEFAULT_CONFIG, GROUP, GroupFixture, range } from './group-fixture.ts'
import type { Ticket } from './group-fixture.ts'

/**
 * Random clients against one group: they join, sync, heartbeat, leave, commit, send again, stop; the log is slow or
 * fails; time passes; the process dies and reads its log. After every step what must hold is checked.
 */

const RUNS = 300
const STEPS = 250

class Client {
  readonly groupInstanceId: string | null
  memberId = ''
  joining: Ticket<JoinResponse> | null = null
  joined: JoinResponse | null = null
  /** In the current generation. */
  syncing: Ticket<SyncResponse> | null = null

  constructor(groupInstanceId: string | null) {
    this.groupInstanceId = groupInstanceId
  }
}

class Model {
  readonly random: SimRandom
  readonly fixture: GroupFixture
  readonly clients: Client[]
  /** Offsets by partition: what was acknowledged last. */
  readonly offsets = new Map<number, number>()
  lastGeneration = 0
  /** Who led which generation of this incarnation. */
  readonly leaders = new Map<number, string>()
  /** Something could not be written since: memory is ahead of the log. */
  isAhead = false
  nextOffset = 1
  completed = 0
  /** How often the interesting things happened: a model that never gets there proves nothing. */
  readonly seen = { stable: 0, skipped: 0, fenced: 0, comparedAfterCrash: 0 }

  constructor(seed: number) {
    this.random = new SimRandom(seed)
    this.fixture = new GroupFixture({
      groupInitialRebalanceDelayMs: this.random.pick([0, 3_000]),
      groupMaxSize: this.random.pick([3, 100]),
      maxPendingMembers: 4,
    })
    const instances = [null, null, null, 'a', 'a', 'b']
    this.clients = instances.map((instance) => new Client(instance))
  }

  run(): void {
    for (let i = 0; i < STEPS; i++) {
      this.step()
      this.collect()
      this.check()
    }
    this.finish()
  }

  /** Most of the time clients do what they should; often enough they do not. */
  step(): void {
    const client = this.random.pick(this.clients)
    const dice = this.random.below(100)
    if (dice < 60) this.behave(client)
    else if (dice < 78) this.fixture.advance(this.random.pick([0, 100, 1_000, 3_000]))
    else if (dice < 80) this.fixture.advance(this.random.pick([7_000, 30_000]))
    else if (dice < 84) this.join(client)
    else if (dice < 88) this.sync(client)
    else if (dice < 90) this.commit(client)
    else if (dice < 92) this.leave(client)
    else if (dice < 95) this.slowLog()
    else if (dice < 97) this.delete()
    else if (dice < 98) this.crash()
    else this.restartClient(client)
  }

  behave(client: Client): void {
    if (client.joining !== null || client.syncing?.isWaiting === true) return
    const { joined, groupInstanceId } = client
    if (joined === null) return this.join(client)
    switch (this.fixture.heartbeat(joined, groupInstanceId)) {
      case ErrorCode.NONE:
        if (client.syncing === null) this.sync(client)
        else this.commit(client)
        return
      case ErrorCode.REBALANCE_IN_PROGRESS:
      case ErrorCode.ILLEGAL_GENERATION:
        return this.join(client)
      default:
        this.restartClient(client)
    }
  }

  /** The process of the client begins anew and knows nothing. */
  restartClient(client: Client): void {
    client.memberId = ''
    client.joined = null
  }

  join(client: Client): void {
    const options: Partial<JoinRequest> = {
      memberId: client.memberId,
      groupInstanceId: client.groupInstanceId,
      rebalanceTimeoutMs: this.random.pick([5_000, 20_000]),
      protocols: [range(...this.random.pick([['x'], ['x', 'y']]))],
      requiresKnownMemberId: this.random.chance(0.5),
      supportsSkippingAssignment: this.random.chance(0.5),
    }
    client.joining = this.fixture.join(options)
  }

  sync(client: Client): void {
    if (client.joined === null) return
    const assignments = Object.fromEntries(
      client.joined.members.map(({ memberId }) => [memberId, `${memberId}@${client.joined!.generationId}`]),
    )
    client.syncing = this.fixture.sync(client.joined, assignments, {
      groupInstanceId: client.groupInstanceId,
    })
  }

  leave(client: Client): void {
    if (client.groupInstanceId !== null && this.random.chance(0.5)) {
      this.fixture.leave({ groupInstanceId: client.groupInstanceId })
    } else this.fixture.leave(client.memberId)
  }

  commit(client: Client): void {
    const partition = this.random.below(3)
    const offset = this.nextOffset++
    const { memberId, generationId } = client.joined ?? { memberId: '', generationId: -1 }
    const ticket = this.fixture.commit({ memberId, generationId, offsets: [{ partition, offset }] })
    this.whenAnswered(ticket, ([errorCode]) => {
      if (errorCode === ErrorCode.NONE) this.offsets.set(partition, offset)
    })
  }

  slowLog(): void {
    const { fixture } = this
    if (!fixture.holdAppends) {
      fixture.holdAppends = true
      return
    }
    fixture.holdAppends = false
    const fails = this.random.chance(0.15)
    if (fails && fixture.held.length > 0) this.isAhead = true
    fixture.completeAppends(fails ? ErrorCode.NOT_ENOUGH_REPLICAS : ErrorCode.NONE)
  }

  delete(): void {
    if (this.random.chance(0.8)) {
      const partition = this.random.below(3)
      this.whenAnswered(this.fixture.deleteOffsets('topic', [partition]), (response) => {
        if (response.errorCode === 0 && response.topicErrorCodes[0] === 0) this.offsets.delete(partition)
      })
      return
    }
    this.whenAnswered(this.fixture.deleteGroup(), (errorCode) => {
      if (errorCode !== ErrorCode.NONE) return
      this.offsets.clear()
      this.newIncarnation()
    })
  }

  crash(): void {
    const before = this.fixture.holdAppends ? null : this.fixture.shard.describe(GROUP)
    this.fixture.holdAppends = false
    this.fixture.restart()
    this.pending.length = 0
    for (const client of this.clients) client.joining = client.syncing = null
    this.newIncarnation()
    const after = this.fixture.shard.describe(GROUP)
    if (
      before !== null &&
      !this.isAhead &&
      (before.groupState === 'Stable' || before.groupState === 'Empty')
    ) {
      // Static members that did not rejoin can make a group too large; it is told so when it is loaded.
      const fits = before.members.length <= this.fixture.config.groupMaxSize
      // A group that was only about to get members, or only has offsets, is nothing the log must know by name.
      if (fits && (before.groupState === 'Stable' || before.protocolType !== '')) {
        assert.deepEqual(sorted(after), sorted(before))
        this.seen.comparedAfterCrash += before.members.length
      }
    }
    this.isAhead = false
  }

  newIncarnation(): void {
    this.lastGeneration = 0
    this.leaders.clear()
  }

  readonly pending: (() => boolean)[] = []

  whenAnswered<R>(ticket: Ticket<R>, then: (response: R) => void): void {
    this.pending.push(() => {
      if (ticket.isWaiting) return false
      then(ticket.response)
      return true
    })
  }

  /** Looks at the answers that have come, in the order of the requests. */
  collect(): void {
    const rest = this.pending.filter((answered) => !answered())
    this.pending.splice(0, this.pending.length, ...rest)
    for (const client of this.clients) {
      if (client.joining === null || client.joining.isWaiting) continue
      this.joinAnswered(client, client.joining.response)
      client.joining = null
    }
  }

  joinAnswered(client: Client, response: JoinResponse): void {
    if (response.errorCode === ErrorCode.MEMBER_ID_REQUIRED) client.memberId = response.memberId
    if (response.errorCode === ErrorCode.FENCED_INSTANCE_ID) this.seen.fenced++
    if (response.skipAssignment) this.seen.skipped++
    if (response.errorCode === ErrorCode.UNKNOWN_MEMBER_ID) client.memberId = ''
    if (response.errorCode !== ErrorCode.NONE) return
    this.completed++
    client.memberId = response.memberId
    client.joined = response
    client.syncing = null
    assert.notEqual(response.memberId, '')
    assert.equal(response.protocolType, 'consumer')
    assert.equal(response.protocolName, 'range')
    if (response.members.length === 0) return
    // Only the leader gets members, and it is one of them.
    assert.equal(response.leader, response.memberId)
    const ids = response.members.map(({ memberId }) => memberId)
    assert.ok(ids.includes(response.leader))
    assert.equal(new Set(ids).size, ids.length)
    const leader = this.leaders.get(response.generationId)
    // A static leader that comes back within its generation leads under its new id.
    const returned = response.skipAssignment && client.groupInstanceId !== null
    if (!returned) assert.equal(leader ?? response.leader, response.leader, 'one leader in a generation')
    this.leaders.set(response.generationId, response.leader)
  }

  check(): void {
    const { fixture } = this
    const group = fixture.shard.describe(GROUP)
    if (group.groupState === 'Stable') this.seen.stable++
    const instances = group.members.flatMap(({ groupInstanceId }) => groupInstanceId ?? [])
    assert.equal(new Set(instances).size, instances.length, 'one member per instance')
    assert.ok(group.members.length <= 100)
    if (group.groupState === 'Empty' || group.groupState === 'Dead') assert.equal(group.members.length, 0)
    if (group.groupState === 'Stable' || group.groupState === 'CompletingRebalance') {
      assert.ok(group.members.length > 0)
    }
    for (const client of this.clients) {
      if (client.joined === null || this.random.chance(0.7)) continue
      const { memberId, generationId } = client.joined
      const isCurrent = fixture.heartbeat({ memberId, generationId }) === ErrorCode.NONE
      if (!isCurrent) continue
      assert.ok(generationId >= this.lastGeneration, 'generations grow')
      this.lastGeneration = generationId
    }
    if (!fixture.holdAppends) {
      for (const partition of [0, 1, 2]) {
        assert.equal(fixture.offset('topic', partition), this.offsets.get(partition) ?? -1)
      }
    }
    // Sessions, handed out ids, and two timers of the group: nothing else may be left behind.
    assert.ok(fixture.deadlines.size <= group.members.length + DEFAULT_CONFIG.maxPendingMembers + 2)
  }

  /** Everybody stops. In the end nobody waits and nothing is kept but the offsets. */
  finish(): void {
    const { fixture } = this
    fixture.holdAppends = false
    fixture.completeAppends()
    for (let i = 0; i < 100; i++) fixture.advance(10_000)
    this.collect()
    const group = fixture.shard.describe(GROUP)
    assert.ok(group.groupState === 'Empty' || group.groupState === 'Dead', group.groupState)
    assert.ok(
      fixture.tickets.every((ticket) => !ticket.isWaiting),
      'every request was answered',
    )
    assert.equal(fixture.deadlines.size, 0)
    fixture.advance(DEFAULT_CONFIG.offsetsRetentionMs)
    fixture.expireOffsets()
    assert.equal(fixture.shard.groupCount, 0)
    assert.deepEqual([fixture.budget.groups, fixture.budget.bytes], [0, 0])
    fixture.restart()
    if (!this.isAhead) assert.equal(fixture.shard.groupCount, 0)
  }
}

function sorted(group: ReturnType<GroupFixture['shard']['describe']>) {
  return { ...group, members: group.members.toSorted((a, b) => (a.memberId < b.memberId ? -1 : 1)) }
}

test('random clients on a slow and failing log', () => {
  const seen = new Map<string, number>()
  for (const seed of seedsFromEnvironment(Math.floor(Math.random() * 2 ** 31), RUNS)) {
    const model = new Model(seed)
    try {
      model.run()
    } catch (error) {
      if (error instanceof Error) error.message = `${error.message}\n(replay with SAMSA_SEED=${seed})`
      throw error
    }
    for (const [what, count] of Object.entries({ ...model.seen, completed: model.completed })) {
      seen.set(what, (seen.get(what) ?? 0) + count)
    }
  }
  if (process.env['SAMSA_SEED'] !== undefined) return
  for (const [what, count] of seen) assert.ok(count > 10, `${what}: ${count}`)
})
