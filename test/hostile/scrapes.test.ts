import assert from 'node:assert/strict'
import net from 'node:net'
import { test } from 'node:test'
import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import { freePort } from '../support/processes.ts'
import { RawClient } from '../support/raw-client.ts'
import { metadata, startTarget } from './target.ts'

const createTopics = { request: createTopicsRequest, response: createTopicsResponse, version: 4 } as const
const PARTITIONS = 3_000

/** The longest that somebody's request took while `attack` ran. */
async function slowestDuring(port: number, attack: Promise<unknown>): Promise<number> {
  const client = await RawClient.connect(port)
  let over = false
  const done = attack.finally(() => (over = true))
  let slowestMs = 0
  while (!over) {
    const startMs = performance.now()
    await client.send(metadata, { topics: [] })
    slowestMs = Math.max(slowestMs, performance.now() - startMs)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  client.close()
  await done
  return slowestMs
}

/** Sends, reads all that comes, and resolves when it is over. */
function flood(port: number, bytes: Buffer): Promise<number> {
  return new Promise((resolve) => {
    let received = 0
    const socket = net.connect(port, '127.0.0.1')
    socket.on('data', (chunk) => (received += chunk.length))
    socket.on('error', () => {})
    socket.on('close', () => resolve(received))
    socket.write(bytes)
  })
}

test('figures of thousands of partitions, asked for by many and in floods, hold nobody', async () => {
  const adminPort = await freePort()
  await using target = await startTarget({ 'samsa.admin.listener': `127.0.0.1:${adminPort}` })
  const client = await RawClient.connect(target.port)
  const topic = { name: 't', numPartitions: PARTITIONS, replicationFactor: 1, assignments: [], configs: [] }
  const created = await client.send(createTopics, { topics: [topic], timeoutMs: 30_000, validateOnly: false })
  assert.equal(created.topics[0]?.errorCode, 0)
  client.close()
  const request = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'
  const pipelined = Buffer.from(request.repeat(2_000))
  let slowestMs = 0
  await target.survives(async () => {
    const parallel = Promise.all(Array.from({ length: 50 }, () => flood(adminPort, Buffer.from(request))))
    slowestMs = await slowestDuring(target.port, parallel)
    for (const bytes of await parallel) assert.ok(bytes > PARTITIONS * 100, `${bytes} bytes`)
    const floods = Promise.all(Array.from({ length: 20 }, () => flood(adminPort, pipelined)))
    slowestMs = Math.max(slowestMs, await slowestDuring(target.port, floods))
  })
  assert.ok(slowestMs < 4_000, `another client waited ${slowestMs} ms`)
})
