/** Requests that are valid, and too many. The broker's memory must stay bounded and others must be answered. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode, errorName } from '../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import { metadataRequest } from '../../protocol/messages/03-metadata.ts'
import { joinGroupRequest, joinGroupResponse } from '../../protocol/messages/11-join-group.ts'
import { apiVersionsRequest } from '../../protocol/messages/18-api-versions.ts'
import { initProducerIdRequest, initProducerIdResponse } from '../../protocol/messages/22-init-producer-id.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import { RawClient } from '../support/raw-client.ts'
import { Attacker, requestFrame } from './attacker.ts'
import { metadata, startTarget, withCoordinator, within } from './target.ts'

const MIB = 1024 * 1024

const produce = { request: produceRequest, response: produceResponse, version: 9 } as const
const fetch = { request: fetchRequest, response: fetchResponse, version: 12 } as const
const joinGroup = { request: joinGroupRequest, response: joinGroupResponse, version: 9 } as const
const oldJoinGroup = { ...joinGroup, version: 3 } as const
const initProducerId = {
  request: initProducerIdRequest,
  response: initProducerIdResponse,
  version: 4,
} as const

const client = { clientSoftwareName: 'a', clientSoftwareVersion: '1' }

/** Runs `total` requests over some connections, each with a few under way. */
async function flood(
  port: number,
  total: number,
  one: (client: RawClient, index: number) => Promise<void>,
): Promise<void> {
  const CONNECTIONS = 8
  const IN_FLIGHT = 25
  let next = 0
  const worker = async (connection: RawClient): Promise<void> => {
    while (next < total) await one(connection, next++)
  }
  const connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => RawClient.connect(port)))
  await Promise.all(
    connections.flatMap((connection) => Array.from({ length: IN_FLIGHT }, () => worker(connection))),
  )
  for (const connection of connections) connection.close()
}

function recordOf(bytes: number): Parameters<typeof buildBatch>[0][number] {
  return { key: null, value: Buffer.alloc(bytes, 1), timestampMs: 1_700_000_000_000 }
}

async function createTopic(port: number, name: string): Promise<void> {
  const connection = await RawClient.connect(port)
  const { topics } = await within(
    connection.send(metadata, { topics: [{ name }], allowAutoTopicCreation: true }),
  )
  assert.ok(topics.length === 1)
  connection.close()
}

async function append(connection: RawClient, name: string, records: Buffer): Promise<number> {
  const body = { acks: 1, timeoutMs: 5_000, topicData: [{ name, partitionData: [{ index: 0, records }] }] }
  const { responses } = await within(connection.send(produce, body))
  return responses[0]!.partitionResponses[0]!.errorCode
}

test('ten thousand requests before the first answer is read', async () => {
  await using target = await startTarget()
  await target.survives(async () => {
    const COUNT = 10_000
    const attacker = await Attacker.connect(target.port)
    attacker.stopReading()
    const frames = Array.from({ length: COUNT }, (_, i) =>
      i % 2 === 0
        ? requestFrame(apiVersionsRequest, 3, client, i)
        : requestFrame(metadataRequest, 4, { topics: null, allowAutoTopicCreation: false }, i),
    )
    attacker.write(Buffer.concat(frames))
    attacker.startReading()
    const expected = Array.from({ length: COUNT }, (_, i) => i)
    while (attacker.receivedBytes === 0 || attacker.frames().length < COUNT) {
      assert.ok(!attacker.isClosed, 'the connection was closed')
      await within(new Promise((resolve) => setTimeout(resolve, 50)))
    }
    assert.deepEqual(
      attacker.frames().map((answer) => answer.readInt32BE(0)),
      expected,
    )
    attacker.destroy()
  })
})

test('connections from one address, more than it may have', async () => {
  await using target = await startTarget({ 'max.connections.per.ip': '500' })
  await target.survives(async () => {
    const attackers: Attacker[] = []
    for (let i = 0; i < 1_500; i++) attackers.push(await Attacker.connect(target.port, '127.0.0.2'))
    await within(Promise.all(attackers.slice(500).map(({ closed }) => closed)))
    assert.ok(attackers.slice(0, 500).every(({ isClosed }) => !isClosed))
    for (const attacker of attackers.slice(0, 500)) attacker.destroy()
    await within(Promise.all(attackers.map(({ closed }) => closed)))
    // Whoever leaves makes room.
    const again = await within(admittedFrom('127.0.0.2', target.port))
    again.destroy()
  })
})

/** A connection that the broker answers. It may not have seen the last one leave yet, and is asked until it has. */
async function admittedFrom(address: string, port: number): Promise<Attacker> {
  for (;;) {
    const attacker = await Attacker.connect(port, address)
    attacker.write(requestFrame(apiVersionsRequest, 3, client, 5))
    try {
      await attacker.answers(1)
      return attacker
    } catch {
      attacker.destroy()
    }
  }
}

test('ten thousand connections that say nothing', async () => {
  const COUNT = 10_000
  await using target = await startTarget({
    'max.connections.per.ip': String(COUNT + 100),
    // Longer than the test may stand still on a loaded machine: the bystander must not count as idle.
    'connections.max.idle.ms': '12000',
  })
  await target.survives(async () => {
    const attackers: Attacker[] = []
    for (let i = 0; i < COUNT; i += 250) {
      attackers.push(...(await Promise.all(Array.from({ length: 250 }, () => Attacker.connect(target.port)))))
    }
    await within(Promise.all(attackers.map(({ closed }) => closed)), 60_000)
    assert.equal(attackers.length, COUNT)
  })
})

test('a new producer with every request', async () => {
  await using target = await startTarget()
  await createTopic(target.port, 'produced')
  await target.survives(async () => {
    await flood(target.port, 20_000, async (connection, i) => {
      if (i % 2 === 0) {
        const body = { transactionalId: null, transactionTimeoutMs: 60_000 }
        const { errorCode } = await within(connection.send(initProducerId, body))
        assert.equal(errorCode, ErrorCode.NONE)
      } else {
        const batch = buildBatch([recordOf(10)], { producerId: i, producerEpoch: 0, baseSequence: 0 })
        assert.equal(await append(connection, 'produced', batch), ErrorCode.NONE)
      }
    })
  })
})

test('a new group with every request', async () => {
  await using target = await startTarget()
  await withCoordinator(target.port)
  const body = (groupId: string) => ({
    groupId,
    sessionTimeoutMs: 6_000,
    rebalanceTimeoutMs: 6_000,
    memberId: '',
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: Buffer.alloc(100) }],
  })
  await target.survives(async () => {
    // A client has its share of the groups and no more.
    const counts = new Map<string, number>()
    const count = (errorCode: number): void => {
      const name = errorName(errorCode)
      counts.set(name, (counts.get(name) ?? 0) + 1)
    }
    await flood(target.port, 20_000, async (connection, i) =>
      count((await within(connection.send(joinGroup, body(`pending-${i}`)))).errorCode),
    )
    await flood(target.port, 3_000, async (connection, i) =>
      count((await within(connection.send(oldJoinGroup, body(`joined-${i}`)))).errorCode),
    )
    const { MEMBER_ID_REQUIRED = 0, NONE = 0, GROUP_MAX_SIZE_REACHED = 0 } = Object.fromEntries(counts)
    assert.equal(MEMBER_ID_REQUIRED + NONE + GROUP_MAX_SIZE_REACHED, 23_000, JSON.stringify([...counts]))
    assert.ok(MEMBER_ID_REQUIRED > 1_000 && NONE > 100, JSON.stringify([...counts]))
  })
})

test('a group that everybody joins', async () => {
  await using target = await startTarget({ 'group.max.size': '50' })
  await withCoordinator(target.port)
  await target.survives(async () => {
    let required = 0
    await flood(target.port, 5_000, async (connection) => {
      const { errorCode } = await within(
        connection.send(joinGroup, {
          groupId: 'popular',
          sessionTimeoutMs: 6_000,
          rebalanceTimeoutMs: 6_000,
          memberId: '',
          protocolType: 'consumer',
          protocols: [{ name: 'range', metadata: Buffer.alloc(1_000) }],
        }),
      )
      if (errorCode === ErrorCode.MEMBER_ID_REQUIRED) required += 1
      else assert.equal(errorName(errorCode), 'GROUP_MAX_SIZE_REACHED')
    })
    assert.ok(required > 0)
  })
})

test('a new fetch session with every request', async () => {
  await using target = await startTarget()
  await createTopic(target.port, 'watched')
  await target.survives(async () => {
    const partitions = Array.from({ length: 50 }, (_, partition) => ({
      partition,
      fetchOffset: 0,
      partitionMaxBytes: 1,
    }))
    await flood(target.port, 10_000, async (connection) => {
      const { errorCode } = await within(
        connection.send(fetch, {
          maxWaitMs: 0,
          minBytes: 0,
          sessionId: 0,
          sessionEpoch: 0,
          topics: [{ topic: 'watched', partitions }],
        }),
      )
      assert.equal(errorCode, ErrorCode.NONE)
    })
  })
})

/** A fetch of an idle topic that may wait for weeks, with `partitions` entries to remember meanwhile. */
function patientFetch(topic: string, partitions: number): Buffer {
  const partition = { partition: 0, fetchOffset: 0, partitionMaxBytes: MIB }
  return requestFrame(fetchRequest, 12, {
    maxWaitMs: 0x7fff_ffff,
    minBytes: 1,
    topics: [{ topic, partitions: Array.from({ length: partitions }, () => partition) }],
  })
}

test('clients that leave while their request waits take it with them', async () => {
  await using target = await startTarget()
  await createTopic(target.port, 'idle')
  const frame = patientFetch('idle', 20_000)
  await target.survives(async () => {
    for (let i = 0; i < 200; i++) {
      const attacker = await Attacker.connect(target.port)
      await attacker.flush(frame)
      // Time to arrive and to begin to wait; a frame that did not get there is one attack less.
      await within(new Promise((resolve) => setTimeout(resolve, 10)))
      attacker.destroy()
    }
  })
})

test('a connection that ended is noticed, even with requests behind one that waits', async () => {
  const COUNT = 100
  await using target = await startTarget({ 'max.connections.per.ip': String(COUNT) })
  await createTopic(target.port, 'idle')
  const frame = patientFetch('idle', 1)
  await target.survives(async () => {
    const attackers: Attacker[] = []
    for (let i = 0; i < COUNT; i++) {
      const attacker = await Attacker.connect(target.port, '127.0.0.2')
      await attacker.flush(Buffer.concat([frame, frame]))
      attackers.push(attacker)
    }
    for (const attacker of attackers) attacker.destroy()
    const again = within(
      Promise.all(Array.from({ length: COUNT }, () => admittedFrom('127.0.0.2', target.port))),
    )
    for (const attacker of await again) attacker.destroy()
  })
})
