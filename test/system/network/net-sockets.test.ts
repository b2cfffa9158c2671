import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { after, describe, test } from 'node:test'
import type { CloseReason, Connection, Listener, Receiver } from '../../../src/ports.ts'
import { NetSockets } from '../../../src/system/network/net-sockets.ts'
import { Turn } from '../../../src/system/turn.ts'
import { until } from '../../support/until.ts'

const local = { host: '127.0.0.1', port: 0 }
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** What one accepted connection saw. */
interface Seen {
  readonly connection: Connection
  readonly received: Buffer[]
  drained: number
  readonly closed: CloseReason[]
  readonly gone: Promise<CloseReason>
}

/** A listener whose connections are recorded; `onBytes` reacts. */
const rethrow = (error: unknown): never => {
  throw error
}

async function listen(onBytes: (seen: Seen, bytes: Buffer) => void = () => {}) {
  const network = new NetSockets(new Turn())
  const seen: Seen[] = []
  const listener = await network.listen(local, (connection): Receiver => {
    let resolveGone: (reason: CloseReason) => void = () => {}
    const gone = new Promise<CloseReason>((resolve) => (resolveGone = resolve))
    const one: Seen = { connection, received: [], drained: 0, closed: [], gone }
    seen.push(one)
    return {
      bytes: (slab, start, end) => {
        assert.deepEqual(one.closed, [], 'bytes after closed')
        const bytes = Buffer.from(slab.subarray(start, end))
        one.received.push(bytes)
        onBytes(one, bytes)
      },
      drained: () => {
        one.drained++
        assert.equal(connection.unsentBytes, 0)
      },
      closed: (reason) => {
        one.closed.push(reason)
        resolveGone(reason)
      },
      failed: rethrow,
    }
  })
  listeners.push(listener)
  return { listener, seen }
}

const listeners: Listener[] = []
after(() => Promise.all(listeners.map((listener) => listener.close())))

async function connect(listener: Listener): Promise<net.Socket> {
  const client = net.connect(listener.address.port, listener.address.host)
  client.on('error', () => {})
  await once(client, 'connect')
  return client
}

async function readAll(client: net.Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  client.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(client, 'close')
  return Buffer.concat(chunks)
}

describe('sockets', () => {
  test('a client tells a connection that was reset from one that was destroyed', async () => {
    const { listener } = await listen((one, bytes) =>
      one.connection[bytes.length === 1 ? 'reset' : 'destroy'](),
    )
    const errors = await Promise.all(
      ['1', '22'].map(async (sent) => {
        const client = await connect(listener)
        let code: string | undefined
        client.on('error', (error: NodeJS.ErrnoException) => (code = error.code)).resume()
        client.write(sent)
        await new Promise((resolve) => client.once('close', resolve))
        return code
      }),
    )
    assert.deepEqual(errors, ['ECONNRESET', undefined])
  })

  test('bytes arrive, answers leave, both ends know their addresses', async () => {
    const { listener, seen } = await listen((one, bytes) => one.connection.write([bytes, Buffer.from('!')]))
    const client = await connect(listener)
    client.write('hello')
    const [answer] = await once(client, 'data')
    assert.equal(String(answer), 'hello!')
    const one = seen[0]
    assert.ok(one)
    assert.deepEqual(one.connection.remote, { host: '127.0.0.1', port: client.localPort })
    assert.deepEqual(one.connection.local, { host: '127.0.0.1', port: listener.address.port })
    assert.equal(one.drained, 1)
    client.end()
    assert.equal(await one.gone, 'ended')
    assert.deepEqual(one.closed, ['ended'])
  })

  test('large transfers in both directions, through one slab, are not mixed up', async () => {
    const { listener } = await listen((one, bytes) => one.connection.write([bytes]))
    const clients = await Promise.all(Array.from({ length: 4 }, () => connect(listener)))
    await Promise.all(
      clients.map(async (client, i) => {
        const sent = Buffer.alloc(3_000_000, i + 1)
        let bytes = 0
        client.on('data', (chunk: Buffer) => {
          assert.ok(chunk.every((byte) => byte === i + 1))
          bytes += chunk.length
        })
        client.write(sent)
        await until(() => bytes === sent.length)
        client.destroy()
      }),
    )
  })

  test('all buffers of a turn arrive in order, small ones joined and large ones vectored', async () => {
    const parts = Array.from({ length: 50 }, (_, i) => Buffer.alloc(i * 100, i))
    const { listener } = await listen((one) => {
      one.connection.write([Buffer.from('a'), Buffer.alloc(0), Buffer.from('b')])
      one.connection.write([Buffer.from('c')])
      setTimeout(() => {
        for (const part of parts) one.connection.write([part])
        one.connection.end()
      }, 5)
    })
    const client = await connect(listener)
    client.write('go')
    assert.deepEqual(await readAll(client), Buffer.concat([Buffer.from('abc'), ...parts]))
  })

  test('unsentBytes counts until the peer reads; drained tells when it has', async () => {
    const { listener, seen } = await listen()
    const client = await connect(listener)
    client.pause()
    await until(() => seen.length === 1)
    const one = seen[0]
    assert.ok(one)
    const total = 64 << 20
    one.connection.write([Buffer.alloc(total / 2), Buffer.alloc(total / 2)])
    assert.equal(one.connection.unsentBytes, total)
    await pause(50)
    assert.ok(one.connection.unsentBytes > 0)
    const { sentBytes } = one.connection
    assert.ok(sentBytes > 0 && sentBytes < total, 'what the kernel has taken of a write that is not done')
    assert.equal(one.drained, 0)
    let received = 0
    client.on('data', (chunk: Buffer) => (received += chunk.length))
    client.resume()
    await until(() => received === total)
    await until(() => one.drained === 1)
    assert.equal(one.connection.unsentBytes, 0)
    assert.equal(one.connection.sentBytes, total)
    client.destroy()
    await one.gone
  })

  test('pause stops the delivery, resume restarts it, nothing is lost', async () => {
    const { listener, seen } = await listen((one) => one.connection.pause())
    const client = await connect(listener)
    const sent = Buffer.alloc(8 << 20, 7)
    client.write(sent)
    await until(() => seen[0]?.received.length === 1)
    const one = seen[0]
    assert.ok(one)
    await pause(50)
    assert.equal(one.received.length, 1)
    const bytes = (): number => one.received.reduce((sum, part) => sum + part.length, 0)
    await until(() => {
      one.connection.resume()
      return bytes() >= sent.length
    })
    assert.deepEqual(Buffer.concat(one.received), sent)
    client.destroy()
  })

  test('a connection paused from the start reads nothing until resumed', async () => {
    const network = new NetSockets(new Turn())
    let accepted: Connection | null = null
    let received = 0
    const listener = await network.listen(local, (connection) => {
      accepted = connection
      connection.pause()
      return {
        bytes: (_slab, start, end) => void (received += end - start),
        drained: () => {},
        closed: () => {},
        failed: rethrow,
      }
    })
    listeners.push(listener)
    const client = await connect(listener)
    client.write('early')
    await pause(30)
    assert.equal(received, 0)
    assert.ok(accepted !== null)
    const connection: Connection = accepted
    connection.resume()
    await until(() => received === 5)
    client.destroy()
  })

  test('a reset is reported as one', async () => {
    const { listener, seen } = await listen()
    const client = await connect(listener)
    client.write('x')
    await until(() => seen[0]?.received.length === 1)
    client.resetAndDestroy()
    assert.equal(await seen[0]?.gone, 'reset')
  })

  test('destroy closes at once, tells later, drops what was queued', async () => {
    const { listener, seen } = await listen((one) => {
      one.connection.write([Buffer.from('never sent')])
      one.connection.destroy()
      assert.deepEqual(one.closed, [])
      one.connection.write([Buffer.from('nor this')])
      one.connection.end()
      one.connection.resume()
      assert.equal(one.connection.unsentBytes, 0)
    })
    const client = await connect(listener)
    const all = readAll(client)
    client.write('x')
    assert.equal((await all).length, 0)
    assert.equal(await seen[0]?.gone, 'destroyed')
    assert.deepEqual(seen[0]?.closed, ['destroyed'])
  })

  test('end closes also when the peer never does', async () => {
    const { listener, seen } = await listen((one) => {
      one.connection.write([Buffer.from('bye')])
      one.connection.end()
      one.connection.write([Buffer.from('too late')])
    })
    const client = net.connect({ port: listener.address.port, host: '127.0.0.1', allowHalfOpen: true })
    client.on('error', () => {})
    client.write('x')
    const [answer] = await once(client, 'data')
    assert.equal(String(answer), 'bye')
    assert.equal(await seen[0]?.gone, 'ended')
    client.destroy()
  })

  test('a peer that closes its side in the middle of an answer does no harm', async () => {
    const { listener, seen } = await listen((one) => {
      setTimeout(() => one.connection.write([Buffer.alloc(1 << 20)]), 10)
    })
    const client = await connect(listener)
    client.end('x')
    client.resume()
    assert.equal(await seen[0]?.gone, 'ended')
    await pause(20)
  })

  test('accept may refuse', async () => {
    const network = new NetSockets(new Turn())
    const listener = await network.listen(local, () => null)
    listeners.push(listener)
    const client = net.connect(listener.address.port, '127.0.0.1')
    client.on('error', () => {})
    await once(client, 'close')
  })

  test('a busy port is an error with its code; a closed listener frees it and keeps its connections', async () => {
    const { listener, seen } = await listen((one, bytes) => one.connection.write([bytes]))
    const network = new NetSockets(new Turn())
    await assert.rejects(
      network.listen(listener.address, () => null),
      { code: 'EADDRINUSE' },
    )
    const client = await connect(listener)
    client.write('1')
    await until(() => seen.length === 1)
    await listener.close()
    await listener.close()
    client.write('2')
    await until(() => Buffer.concat(seen[0]?.received ?? []).toString() === '12')
    const again = await network.listen(listener.address, () => null)
    await again.close()
    client.destroy()
  })
})
