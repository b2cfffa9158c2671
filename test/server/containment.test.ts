import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiVersionsRequest, apiVersionsResponse } from '../../protocol/messages/18-api-versions.ts'
import { heartbeatRequest, heartbeatResponse } from '../../protocol/messages/12-heartbeat.ts'
import { answer } from '../../src/api/requests/handler.ts'
import type { Api, RequestContext } from '../../src/api/requests/handler.ts'
import { Refusals } from '../../src/api/requests/array-rules.ts'
import { apis } from '../../src/api/table.ts'
import { BrokenInvariant } from '../../src/core/broken-invariant.ts'
import { Broker } from '../../src/index.ts'
import { RawClient } from '../support/raw-client.ts'
import { Fixture, heartbeat, produce } from './connection-fixture.ts'

const bug = (): never => {
  throw new RangeError('expected by this test')
}

/** Every way in which work for a client can fail. */
const ways: Readonly<Record<string, (fixture: Fixture) => void>> = {
  'a frame is taken apart': (fixture) => {
    fixture.shared.budget.reserve = bug
    fixture.receive(heartbeat(1, 'g'))
  },
  'a request is decoded': (fixture) => {
    fixture.shared.reader.reset = bug
    fixture.receive(heartbeat(1, 'g'))
  },
  'its handler runs': (fixture) => {
    fixture.duringHeartbeat = bug
    fixture.receive(heartbeat(1, 'g'))
  },
  'its handler is called back': (fixture) => {
    fixture.duringHeartbeat = (context) => void fixture.clock.after(5, context.guard(bug))
    fixture.receive(heartbeat(1, 'g'))
    fixture.clock.advance(10)
  },
  'a promise of its handler is rejected': (fixture) => {
    fixture.duringHeartbeat = (context) => context.fail(new RangeError('expected by this test'))
    fixture.receive(heartbeat(1, 'g'))
  },
  'it is answered twice': (fixture) => {
    fixture.receive(heartbeat(1, 'g'))
    fixture.begun[0]!.respond()
    fixture.begun[0]!.respond()
  },
  'its answer is encoded': (fixture) => {
    fixture.shared.writer.beginFrame = bug
    fixture.receive(heartbeat(1, 'g'))
    fixture.begun[0]!.respond()
  },
  'its answer is written': (fixture) => {
    fixture.connection.write = bug
    fixture.receive(heartbeat(1, 'g'))
    fixture.begun[0]!.respond()
  },
  'the request behind it begins': (fixture) => {
    fixture.receive(Buffer.concat([heartbeat(1, 'g'), heartbeat(2, 'g')]))
    fixture.duringHeartbeat = bug
    fixture.begun[0]!.respond()
  },
  'the client has taken its answers': (fixture) => {
    fixture.connection.unsentBytes = 100_000_000
    fixture.receive(heartbeat(1, 'g'))
    fixture.connection.unsentBytes = 0
    fixture.duringHeartbeat = bug
    fixture.client.drained()
  },
  'there is room for requests again': (fixture) => {
    fixture.connection.resume = bug
    fixture.budget.reserve(2_000_000, { refusedBytes: 0, budgetAvailable: () => {} })
    fixture.receive(heartbeat(1, 'g'))
    fixture.budget.release(2_000_000)
  },
  'there is room for answers again': (fixture) => {
    fixture.shared.answers.take(1_000)
    fixture.receive(heartbeat(1, 'g'))
    fixture.duringHeartbeat = bug
    fixture.shared.answers.give(1_000)
    fixture.clock.endTurn()
  },
  'the next turn begins': (fixture) => {
    fixture.receive(Buffer.concat(Array.from({ length: 257 }, (_, i) => produce(i, 't', 1))))
    fixture.shared.reader.reset = bug
    fixture.clock.advance(1)
  },
  'its deadlines are looked at': (fixture) => {
    Object.defineProperty(fixture.connection, 'sentBytes', { get: bug })
    fixture.client.sweep(1, 1)
  },
  'the network works for it': (fixture) => fixture.client.failed(new RangeError('expected by this test')),
  'it leaves': (fixture) => {
    fixture.duringHeartbeat = (context) => context.whenAbandoned(bug)
    fixture.receive(heartbeat(1, 'g'))
    fixture.client.closed('reset')
    fixture.connection.destroy()
  },
}

for (const [when, fail] of Object.entries(ways)) {
  test(`an exception when ${when} ends the connection, is counted, and said once`, () => {
    const fixture = new Fixture()
    fail(fixture)
    assert.ok(fixture.connection.destroyed)
    assert.equal(fixture.failures, 1)
    const errors = fixture.lines.filter(({ level }) => level === 'error')
    assert.equal(errors.length, 1)
    assert.equal(fixture.lines.length, 1)
    assert.equal(errors[0]!.fields['client'], '127.0.0.1:5000')
    assert.ok(errors[0]!.fields['err'] instanceof Error)
  })
}

test('it is said who and what', () => {
  const fixture = new Fixture()
  ways['its handler is called back']!(fixture)
  const { client, clientId, api, version } = fixture.lines[0]!.fields
  assert.deepEqual(
    { client, clientId, api, version },
    {
      client: '127.0.0.1:5000',
      clientId: 'test',
      api: 'Heartbeat',
      version: 4,
    },
  )
})

test('repeats are counted and not all said', () => {
  const first = new Fixture()
  for (let i = 0; i < 100; i++) first.client.failed(new Error('expected by this test'))
  assert.equal(first.failures, 100)
  assert.equal(first.lines.length, 10)
})

test('what was held for the connection is given back', () => {
  const fixture = new Fixture()
  fixture.receive(produce(1, 't'))
  fixture.receive(produce(2, 't'))
  fixture.client.failed(new Error('expected by this test'))
  assert.equal(fixture.budget.usedBytes, 0)
  assert.equal(fixture.shared.answers.usedBytes, 0)
})

test('a broken invariant is no connection’s: it passes, and ends the process', () => {
  for (const error of [
    new BrokenInvariant('append to t-0', new Error('x')),
    new assert.AssertionError({ message: 'x' }),
  ]) {
    const broken = (): never => {
      throw error
    }
    for (const fail of [
      (fixture: Fixture) => {
        fixture.duringHeartbeat = broken
        fixture.receive(heartbeat(1, 'g'))
      },
      (fixture: Fixture) => {
        fixture.duringHeartbeat = (context) => void fixture.clock.after(5, context.guard(broken))
        fixture.receive(heartbeat(1, 'g'))
        fixture.clock.advance(10)
      },
    ]) {
      const fixture = new Fixture()
      assert.throws(() => fail(fixture), error)
      assert.equal(fixture.failures, 0)
    }
  }
})

/** Handlers of a real broker that fail in the ways handlers can. */
const handlers: Readonly<Record<string, Api['handle']>> = {
  throws: bug,
  'is rejected later': (request, context, respond) =>
    answer(async () => {
      await Promise.resolve()
      return bug()
    })(request, context, respond, new Refusals()),
  'throws when called back': (_request, context) => void context.broker.clock.after(1, context.guard(bug)),
  'answers what cannot be encoded': (_request, _context, respond) => respond({ errorCode: 2 ** 40 }),
  'answers twice': (_request, _context: RequestContext, respond) => {
    respond({ errorCode: 0 })
    respond({ errorCode: 0 })
  },
}

test('a broker lives on when its handlers fail', async () => {
  const heartbeatApi = apis.get(heartbeatRequest.key)!
  const { handle } = heartbeatApi
  const broker = await Broker.start({ logLevel: 'silent' })
  const bystander = await RawClient.connect(broker.port)
  const versions = { request: apiVersionsRequest, response: apiVersionsResponse, version: 3 } as const
  const beat = { request: heartbeatRequest, response: heartbeatResponse, version: 4 } as const
  try {
    for (const failing of Object.values(handlers)) {
      Object.assign(heartbeatApi, { handle: failing })
      const client = await RawClient.connect(broker.port)
      client.send(beat, { groupId: 'g', generationId: 1, memberId: 'm' }).catch(() => {})
      await client.whenClosed()
      const { apiKeys } = await bystander.send(versions, {
        clientSoftwareName: 'a',
        clientSoftwareVersion: '1',
      })
      assert.ok(apiKeys.length > 20)
    }
  } finally {
    Object.assign(heartbeatApi, { handle })
    bystander.close()
    await broker.stop()
  }
})
