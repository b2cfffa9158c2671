import assert from 'node:assert/strict'
import { test } from 'node:test'

import { RateLimitedLog } from '../../src/broker/rate-limited-log.ts'
import { parseBrokerConfig } from '../../src/core/config/broker-config.ts'
import type { LogFields, Logger } from '../../src/ports.ts'
import { Census } from '../../src/server/census.ts'
import type { Counted } from '../../src/server/server-shared.ts'
import { ManualClock } from '../support/manual-clock.ts'

class Connected implements Counted {
  readonly clientAddress
  readonly listenerName = 'PLAINTEXT'
  dismissed = false
  lastActiveMs = 0
  turnedAway = false
  readonly #census: Census<Connected>

  constructor(census: Census<Connected>, host = '10.0.0.1') {
    this.#census = census
    this.clientAddress = { host, port: 5_000 }
  }

  dismiss(by?: 'reset'): void {
    this.dismissed = true
    this.turnedAway = by === 'reset'
    this.#census.left(this)
  }
}

class Rig {
  readonly lines: string[] = []
  readonly census: Census<Connected>
  isCluster = true

  constructor(settings: Readonly<Record<string, string>> = {}) {
    const values = new Map(Object.entries(settings))
    const { config } = parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', values }])
    const at = (level: string) => (_fields: LogFields, message: string) =>
      void this.lines.push(`${level} ${message}`)
    const logger: Logger = {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      child: () => logger,
    }
    const refusals = new RateLimitedLog(logger, new ManualClock())
    this.census = new Census({ logger, refusals, config: () => config, isCluster: () => this.isCluster })
  }

  arrive(host?: string): Connected {
    const connected = new Connected(this.census, host)
    this.census.arrived(connected, 0)
    return connected
  }

  get counts(): number[] {
    return [this.census.clients.size, [...this.census.peers].length, this.census.size]
  }
}

test('before clients are let in only brokers are, and who came meanwhile is let in then', () => {
  const rig = new Rig()
  const [client, broker, patient] = [rig.arrive(), rig.arrive(), rig.arrive()]
  assert.deepEqual(rig.counts, [0, 0, 3])
  assert.equal(rig.census.asClient(client), false)
  assert.ok(client.turnedAway)
  assert.deepEqual(rig.lines, ['debug connection closed: clients are not let in yet'])
  rig.census.asPeer(broker, 7)
  rig.census.isOpen = true
  assert.ok(rig.census.asClient(patient))
  assert.deepEqual(rig.counts, [1, 1, 2])
  assert.deepEqual([...rig.census.everyone()], [patient, broker])
})

test('limits are those of clients, and hold from the first request on', () => {
  const rig = new Rig({ 'max.connections': '2', 'max.connections.per.ip': '1' })
  rig.census.isOpen = true
  const [first, second] = [rig.arrive(), rig.arrive('10.0.0.2')]
  assert.deepEqual(rig.counts, [2, 0, 2])
  assert.ok(rig.census.mayArrive('10.0.0.1', 'PLAINTEXT'))
  const [broker, client] = [rig.arrive(), rig.arrive()]
  rig.census.asPeer(broker, 7)
  assert.equal(rig.census.asClient(client), false)
  assert.deepEqual(rig.lines, ['warn connection refused: max.connections'])
  // One that was counted, and says hello after all, is a client no more.
  rig.census.asPeer(second, 7)
  assert.deepEqual(rig.counts, [1, 2, 3])
  const same = rig.arrive()
  assert.equal(rig.census.asClient(same), false)
  assert.equal(rig.lines.at(-1), 'warn connection refused: max.connections.per.ip')
  first.dismiss()
  assert.ok(rig.census.asClient(rig.arrive()))
  assert.deepEqual(rig.counts, [1, 2, 3])
})

test('who does not say who it is goes: the oldest when there are many, all after some seconds', () => {
  const rig = new Rig()
  const newcomers = Array.from({ length: 64 }, () => rig.arrive())
  assert.ok(newcomers.every(({ dismissed }) => !dismissed))
  newcomers.push(rig.arrive())
  assert.deepEqual(
    newcomers.map(({ dismissed }) => dismissed),
    [true, ...newcomers.slice(1).map(() => false)],
  )
  rig.census.asPeer(newcomers[1]!, 7)
  rig.census.sweep(5_000)
  assert.equal(rig.census.size, 64)
  rig.census.sweep(5_001)
  assert.deepEqual(rig.counts, [0, 1, 1])
})

test('where there is one broker everybody is a client, as soon as it is connected', () => {
  const rig = new Rig({ 'max.connections': '1' })
  rig.isCluster = false
  assert.equal(rig.census.takesPeers, false)
  const client = rig.arrive()
  assert.deepEqual(rig.counts, [1, 0, 1])
  assert.ok(rig.census.asClient(client))
  assert.equal(rig.census.mayArrive('10.0.0.9', 'PLAINTEXT'), false)
  assert.deepEqual(rig.lines, ['warn connection refused: max.connections'])
})

test('a broker that connects too often loses what was silent for longest; who takes its name elsewhere, its own', () => {
  const rig = new Rig({ 'num.replica.fetchers': '2' })
  const greet = (count: number, host?: string): Connected[] =>
    Array.from({ length: count }, (_, index) => {
      const connected = rig.arrive(host)
      connected.lastActiveMs = 100 + index
      rig.census.asPeer(connected, 7)
      return connected
    })
  const own = greet(24)
  own[0]!.lastActiveMs = 1_000
  const others = greet(10_000, '10.0.0.9')
  assert.deepEqual(rig.counts, [0, 48, 48])
  assert.ok(own.every(({ dismissed }) => !dismissed))
  assert.deepEqual(rig.lines.slice(0, 1), ['warn connection closed: a broker has too many of them'])
  const [another] = [rig.arrive()]
  rig.census.asPeer(another, 8)
  greet(1)
  assert.deepEqual(
    own.map(({ dismissed }) => dismissed),
    own.map((_, index) => index === 1),
  )
  assert.equal(others.filter(({ dismissed }) => !dismissed).length, 24)
  for (let host = 0; host < 300; host++) greet(24, `10.1.${host >> 8}.${host & 255}`)
  assert.deepEqual(rig.counts, [0, 4_000, 4_000])
})
