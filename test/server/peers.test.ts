import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ApiKey } from '../../protocol/keys.ts'
import { apiVersionsRequest, apiVersionsResponse } from '../../protocol/messages/18-api-versions.ts'
import { brokerHelloRequest, brokerHelloResponse } from '../../protocol/messages/1002-broker-hello.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import type { Broker } from '../../src/broker/broker.ts'
import type { BrokerConfig } from '../../src/core/config/broker-config.ts'
import { Server } from '../../src/server/server.ts'
import { withSimBroker } from '../api/sim-broker.ts'
import type { SimBroker } from '../api/sim-broker.ts'
import { SimClient } from '../simulator/sim-client.ts'
import { produce } from './connection-fixture.ts'

const PORT = 9093
const hello = { request: brokerHelloRequest, response: brokerHelloResponse, version: 0 } as const
const versions = { request: apiVersionsRequest, response: apiVersionsResponse, version: 0 } as const

interface Rig {
  readonly broker: SimBroker
  readonly server: Server
  readonly connect: () => SimClient
  /** Whether somebody is answered within a second. */
  readonly isAnswered: (answer: Promise<unknown>) => Promise<boolean>
  readonly greet: (client: SimClient) => Promise<ErrorCode>
}

/** A second server of the same broker, which has become one of a cluster. */
async function withServer(settings: Partial<BrokerConfig>, body: (rig: Rig) => Promise<void>): Promise<void> {
  await withSimBroker(async (broker) => {
    const { metadata, config } = broker.running.broker
    Object.defineProperty(metadata, 'cluster', {
      value: { leave: () => Promise.resolve(), isRegistered: () => Promise.resolve(true) },
    })
    const endpoints = [{ ...config.endpoints[0]!, port: PORT }]
    const other = Object.create(broker.running.broker, {
      config: { value: { ...config, ...settings, endpoints } },
    }) as Broker
    const server = new Server(broker.process.world, other)
    const rig: Rig = {
      broker,
      server,
      connect: () => SimClient.connect(broker.sim, PORT)!,
      isAnswered: (answer) =>
        Promise.race([answer.then(() => true), broker.sim.sleep(1_000).then(() => false)]),
      greet: async (client) => {
        const body = { clusterId: metadata.clusterId, brokerId: 7, brokerEpoch: 9 }
        return (await client.send(hello, body)).errorCode as ErrorCode
      },
    }
    await body(rig)
    await server.stop(0)
  })
}

test('a server that is bound is there for brokers, one that is open for clients too', async () => {
  await withServer({}, async ({ server, connect, greet }) => {
    await server.bind()
    assert.equal(server.addresses.get('PLAINTEXT')?.port, PORT)
    await assert.rejects(connect().send(versions, {}))
    const early = connect()
    const peer = connect()
    assert.equal(await greet(peer), ErrorCode.NONE)
    server.open()
    for (const client of [early, connect(), peer])
      assert.equal((await client.send(versions, {})).errorCode, ErrorCode.NONE)
  })
})

test('what brokers send that never becomes whole is bounded; they are read again when it is gone', async () => {
  await withServer({}, async (rig) => {
    const { broker, server, greet, connect } = rig
    await server.start()
    const { budget } = server.forPeers.of(7)
    const piece = Buffer.alloc(4 << 20)
    const claim = Buffer.alloc(8)
    claim.writeInt32BE(16 << 20, 0)
    claim.writeInt16BE(ApiKey.CreateTopics, 4)
    const sockets = Array.from({ length: 14 }, () => broker.sim.connect(PORT)!)
    const liars = sockets.map((socket) => SimClient.over(socket))
    for (const liar of liars) assert.equal(await greet(liar), ErrorCode.NONE)
    for (const bytes of [claim, piece, piece, piece]) for (const socket of sockets) socket.send(bytes)
    await broker.sim.sleep(100)
    const most = budget.usedBytes
    assert.ok(budget.isSpent && most < 2 * budget.limitBytes, `${most} bytes`)
    assert.equal(server.budget.usedBytes, 0)
    const honest = connect()
    assert.equal(await greet(honest), ErrorCode.NONE)
    const answer = honest.send(versions, {})
    await broker.sim.sleep(20_000)
    assert.equal((await answer).errorCode, ErrorCode.NONE)
    assert.ok(liars.some(({ closed }) => closed))
    for (const liar of liars) liar.close()
    await broker.sim.sleep(100)
    assert.equal(budget.usedBytes, 0)
  })
})

test('a hello, and what brokers ask, are small', async () => {
  await withServer({}, async ({ broker, server, greet, connect }) => {
    await server.start()
    const { clusterId } = broker.running.broker.metadata
    const long = connect()
    const body = { clusterId: clusterId + ' '.repeat(1_024), brokerId: 7, brokerEpoch: 9 }
    await assert.rejects(long.send(hello, body))
    const socket = broker.sim.connect(PORT)!
    const peer = SimClient.over(socket)
    await greet(peer)
    const claim = Buffer.alloc(8)
    claim.writeInt32BE((16 << 20) + 1, 0)
    socket.send(claim)
    await broker.sim.sleep(100)
    assert.ok(peer.closed)
  })
})

test('brokers are served when clients have all the memory for requests', async () => {
  await withServer({ 'queued.max.request.bytes': 10_000 }, async (rig) => {
    const { broker, server, connect, greet, isAnswered } = rig
    await server.start()
    const [before, peer] = [connect(), connect()]
    assert.equal(await greet(peer), ErrorCode.NONE)
    await before.send(versions, {})
    // Two requests that never become whole: one overdraws, the other one waits.
    for (let each = 0; each < 2; each++)
      broker.sim.connect(PORT)!.send(produce(1, 'a', 50_000).subarray(0, 30_000))
    await broker.sim.sleep(100)
    assert.equal(await isAnswered(before.send(versions, {}).catch(() => undefined)), false)
    assert.ok(await isAnswered(peer.send(versions, {})))
    const late = connect()
    assert.equal(await greet(late), ErrorCode.NONE)
    assert.ok(await isAnswered(late.send(versions, {})))
  })
})
