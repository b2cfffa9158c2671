/**
 * Many frames at a live broker, most of them damaged. Each must get an answer that its schema can read, or end its
 * connection; the broker must live, log no error and keep to its memory, and others must be answered meanwhile.
 *
 * SAMSA_SEED replays a run, SAMSA_FUZZ_FRAMES sets its length; CI runs 200,000.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { decoderFor } from '../../protocol/compile.ts'
import { SIZE_BYTES, readRequestHeader, readResponseHeader } from '../../protocol/frame.ts'
import { ApiKey, apiName } from '../../protocol/keys.ts'
import { ProtocolError, Reader } from '../../protocol/reader.ts'
import type { MessageSchema } from '../../protocol/schema.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import { allSchemas, isMessage } from '../protocol/all-schemas.ts'
import { requireAll } from '../support/cache.ts'
import { RawClient } from '../support/raw-client.ts'
import { Seeded } from '../support/seed.ts'
import { mutated, validFrames } from './fuzz-frames.ts'
import { FuzzConnection, isParked } from './fuzz-connection.ts'
import { apiVersions, startTarget } from './target.ts'
import type { Target } from './target.ts'

const FRAMES = Number(process.env['SAMSA_FUZZ_FRAMES'] ?? (requireAll ? 200_000 : 30_000))
const CONNECTIONS = 64
const BATCH = 24

const random = new Seeded()
console.log(`# SAMSA_SEED=${random.seed}`)

const messages = (await allSchemas()).filter(isMessage)
const requests = messages.filter(({ kind }) => kind === 'request')
const responses = new Map(
  messages.filter(({ kind }) => kind === 'response').map((schema) => [schema.key, schema]),
)

const record = { key: Buffer.from('k'), value: Buffer.from('v'), timestampMs: 1_700_000_000_000 }
const batches = [
  buildBatch([record]),
  buildBatch([record, record], { codec: 1 }),
  buildBatch([record], { producerId: 0, producerEpoch: 0, baseSequence: 0 }),
]

const WAITING_APIS: ReadonlySet<number> = new Set([ApiKey.JoinGroup, ApiKey.SyncGroup])

let target: Target
/** Requests as far as the broker serves them. */
let served: MessageSchema[]

before(async () => {
  target = await startTarget({
    'samsa.max.partitions': '64',
    'offsets.topic.num.partitions': '2',
    'group.min.session.timeout.ms': '1',
  })
  const client = await RawClient.connect(target.port)
  const { apiKeys } = await client.send(apiVersions, { clientSoftwareName: 'a', clientSoftwareVersion: '1' })
  client.close()
  served = apiKeys.flatMap(({ apiKey, minVersion, maxVersion }) => {
    const schema = requests.find(({ key }) => key === apiKey)
    return schema === undefined ? [] : [{ ...schema, versions: [minVersion, maxVersion] }]
  })
  assert.equal(served.length, apiKeys.length)
})

after(async () => {
  await target[Symbol.asyncDispose]()
})

/** The answer must be one that the schema of the request's version reads to its end. */
function checkAnswer(request: Buffer, answer: Buffer): void {
  const apiKey = request.readInt16BE(4)
  const apiVersion = request.readInt16BE(6)
  const schema = served.find(({ key }) => key === apiKey)
  assert.ok(schema !== undefined, `API ${apiKey} was answered`)
  const [first, last] = schema.versions
  const version = apiKey === ApiKey.ApiVersions && (apiVersion < first || apiVersion > last) ? 0 : apiVersion
  const reader = new Reader(answer)
  try {
    readResponseHeader(reader, apiKey, version)
    decoderFor(responses.get(apiKey)!, version)(reader)
    reader.expectEnd()
  } catch (error) {
    const both = `${request.toString('hex')} -> ${answer.toString('hex')}`
    throw new Error(`${apiName(apiKey)} v${version}: ${both}`, { cause: error })
  }
}

/** What the broker must do with a frame. A producer with acks=0 can be told of an error by closing only. */
type Due = 'answer' | 'close' | 'either'

function due(frame: Buffer): Due {
  if (frame.length < 12) return 'close'
  const apiKey = frame.readInt16BE(4)
  const apiVersion = frame.readInt16BE(6)
  const schema = served.find(({ key }) => key === apiKey)
  if (schema === undefined) return 'close'
  const [first, last] = schema.versions
  if (apiVersion < first || apiVersion > last) return apiKey === ApiKey.ApiVersions ? 'answer' : 'close'
  const reader = new Reader(frame, SIZE_BYTES)
  try {
    readRequestHeader(reader)
    const body: Record<string, unknown> = decoderFor(schema, apiVersion)(reader)
    return apiKey === ApiKey.Produce && body['acks'] === 0 ? 'either' : 'answer'
  } catch (error) {
    assert.ok(error instanceof ProtocolError, String(error))
    return 'close'
  }
}

test('valid requests of every API and version are answered', async () => {
  const frames = validFrames(served, batches, 3, random.seed)
  await target.survives(async () => {
    let connection = await FuzzConnection.open(target.port, checkAnswer)
    for (const frame of frames) {
      const outcome = await connection.send([frame])
      if (outcome.handled === 1) continue
      const what = `${apiName(frame.readInt16BE(4))} v${frame.readInt16BE(6)} ${frame.toString('hex')}`
      if (outcome.parked) assert.ok(isParked(frame), `${what}: no answer`)
      else assert.equal(due(frame), 'either', `${what}: closed`)
      connection = await FuzzConnection.open(target.port, checkAnswer)
    }
    connection.destroy()
  })
})

test('frames split at every byte', async () => {
  const frames = validFrames(served, batches, 1, random.seed + 1).filter(
    (frame) => !isParked(frame) && frame.length < 400,
  )
  await target.survives(async () => {
    let next = 0
    const worker = async (): Promise<void> => {
      const connection = await FuzzConnection.open(target.port, checkAnswer)
      for (let frame = frames[next++]; frame !== undefined; frame = frames[next++]) {
        for (let at = 1; at < frame.length; at++) {
          const write = async (bytes: Buffer): Promise<void> => {
            connection.write(bytes.subarray(0, at))
            await turn()
            connection.write(bytes.subarray(at))
          }
          const outcome = await connection.send([frame], { write })
          assert.equal(outcome.handled, 1, `${frame.toString('hex')} split at ${at}`)
        }
      }
      connection.destroy()
    }
    await Promise.all(Array.from({ length: CONNECTIONS }, () => worker()))
  })
})

test(`${FRAMES} damaged frames`, async () => {
  const valid = validFrames(served, batches, 12, random.seed + 2)
  // Joining members wait for each other and hold up their connection: some of them are enough.
  const joins = valid.filter((frame) => WAITING_APIS.has(frame.readInt16BE(4)))
  const others = valid.filter((frame) => !WAITING_APIS.has(frame.readInt16BE(4)))
  const pick = (): Buffer => {
    const from = random.between(0, 99) === 0 ? joins : others
    return from[random.between(0, from.length - 1)]!
  }
  const counts = { answered: 0, closed: 0, parked: 0 }
  const startedAt = Date.now()
  let made = 0

  const worker = async (): Promise<void> => {
    let connection = await FuzzConnection.open(target.port, checkAnswer)
    const reopen = async (): Promise<void> => {
      connection.destroy()
      connection = await FuzzConnection.open(target.port, checkAnswer)
    }
    /** All of them are due an answer. The first that waits for something else is left to wait. */
    const answered = async (frames: readonly Buffer[]): Promise<void> => {
      for (let left = frames; left.length > 0;) {
        const outcome = await connection.send(left)
        assert.ok(!outcome.closed, `closed: one of ${left.map((frame) => frame.toString('hex')).join(' ')}`)
        counts.answered += outcome.handled
        if (!outcome.parked) return
        counts.parked += 1
        left = left.slice(outcome.handled + 1)
        await reopen()
      }
    }
    const alone = async (frame: Buffer, mustClose: boolean): Promise<void> => {
      const outcome = await connection.send([frame], mustClose ? { mayPark: false } : {})
      counts[outcome.closed ? 'closed' : outcome.parked ? 'parked' : 'answered'] += 1
      assert.ok(
        !mustClose || (outcome.closed && outcome.handled === 0),
        `not closed: ${frame.toString('hex')}`,
      )
      if (outcome.closed || outcome.parked) await reopen()
    }
    let waiting: Buffer[] = []
    while (made < FRAMES) {
      made += 1
      const frame = mutated(pick(), pick(), random)
      const what = due(frame)
      if (what === 'answer') waiting.push(frame)
      if (what === 'answer' && waiting.length < BATCH) continue
      await answered(waiting)
      waiting = []
      if (what !== 'answer') await alone(frame, what === 'close')
    }
    await answered(waiting)
    connection.destroy()
  }

  await target.survives(async () => {
    await Promise.all(Array.from({ length: CONNECTIONS }, () => worker()))
  })
  console.log(`# ${JSON.stringify(counts)} in ${Date.now() - startedAt} ms`)
  assert.ok(counts.answered > FRAMES / 10, 'most frames never got past the decoder')
  assert.equal(counts.answered + counts.closed + counts.parked, FRAMES)
})
