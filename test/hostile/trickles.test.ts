/** Clients that begin requests, send most of what the broker takes, and then a few bytes now and then, for ever. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RawClient } from '../support/raw-client.ts'
import { Attacker } from './attacker.ts'
import { apiVersions, startTarget, within } from './target.ts'

const MIB = 1024 * 1024
const CLIENTS = 16
const REQUEST_BYTES = 24 * MIB

test('requests that never become whole do not keep the memory from everybody else', async () => {
  // Nothing but the look at what stands still helps: no time is up for any of them.
  await using target = await startTarget({ 'samsa.request.timeout.ms': '600000' })
  const attackers = await Promise.all(Array.from({ length: CLIENTS }, () => Attacker.connect(target.port)))
  const start = Buffer.alloc(14)
  start.writeInt32BE(REQUEST_BYTES)
  start.writeInt16BE(9, 6)
  for (const attacker of attackers) {
    attacker.write(start)
    for (let sent = 2 * MIB; sent < REQUEST_BYTES; sent += MIB) attacker.write(Buffer.alloc(MIB))
  }
  const trickle = setInterval(() => {
    for (const attacker of attackers) attacker.write(Buffer.alloc(10))
  }, 200)
  try {
    for (let i = 0; i < 5; i++) {
      const client = await RawClient.connect(target.port)
      const { errorCode } = await within(
        client.send(apiVersions, { clientSoftwareName: 'x', clientSoftwareVersion: '1' }),
      )
      assert.equal(errorCode, 0)
      client.close()
    }
  } finally {
    clearInterval(trickle)
    for (const attacker of attackers) attacker.destroy()
  }
  assert.match(await target.log(), /does not arrive whole, and others wait/)
})
