import assert from 'node:assert/strict'
import { test } from 'node:test'

import { isPresent, layoutOf } from '../../protocol/schema-layout.ts'
import type { Layout } from '../../protocol/schema-layout.ts'
import type { Fields, MessageSchema, Type } from '../../protocol/schema.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import { listOffsetsRequest, listOffsetsResponse } from '../../protocol/messages/02-list-offsets.ts'
import { offsetCommitRequest, offsetCommitResponse } from '../../protocol/messages/08-offset-commit.ts'
import { offsetFetchRequest, offsetFetchResponse } from '../../protocol/messages/09-offset-fetch.ts'
import { deleteRecordsRequest, deleteRecordsResponse } from '../../protocol/messages/21-delete-records.ts'
import { apis } from '../../src/api/table.ts'
import { makeBatch } from '../log/log-fixture.ts'
import { SimWorld } from '../simulator/sim-world.ts'
import { SimBroker, withSimBroker } from './sim-broker.ts'

const MAX = 2n ** 63n - 1n
const MIN = -(2n ** 63n)
/** A FILETIME, as those send who mistake it for a timestamp. */
const FILETIME = 133_484_000_000_000_000n
const BEYOND = [MAX, MIN, FILETIME, 2n ** 53n, -(2n ** 53n)]

/** Names of the int64 that this version of a request has, at any depth. */
function int64sOf(fields: Fields, layout: Layout): string[] {
  return Object.entries(fields).flatMap(([name, field]) => {
    if (!isPresent(field, layout)) return []
    if (field.type === 'int64' || field.type === 'exactInt64') return [name]
    const inner = structOf(field.type)
    return inner === null ? [] : int64sOf(inner, layout)
  })
}

function structOf(type: Type): Fields | null {
  if (typeof type === 'string') return null
  return 'struct' in type ? type.struct : structOf(type.array)
}

/** One element in every array, the topic `t` or the group `t` wherever a name is due. */
function bodyOf(fields: Fields, layout: Layout, int64: string, value: bigint): Record<string, unknown> {
  const present = Object.entries(fields).filter(([, field]) => isPresent(field, layout))
  return Object.fromEntries(
    present.map(([name, { type, options }]) => {
      if (name === int64) return [name, value]
      const inner = structOf(type)
      if (inner === null) return [name, scalarFor(type, options.default)]
      const body = bodyOf(inner, layout, int64, value)
      return [name, typeof type === 'object' && 'array' in type ? [body] : body]
    }),
  )
}

function scalarFor(type: Type, byDefault: unknown): unknown {
  if (byDefault !== undefined) return byDefault
  if (type === 'string') return 't'
  if (type === 'bool') return false
  if (type === 'bytes' || type === 'records') return Buffer.alloc(0)
  if (type === 'uuid') return 'AAAAAAAAAAAAAAAAAAAAAA'
  return typeof type === 'object' ? [] : 0
}

test('no int64 of any request closes the connection', async () => {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 1 })
    let sent = 0
    for (const { request, response, minVersion, maxVersion } of apis.values()) {
      for (let version = minVersion; version <= maxVersion; version++) {
        const layout = layoutOf(request, version)
        for (const name of int64sOf(request.fields, layout))
          for (const value of BEYOND) {
            const body = bodyOf(request.fields, layout, name, value)
            const schemas = [request, response] as readonly [MessageSchema, MessageSchema]
            await broker.send(schemas, version, body)
            sent += 1
          }
      }
    }
    assert(sent > 200, `${sent} requests hold an int64`)
  })
})

async function committed(broker: SimBroker, version: number): Promise<(number | bigint)[]> {
  const topics = [{ name: 't', partitionIndexes: BEYOND.map((_, index) => index) }]
  const body = version < 8 ? { groupId: 'g', topics } : { groups: [{ groupId: 'g', topics }] }
  const answer = await broker.send([offsetFetchRequest, offsetFetchResponse], version, body)
  const partitions = answer.topics[0]?.partitions ?? answer.groups[0]!.topics[0]!.partitions
  return partitions.map(({ committedOffset }) => committedOffset)
}

test('OffsetCommit keeps any int64 exactly, over a restart too', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const before = await SimBroker.start(sim, {})
    await before.createTopics({ name: 't', partitions: BEYOND.length })
    await before.running.broker.groups.topicReady()
    for (const version of [0, 2, 5, 9]) {
      const offsets = BEYOND.map((offset) => offset - BigInt(Math.sign(Number(offset)) * version))
      const partitions = offsets.map((committedOffset, partitionIndex) => ({
        partitionIndex,
        committedOffset,
        committedMetadata: '',
      }))
      const retention = version === 2 ? { retentionTimeMs: MAX } : {}
      const { topics } = await before.send([offsetCommitRequest, offsetCommitResponse], version, {
        groupId: 'g',
        topics: [{ name: 't', partitions }],
        ...retention,
      })
      assert.deepEqual(
        topics[0]?.partitions.map(({ errorCode }) => errorCode),
        BEYOND.map(() => 0),
      )
      const expected = offsets.map((offset) =>
        Number.isSafeInteger(Number(offset)) ? Number(offset) : offset,
      )
      for (const fetched of [1, 5, 9]) assert.deepEqual(await committed(before, fetched), expected)
      await before.running.broker.groups.topicReady()
    }
    const kept = await committed(before, 9)
    await before.stop()
    const after = await SimBroker.start(sim, {})
    await after.running.broker.groups.topicReady()
    assert.deepEqual(await committed(after, 9), kept)
    await after.stop()
  })
})

test('offsets and timestamps beyond 2^53 are compared as what they are', async () => {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 1 })
    const partition = broker.running.broker.partitions.get('t', 0)!
    const { lastOffset } = partition.append(makeBatch(3))
    await new Promise<void>((resolve) =>
      partition.awaitAppended(lastOffset + 1, { appendSettled: () => resolve() }, 0),
    )
    for (const value of BEYOND) {
      const listed = await broker.send([listOffsetsRequest, listOffsetsResponse], 7, {
        replicaId: -1,
        topics: [{ name: 't', partitions: [{ partitionIndex: 0, timestamp: value }] }],
      })
      const { errorCode, offset, timestamp } = listed.topics[0]!.partitions[0]!
      const code = value > 0n ? ErrorCode.NONE : ErrorCode.UNSUPPORTED_VERSION
      assert.deepEqual([errorCode, offset, timestamp], [code, -1, -1])

      const fetched = await broker.send([fetchRequest, fetchResponse], 12, {
        maxWaitMs: 0,
        minBytes: 1,
        topics: [
          { topic: 't', partitions: [{ partition: 0, fetchOffset: value, partitionMaxBytes: 1_000 }] },
        ],
      })
      assert.equal(fetched.responses[0]!.partitions[0]!.errorCode, ErrorCode.OFFSET_OUT_OF_RANGE)

      const deleted = await broker.send([deleteRecordsRequest, deleteRecordsResponse], 2, {
        timeoutMs: 1_000,
        topics: [{ name: 't', partitions: [{ partitionIndex: 0, offset: value }] }],
      })
      assert.equal(deleted.topics[0]!.partitions[0]!.errorCode, ErrorCode.OFFSET_OUT_OF_RANGE)
    }
  })
})
