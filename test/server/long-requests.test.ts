import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encoderFor } from '../../protocol/compile.ts'
import { writeRequestHeader } from '../../protocol/frame.ts'
import { ApiKey } from '../../protocol/keys.ts'
import { produceRequest } from '../../protocol/messages/00-produce.ts'
import { fetchRequest } from '../../protocol/messages/01-fetch.ts'
import { Writer } from '../../protocol/writer.ts'
import type { AnswerWaiter } from '../../src/broker/answer-budget.ts'
import { ClientConnection } from '../../src/server/connection.ts'
import { LongRequests } from '../../src/server/long-requests.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { Fixture, heartbeat, produce } from './connection-fixture.ts'
import { until } from '../support/until.ts'

class Asker implements AnswerWaiter {
  readonly requests: LongRequests
  readonly bytes: number
  has = false

  constructor(requests: LongRequests, bytes: number) {
    this.requests = requests
    this.bytes = bytes
    this.answersAvailable()
  }

  answersAvailable(): void {
    this.has = this.requests.admits(this.bytes)
    if (this.has) this.requests.take(this.bytes)
    else this.requests.wait(this)
  }

  done(): void {
    this.has = false
    this.requests.give(this.bytes)
  }
}

test('long requests that take too much together come in their order; one that takes more than that comes alone', () => {
  const clock = new ManualClock()
  const requests = new LongRequests(clock, 100)
  const [first, second, huge, last] = [60, 60, 500, 10].map((bytes) => new Asker(requests, bytes))
  const have = (): boolean[] => [first!, second!, huge!, last!].map(({ has }) => has)
  assert.deepEqual(have(), [true, false, false, false])
  assert.ok(requests.admits(0), 'short ones do not wait')
  first!.done()
  clock.endTurn()
  assert.deepEqual(have(), [false, true, false, false])
  second!.done()
  clock.endTurn()
  assert.deepEqual(have(), [false, false, true, false])
  huge!.done()
  clock.endTurn()
  assert.deepEqual(have(), [false, false, false, true])
  last!.done()
  assert.equal(requests.usedBytes + requests.waitingCount, 0)
})

test('however many come that take little, those that take more than there is all have their turn', () => {
  const clock = new ManualClock()
  const requests = new LongRequests(clock, 100)
  const small = [new Asker(requests, 30), new Asker(requests, 30)]
  const huge = [101, 500, 101].map((bytes) => new Asker(requests, bytes))
  let turns = 0
  let served = 0
  for (; served < huge.length && turns < 50; turns++) {
    small.push(new Asker(requests, 30), new Asker(requests, 30))
    for (const asker of [...small, ...huge].filter(({ has }) => has)) {
      asker.done()
      if (huge.includes(asker)) served += 1
    }
    clock.endTurn()
  }
  assert.equal(served, huge.length, `${served} in ${turns} turns`)
})

test('who goes away does not keep those behind it waiting', () => {
  const clock = new ManualClock()
  const requests = new LongRequests(clock, 100)
  const [first, second, huge, last] = [60, 30, 500, 10].map((bytes) => new Asker(requests, bytes))
  first!.done()
  clock.endTurn()
  assert.equal(huge!.has || last!.has, false)
  requests.leave(huge!)
  clock.endTurn()
  assert.ok(last!.has)
  second!.done()
  last!.done()
  assert.equal(requests.usedBytes + requests.waitingCount, 0)
})

function longFetch(correlationId: number, partitions: number): Buffer {
  const writer = new Writer()
  writer.beginFrame()
  writeRequestHeader(writer, { apiKey: ApiKey.Fetch, apiVersion: 11, correlationId, clientId: null })
  const all = Array.from({ length: partitions }, (_, partition) => ({
    partition,
    fetchOffset: 0,
    partitionMaxBytes: 1,
  }))
  encoderFor(fetchRequest, 11)(writer, {
    replicaId: -1,
    maxWaitMs: 1,
    minBytes: 1,
    topics: [{ topic: 't', partitions: all }],
  })
  return writer.finishBuffer()
}

function anotherClient(fixture: Fixture): ClientConnection {
  const listener = { name: 'PLAINTEXT', advertised: fixture.connection.local }
  return new ClientConnection(fixture.shared, fixture.connection, listener, () => {})
}

async function nextTurn(fixture: Fixture): Promise<void> {
  await new Promise(setImmediate)
  fixture.clock.endTurn()
}

test('of fetches that many clients send at once few are decoded at a time, and all in the end', async () => {
  const fixture = new Fixture({}, 1_000_000_000, 1_000_000_000)
  const frame = longFetch(1, 20_000)
  const clients = Array.from({ length: 20 }, () => {
    const client = anotherClient(fixture)
    client.bytes(frame, 0, frame.length)
    return client
  })
  const [gone] = clients.splice(-1)
  gone!.closed('reset')
  for (let answered = 0; answered < clients.length; answered++) {
    await until(
      () => fixture.begun.length > answered,
      () => nextTurn(fixture),
    )
    assert.ok(fixture.shared.longRequests.usedBytes <= 32 << 20)
    assert.ok(fixture.begun.length - answered < 10, `${fixture.begun.length - answered} at a time`)
    fixture.begun[answered]!.respond()
  }
  for (const client of clients) client.closed('reset')
  assert.equal(fixture.shared.longRequests.usedBytes, 0)
  assert.equal(fixture.shared.longRequests.waitingCount, 0)
  assert.equal(fixture.budget.usedBytes, 0)
})

test('a fetch of very many partitions does not keep their memory for as long as it likes', async () => {
  const fixture = new Fixture({}, 1_000_000_000, 1_000_000_000)
  const waits: number[] = []
  for (const partitions of [20_000, 10]) {
    const client = anotherClient(fixture)
    const frame = longFetch(1, partitions)
    client.bytes(frame, 0, frame.length)
    await until(
      () => fixture.begun.length > waits.length,
      () => nextTurn(fixture),
    )
    waits.push(fixture.begun.at(-1)!.context.longestWaitMs)
    client.closed('reset')
  }
  assert.deepEqual(waits, [1_000, Infinity])
})

test('a request that stands for many elements takes their memory, one after the other, and gives it back', () => {
  const fixture = new Fixture({}, 100_000_000, 100_000_000)
  const { longRequests } = fixture.shared
  const waits: number[] = []
  let elements = 100_000
  fixture.duringHeartbeat = (context) =>
    context.standsFor(
      () => elements,
      () => void waits.push(context.longestWaitMs),
    )
  const frame = heartbeat(1, 'g')
  const clients = Array.from({ length: 5 }, () => anotherClient(fixture))
  for (const client of clients) client.bytes(frame, 0, frame.length)
  assert.deepEqual([fixture.begun.length, waits.length], [5, 1])
  assert.equal(longRequests.usedBytes, 20_000_000)
  assert.ok(fixture.budget.usedBytes > 20_000_000 && fixture.budget.usedBytes < 20_100_000)
  // Answered; gone in the line; gone later.
  clients[2]!.closed('reset')
  fixture.begun[0]!.respond()
  fixture.clock.endTurn()
  assert.equal(waits.length, 2)
  elements = 150_000
  clients[1]!.closed('reset')
  fixture.clock.endTurn()
  assert.equal(longRequests.usedBytes, 30_000_000, 'it is asked when its turn comes')
  fixture.begun[3]!.respond()
  fixture.clock.endTurn()
  assert.deepEqual(waits, [1_000, 100, 100, 1_000], 'who keeps others waiting does so for a shorter time')
  fixture.begun[4]!.respond()
  assert.deepEqual([longRequests.usedBytes, longRequests.waitingCount, fixture.budget.usedBytes], [0, 0, 0])
})

test('a request that has many elements and stands for more does not wait for its own, and counts them once', async () => {
  const fixture = new Fixture({}, 1_000_000_000, 1_000_000_000)
  const { longRequests } = fixture.shared
  const frame = longFetch(1, 20_000)
  const clients = [anotherClient(fixture), anotherClient(fixture)]
  for (const client of clients) client.bytes(frame, 0, frame.length)
  await until(
    () => fixture.begun.length === 2,
    () => nextTurn(fixture),
  )
  const began: number[] = []
  for (const [index, { context }] of fixture.begun.entries())
    context.standsFor(
      () => 120_000,
      () => void began.push(index),
    )
  fixture.clock.endTurn()
  assert.deepEqual([began, longRequests.usedBytes], [[0], 24_000_000])
  fixture.begun[0]!.respond()
  fixture.clock.endTurn()
  assert.deepEqual(began, [0, 1])
  clients[1]!.closed('reset')
  assert.deepEqual([longRequests.usedBytes, fixture.budget.usedBytes], [0, 0])
})

function produceOf(partitions: number): Buffer {
  const writer = new Writer()
  writer.beginFrame()
  writeRequestHeader(writer, { apiKey: ApiKey.Produce, apiVersion: 9, correlationId: 1, clientId: null })
  const all = Array.from({ length: partitions }, (_, index) => ({ index, records: Buffer.alloc(1) }))
  const topicData = [{ name: 't', partitionData: all }]
  encoderFor(produceRequest, 9)(writer, { acks: 1, timeoutMs: 1000, topicData })
  return writer.finishBuffer()
}

test('of produce requests with very many partitions few are decoded at a time; one that is large for its records waits for none', async () => {
  const fixture = new Fixture({}, 1_000_000_000, 1_000_000_000)
  const { longRequests } = fixture.shared
  const frame = produceOf(100_000)
  const clients = Array.from({ length: 12 }, () => {
    const client = anotherClient(fixture)
    client.bytes(Buffer.from(frame), 0, frame.length)
    return client
  })
  await until(
    () => fixture.begun.length > 0,
    () => nextTurn(fixture),
  )
  assert.ok(longRequests.waitingCount > 5, `${longRequests.waitingCount} wait`)
  const large = produce(1, 'large', 900_000)
  anotherClient(fixture).bytes(large, 0, large.length)
  assert.deepEqual(fixture.log.at(-1), 'produce large')
  clients.pop()!.closed('reset')
  for (let answered = 0; answered < clients.length; answered++) {
    const long = () => fixture.begun.filter(({ what }) => what === 'produce t')
    await until(
      () => long().length > answered,
      () => nextTurn(fixture),
    )
    assert.ok(longRequests.usedBytes <= 32 << 20)
    assert.ok(long().length - answered < 4, `${long().length - answered} at a time`)
    long()[answered]!.respond()
  }
  for (const client of clients) client.closed('reset')
  assert.equal(longRequests.usedBytes + longRequests.waitingCount, 0)
})
