import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { joinGroupRequest, joinGroupResponse } from '../../protocol/messages/11-join-group.ts'
import { adopt, end, freePort, repositoryRoot, waitUntilServing } from '../support/processes.ts'
import { RawClient } from '../support/raw-client.ts'
import { metadata, startTarget, withCoordinator } from './target.ts'

const join = { request: joinGroupRequest, response: joinGroupResponse, version: 5 } as const
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'samsa-log-'))
after(() => fs.rmSync(directory, { recursive: true, force: true }))

function joining(groupId: string, memberId = '') {
  return {
    groupId,
    sessionTimeoutMs: 6_000,
    rebalanceTimeoutMs: 6_000,
    memberId,
    groupInstanceId: null,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: Buffer.alloc(0) }],
  }
}

/** A new group, on a connection of its own. Its first rebalance is logged. */
async function joinGroup(port: number, groupId: string): Promise<RawClient> {
  const client = await RawClient.connect(port)
  const { memberId } = await client.send(join, joining(groupId))
  client.send(join, joining(groupId, memberId)).catch(() => {})
  return client
}

/** A pipe that is full from the start, as when somebody stopped reading. */
function fullPipe() {
  const name = path.join(directory, 'pipe')
  execFileSync('mkfifo', [name])
  const { O_RDONLY, O_WRONLY, O_NONBLOCK } = fs.constants
  const output = fs.openSync(name, O_RDONLY | O_NONBLOCK)
  const filler = fs.openSync(name, O_WRONLY | O_NONBLOCK)
  assert.throws(() => {
    for (;;) fs.writeSync(filler, ' '.repeat(4_096))
  }, /EAGAIN/)
  fs.closeSync(filler)
  return { output, input: fs.openSync(name, O_WRONLY) }
}

test('nobody reads the log: the broker starts, serves everybody, and stops', async () => {
  const { input, output } = fullPipe()
  const port = await freePort()
  const samsa = adopt(
    spawn(
      process.execPath,
      [
        path.join(repositoryRoot, 'dist/src/cli/samsa.cjs'),
        'start',
        '--set',
        `listeners=PLAINTEXT://127.0.0.1:${port}`,
        '--set',
        `log.dirs=${path.join(directory, 'data')}`,
      ],
      { stdio: ['ignore', input, 'ignore'] },
    ),
  )
  fs.closeSync(input)
  await waitUntilServing(port)
  await withCoordinator(port)
  const joiners: RawClient[] = []
  const bystander = await RawClient.connect(port)
  let slowestMs = 0
  for (let n = 0; n < 20; n++) {
    joiners.push(await joinGroup(port, `${n}${'g'.repeat(32_000)}`))
    const startMs = performance.now()
    await bystander.send(metadata, { topics: [] })
    slowestMs = Math.max(slowestMs, performance.now() - startMs)
  }
  assert.ok(slowestMs < 5_000, `another client waited ${slowestMs} ms`)
  for (const client of [bystander, ...joiners]) client.close()
  assert.equal(await end(samsa, 'SIGTERM'), 0)
  fs.closeSync(output)
})

test('joins with long ids make a short log', async () => {
  await using target = await startTarget()
  await withCoordinator(target.port)
  const joiners: RawClient[] = []
  await target.survives(async () => {
    for (let n = 0; n < 300; n++) joiners.push(await joinGroup(target.port, `${n}${'\u202e'.repeat(10_000)}`))
    await Promise.all(joiners.map((client) => client.send(metadata, { topics: [] })))
  })
  for (const client of joiners) client.close()
  const log = await target.log()
  assert.ok(log.includes('rebalance begins'))
  assert.ok(!log.includes('\u202e'))
  assert.ok(log.length < 1_500_000, `${log.length} characters for 9 MB of joins`)
})
