import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { encodeData } from '../../../protocol/compile.ts'
import { ErrorCode } from '../../../protocol/errors.ts'
import { offsetCommitKey, offsetCommitValue } from '../../../protocol/messages/group-records.ts'
import { setBaseOffset } from '../../../protocol/records/record-batch.ts'
import { buildBatch, buildControlBatch } from '../../../protocol/records/record-builder.ts'
import { GroupCoordinator } from '../../../src/broker/groups/group-coordinator.ts'
import type { CommitResponse, JoinResponse, SyncResponse } from '../../../src/core/group/group-types.ts'
import { subscription } from '../../core/group/group-fixture.ts'
import { SimRandom } from '../../simulator/sim-random.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { electedForAll, GROUP_SETTINGS, MemoryCoordinatorLog } from './memory-coordinator-log.ts'
import { simpleCommit } from './simple-commit.ts'

class Host {
  readonly clock = new ManualClock()
  readonly log: MemoryCoordinatorLog
  readonly lines: { message: string; fields: Readonly<Record<string, unknown>> }[] = []
  readonly gauges = new Map<string, () => Iterable<{ value: number }>>()
  readonly groups: GroupCoordinator

  constructor(log = new MemoryCoordinatorLog()) {
    this.log = log
    const line = (fields: Readonly<Record<string, unknown>>, message: string) =>
      void this.lines.push({ fields, message })
    const logger = { debug: line, info: line, warn: line, error: line, child: () => logger }
    const metrics = {
      counter: () => ({ add: () => {} }),
      summary: () => ({ observe: () => {} }),
      scrapedCounter: () => {},
      gauge: (name: string, _help: string, read: () => Iterable<{ value: number }>) =>
        void this.gauges.set(name, read),
    }
    const world = { clock: this.clock, random: new SimRandom(1), logger, metrics }
    this.groups = new GroupCoordinator(world, this.log, GROUP_SETTINGS)
  }

  join(memberId = '', groupId = 'group'): JoinResponse[] {
    const answers: JoinResponse[] = []
    this.groups.join(
      {
        groupId,
        memberId,
        groupInstanceId: null,
        clientId: 'client',
        clientHost: '/127.0.0.1',
        clientPort: 50_000,
        sessionTimeoutMs: 10_000,
        rebalanceTimeoutMs: 60_000,
        protocolType: 'consumer',
        protocols: [{ name: 'range', metadata: subscription('topic') }],
        reason: null,
        requiresKnownMemberId: false,
        supportsSkippingAssignment: false,
      },
      (response) => answers.push(response),
    )
    return answers
  }

  sync(joined: JoinResponse, assignment: string): SyncResponse[] {
    const answers: SyncResponse[] = []
    const { memberId, generationId } = joined
    this.groups.sync(
      {
        groupId: 'group',
        generationId,
        memberId,
        groupInstanceId: null,
        protocolType: null,
        protocolName: null,
        assignments: [{ memberId, assignment: Buffer.from(assignment) }],
      },
      (response) => answers.push(response),
    )
    return answers
  }

  commit(groupId: string, offset: number, topic = 'topic'): CommitResponse[] {
    const answers: CommitResponse[] = []
    this.groups.commit(simpleCommit(groupId, offset, topic), (response) => answers.push(response))
    return answers
  }

  /** Or the error code of the group. */
  offset(groupId: string, topic = 'topic'): number {
    const fetched = this.groups.fetchOffsets({ groupId, topics: [{ name: topic, partitions: [0] }] })
    return typeof fetched === 'number' ? -1_000 - fetched : Number(fetched[0]!.partitions[0]!.committedOffset)
  }

  heartbeat(joined: JoinResponse): number[] {
    const answers: number[] = []
    const { memberId, generationId } = joined
    this.groups.heartbeat({ groupId: 'group', memberId, generationId, groupInstanceId: null }, (errorCode) =>
      answers.push(errorCode),
    )
    return answers
  }
}

async function started(log?: MemoryCoordinatorLog): Promise<Host> {
  const host = new Host(log)
  await electedForAll(host.groups, host.log)
  return host
}

describe('the coordinator and its log', () => {
  test('a member through its life, across a restart', async () => {
    const host = await started()
    const joining = host.join()
    host.clock.advance(3_000)
    const [joined] = joining
    assert.match(
      joined!.memberId,
      /^client-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    )
    assert.equal(host.sync(joined!, 'x')[0]!.assignment.toString(), 'x')
    assert.equal(host.log.batches.size, 1, 'one partition of the offsets topic')

    const again = await started(host.log)
    assert.deepEqual(again.heartbeat(joined!), [ErrorCode.NONE])
    assert.equal(again.groups.describe('group').groupState, 'Stable')
    again.clock.advance(9_000)
    again.heartbeat(joined!)
    again.clock.advance(9_000)
    assert.equal(again.groups.describe('group').groupState, 'Stable')
    again.clock.advance(1_000)
    assert.equal(again.groups.describe('group').groupState, 'Empty')
    assert.equal(again.groups.listErrorCode, 0)
    assert.deepEqual(
      [...again.groups.list()],
      [{ groupId: 'group', protocolType: 'consumer', groupState: 'Empty' }],
    )
  })

  test('answers leave when the log has the records', async () => {
    const host = await started()
    host.log.isSlow = true
    const committed = host.commit('group', 5)
    assert.deepEqual(committed, [])
    assert.equal(host.offset('group'), -1)
    host.log.complete()
    assert.deepEqual(committed, [[0]])
    assert.equal(host.offset('group'), 5)
  })

  test('a log that refuses', async () => {
    const host = await started()
    host.log.appendError = ErrorCode.KAFKA_STORAGE_ERROR
    assert.deepEqual(host.commit('group', 5), [[ErrorCode.NOT_COORDINATOR]])
    assert.equal(host.offset('group'), -1)
  })

  test('an answer may lead to the next request at once', async () => {
    const host = await started()
    const outcomes: unknown[] = []
    const request = {
      groupId: 'group',
      client: { clientHost: '/127.0.0.1', clientId: 'client', clientPort: 50_000 },
      memberId: '',
      groupInstanceId: null,
      generationId: -1,
      retentionTimeMs: -1,
      knowsGroupIdNotFound: true,
      offsets: [{ topic: 'topic', partition: 0, offset: 1, leaderEpoch: -1, metadata: '' }],
    }
    host.groups.commit(request, () => {
      host.groups.commit(request, () => {
        host.groups.deleteGroup('group', (errorCode) => outcomes.push(errorCode))
      })
    })
    assert.deepEqual(outcomes, [0])
    assert.equal([...host.groups.list()].length, 0)
  })

  test('offsets of a deleted topic go, those of partitions that are being loaded too', async () => {
    const host = await started()
    host.commit('group', 5)
    host.commit('other', 6, 'other')
    const again = new Host(host.log)
    const starting = electedForAll(again.groups, again.log)
    again.groups.topicDeleted('topic')
    await starting
    for (const loaded of [again, await started(host.log)]) {
      assert.equal(loaded.offset('group'), -1)
      assert.equal(loaded.offset('other', 'other'), 6)
    }
    again.commit('group', 7)
    again.groups.topicDeleted('topic')
    assert.equal(again.offset('group'), -1)
  })

  test('expired offsets go at the next check', async () => {
    const host = await started()
    host.commit('group', 5)
    host.clock.advance(7 * 24 * 3_600_000 - 1)
    assert.equal(host.offset('group'), 5)
    host.clock.advance(600_000)
    assert.equal(host.offset('group'), -1)
    assert.equal([...(await started(host.log)).groups.list()].length, 0)
  })

  test('transactions of a log that Kafka wrote: committed offsets count, others do not', async () => {
    const log = new MemoryCoordinatorLog()
    const record = (offset: number) => ({
      key: encodeData(offsetCommitKey, 1, { group: 'hello', topic: 'topic', partition: 0 }),
      value: encodeData(offsetCommitValue, 3, { offset, metadata: '', commitTimestamp: 1_800_000_000_000 }),
      timestampMs: 0,
    })
    const partition = 99_162_322 % 50
    const batch = (producerId: number, offset: number) =>
      log.put(partition, buildBatch([record(offset)], { producerId, producerEpoch: 0, transactional: true }))
    const end = (type: 'ABORT' | 'COMMIT', producerId: number) =>
      log.put(partition, buildControlBatch(type, 0, { producerId, producerEpoch: 0 }, 0))
    batch(1, 10)
    assert.equal((await started(log)).offset('hello'), -1, 'open')
    batch(2, 20)
    end('COMMIT', 1)
    assert.equal((await started(log)).offset('hello'), 10)
    end('ABORT', 2)
    batch(2, 30)
    const host = await started(log)
    assert.equal(host.offset('hello'), 10)
    assert.ok(host.lines.some(({ message }) => message.includes('transactions that never ended')))
  })
})

describe('loading', () => {
  test('requests are refused until the partition is there', async () => {
    const log = new MemoryCoordinatorLog()
    let open = (): void => {}
    log.loadGate = new Promise((resolve) => {
      open = resolve
    })
    const host = new Host(log)
    const starting = electedForAll(host.groups, host.log)
    const loading = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    assert.equal(host.join()[0]!.errorCode, loading)
    assert.deepEqual(host.commit('group', 1), [[loading]])
    assert.equal(host.offset('group'), -1_000 - loading)
    assert.equal(host.groups.describe('group').errorCode, loading)
    assert.equal(host.groups.listErrorCode, loading)
    open()
    await starting
    assert.deepEqual(host.commit('group', 1), [[0]])
    assert.equal(host.groups.listErrorCode, 0)
  })

  test('a partition that cannot be read is tried again, but not at once', async () => {
    const log = new MemoryCoordinatorLog()
    log.loadError = new Error('EIO')
    const host = await started(log)
    log.loadError = null
    const loading = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    assert.deepEqual(host.commit('group', 1), [[loading]])
    await setImmediate()
    assert.deepEqual(host.commit('group', 1), [[loading]], 'too soon')
    host.clock.advance(1_000)
    assert.deepEqual(host.commit('group', 1), [[loading]], 'begins to load')
    await setImmediate()
    assert.deepEqual(host.commit('group', 1), [[0]])
  })

  test('a partition with something unreadable in it is not served', async () => {
    const log = new MemoryCoordinatorLog()
    for (let partition = 0; partition < 50; partition++) {
      const key = Buffer.from([0, 1, 0x7f])
      log.put(partition, buildBatch([{ key, value: null, timestampMs: 0 }]))
    }
    const host = await started(log)
    assert.deepEqual(host.commit('group', 1), [[ErrorCode.COORDINATOR_LOAD_IN_PROGRESS]])
    assert.ok(host.lines.some(({ message }) => message.includes('cannot be read')))
  })

  test('an offset that is damaged in the log is never served, and that is told', async () => {
    const before = await started()
    const log = before.log
    const offsets = [150, 151, 152]
    for (const offset of offsets) before.commit('group', offset)
    before.commit('other', 9)
    const partition = before.groups.partitionOf('group')
    const written = log.batches.get(partition)!
    const last = written.at(-1)!
    const at = last.lastIndexOf(Buffer.from([0, 0, 0, 0, 0, 0, 0, 152]))
    last[at + 7] = 252
    setBaseOffset(last, 0, 2)
    const host = await started(log)
    assert.equal(host.offset('group'), 151)
    assert.equal(host.offset('other'), 9)
    assert.deepEqual(
      host.lines.filter(({ message }) => message.includes('damaged')).map(({ fields }) => fields),
      [
        { topic: '__consumer_offsets', partition, offset: 2, problem: 'checksum mismatch' },
        { topic: '__consumer_offsets', partition, batches: 1 },
      ],
    )
  })

  test('the topic is created when somebody asks for the coordinator', async () => {
    const host = new Host()
    assert.equal(await host.groups.topicReady(), ErrorCode.NONE)
    assert.equal(host.log.ensured, 1)
    host.log.topicError = new Error('no')
    assert.equal(await host.groups.topicReady(), ErrorCode.COORDINATOR_NOT_AVAILABLE)
  })
})

describe('elections', () => {
  const away = ErrorCode.NOT_COORDINATOR

  test('who does not lead the partition coordinates nothing, and reads nothing', async () => {
    const host = new Host()
    await host.groups.start()
    assert.equal(host.join()[0]!.errorCode, away)
    assert.deepEqual(host.commit('group', 1), [[away]])
    assert.equal(host.offset('group'), -1_000 - away)
    assert.equal(host.groups.describe('group').errorCode, away)
    assert.deepEqual([...host.groups.list()], [])
    assert.equal(host.groups.listErrorCode, 0)
  })

  test('whoever resigns sends all away: who joins, who waits for an assignment, and who waits for the log', async () => {
    const host = await started()
    const partition = host.groups.partitionOf('group')
    const [first, second] = [host.join(), host.join()]
    host.clock.advance(6_000)
    const leader = [first[0]!, second[0]!].find(({ leader, memberId }) => leader === memberId)!
    const follower = [first[0]!, second[0]!].find((joined) => joined !== leader)!
    host.log.isSlow = true
    const waiting = [host.sync(follower, 'x'), host.sync(leader, 'x')]
    const joining = host.join('', 'other')
    const committed = host.commit('simple', 1)
    const timers = host.clock.timerCount
    host.groups.resigned(partition)
    assert.deepEqual(
      waiting.map(([answer]) => answer?.errorCode),
      [away, away],
    )
    for (const group of ['other', 'simple']) host.groups.resigned(host.groups.partitionOf(group))
    assert.equal(joining[0]!.errorCode, away)
    assert.deepEqual(committed, [[away]])
    host.log.complete()
    assert.deepEqual(committed, [[away]], 'answered once')
    assert.equal(host.gauges.get('samsa_groups_state_bytes')!()[Symbol.iterator]().next().value!.value, 0)
    host.clock.advance(400_000)
    assert.ok(host.clock.timerCount < timers)

    // What the log took all the same is there when it is read again.
    await host.groups.elected(host.groups.partitionOf('simple'), 1)
    assert.equal(host.offset('simple'), 1)
  })

  test('of a load that was overtaken nothing comes', async () => {
    const log = new MemoryCoordinatorLog()
    const host = new Host(log)
    await host.groups.start()
    const partition = host.groups.partitionOf('group')
    const opened: (() => void)[] = []
    const elected = (epoch: number): Promise<void> => {
      log.loadGate = new Promise((resolve) => opened.push(resolve))
      return host.groups.elected(partition, epoch)
    }
    const first = elected(1)
    host.groups.resigned(partition)
    assert.equal(host.join()[0]!.errorCode, away)
    const second = elected(3)
    const third = host.groups.elected(partition, 2)
    opened[0]!()
    await first
    assert.equal(host.groups.describe('group').errorCode, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
    opened[1]!()
    await Promise.all([second, third])
    assert.equal(host.groups.describe('group').errorCode, 0)

    const joining = host.join()
    assert.equal(joining.length, 0)
    const again = elected(4)
    assert.equal(joining[0]!.errorCode, away, 'somebody else may have led in between')
    opened[2]!()
    await again
    assert.equal(host.groups.describe('group').errorCode, 0)
  })

  test('where a group lives follows the topic that is there', async () => {
    const log = new MemoryCoordinatorLog()
    log.partitionCount = 0
    const host = await started(log)
    assert.equal(host.groups.partitionOf('group'), -1)
    assert.deepEqual(host.commit('group', 1), [[away]])
    log.partitionCount = 1
    await host.groups.elected(0, 0)
    assert.deepEqual(host.commit('group', 1), [[0]])
    assert.deepEqual([...log.batches.keys()], [0])
  })
})

describe('the end', () => {
  test('everybody who waits is sent away, and no timer is left', async () => {
    const host = await started()
    const joining = host.join()
    host.groups.close()
    assert.equal(joining[0]!.errorCode, ErrorCode.NOT_COORDINATOR)
    assert.equal(host.join()[0]!.errorCode, ErrorCode.NOT_COORDINATOR)
    assert.equal(await host.groups.topicReady(), ErrorCode.COORDINATOR_NOT_AVAILABLE)
    assert.equal(host.clock.timerCount, 0)
    host.groups.close()
  })

  test('what was on its way to the log is answered by the log', async () => {
    const host = await started()
    host.log.isSlow = true
    const committed = host.commit('group', 1)
    host.groups.close()
    host.log.complete()
    assert.deepEqual(committed, [[0]])
    assert.equal(host.clock.timerCount, 0)
  })

  test('groups start over when the offsets topic is deleted', async () => {
    const host = await started()
    host.commit('group', 5)
    host.log.batches.clear()
    host.groups.offsetsTopicDeleted()
    assert.deepEqual(host.commit('group', 6), [[ErrorCode.NOT_COORDINATOR]])
    await host.groups.elected(host.groups.partitionOf('group'), 0)
    assert.equal(host.offset('group'), -1)
  })
})

test('one timer runs, however many members there are', async () => {
  const host = await started()
  const before = host.clock.timerCount
  for (let i = 0; i < 1_000; i++) host.join('', `group ${i}`)
  assert.equal(host.clock.timerCount, before + 1)
  const value = (name: string) => [...host.gauges.get(name)!()][0]!.value
  assert.equal(value('kafka_coordinator_group_groupmetadatamanager_numgroups'), 1_000)
  assert.ok(value('samsa_groups_state_bytes') > 1_000_000)
  assert.equal(value('kafka_coordinator_group_groupmetadatamanager_numgroupspreparingrebalance'), 1_000)
  host.commit('simple', 1)
  assert.equal(value('kafka_coordinator_group_groupmetadatamanager_numgroupsempty'), 1)
  assert.equal(value('kafka_coordinator_group_groupmetadatamanager_numoffsets'), 1)
})
