import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import type { CloseReason, Connection, Receiver } from '../../../src/ports.ts'
import { CuttableNetwork } from '../../../src/system/network/cuttable-network.ts'
import { NetSockets } from '../../../src/system/network/net-sockets.ts'
import { Turn } from '../../../src/system/turn.ts'
import { until } from '../../support/until.ts'

/** Sends everything back. */
class Echo implements Receiver {
  readonly closedBecause: CloseReason[] = []
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  bytes(slab: Buffer, start: number, end: number): void {
    this.#connection.write([Buffer.from(slab.subarray(start, end))])
  }

  drained(): void {}

  failed(error: unknown): void {
    throw error
  }

  closed(reason: CloseReason): void {
    this.closedBecause.push(reason)
  }
}

/** What a connection that was asked for saw. */
class Asked {
  readonly seen: string[] = []
  readonly connection: Connection

  constructor(network: CuttableNetwork, port: number) {
    this.connection = network.connect(
      { host: '127.0.0.1', port },
      {
        connected: () => this.seen.push('connected'),
        bytes: (slab, start, end) => this.seen.push(slab.toString('latin1', start, end)),
        drained: () => {},
        failed: (error) => {
          throw error
        },
        closed: (reason) => this.seen.push(reason),
      },
    )
  }
}

async function closed(port: number): Promise<boolean> {
  const socket = net.connect(port, '127.0.0.1')
  await once(socket, 'close')
  return true
}

test('what was open is gone in both directions, nothing comes to be, and all is well when it heals', async () => {
  const network = new CuttableNetwork(new NetSockets(new Turn()))
  const accepted: Echo[] = []
  const listener = await network.listen({ host: '127.0.0.1', port: 0 }, (connection) => {
    const echo = new Echo(connection)
    accepted.push(echo)
    return echo
  })
  const { port } = listener.address
  const before = new Asked(network, port)
  before.connection.write([Buffer.from('a')])
  await until(() => before.seen.length === 2)
  assert.deepEqual(before.seen, ['connected', 'a'])

  network.cut()
  await until(() => before.seen.length === 3 && accepted[0]!.closedBecause.length === 1)
  assert.deepEqual([before.seen[2], accepted[0]!.closedBecause], ['reset', ['reset']])
  const meanwhile = new Asked(network, port)
  meanwhile.connection.write([Buffer.from('b')])
  assert.deepEqual(meanwhile.seen, [], 'told in a later turn')
  const givenUp = new Asked(network, port)
  givenUp.connection.destroy()
  await until(() => meanwhile.seen.length === 1 && givenUp.seen.length === 1)
  assert.deepEqual([meanwhile.seen, givenUp.seen], [['unreachable'], ['destroyed']])
  assert.ok(await closed(port), 'the port is taken, and nobody is let in')
  assert.equal(accepted.length, 1)

  network.heal()
  const after = new Asked(network, port)
  after.connection.write([Buffer.from('c')])
  await until(() => after.seen.length === 2)
  after.connection.destroy()
  await until(() => after.seen.length === 3)
  assert.deepEqual(after.seen, ['connected', 'c', 'destroyed'])
  await listener.close()
})
