/** Who says hello in the name of a broker, and then sends what no broker would: what memory it takes is bounded. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ApiKey } from '../../protocol/keys.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import type { Attacker } from './attacker.ts'
import { PeerTarget } from './peer-target.ts'

const MIB = 1024 * 1024
/** The budgets of brokers, what the first use of the code takes, and what V8 has not collected. */
const MAX_GROWTH_BYTES = 256 * MIB
const PRETENDERS = 100

let target: PeerTarget

before(async () => {
  target = await PeerTarget.start()
  await target.commits(batchOf(10))
})

after(() => target[Symbol.asyncDispose]())

function batchOf(bytes: number): Buffer {
  return buildBatch([{ key: null, value: Buffer.alloc(bytes, 1), timestampMs: 1_700_000_000_000 }])
}

/** Meanwhile the real followers fetch, and memory stays where it was. */
async function survives(attack: () => Promise<readonly Attacker[]>): Promise<void> {
  const before = target.residentBytes
  let peak = 0
  const watch = setInterval(() => (peak = Math.max(peak, target.residentBytes)), 20)
  let attackers: readonly Attacker[] = []
  try {
    attackers = await attack()
    await target.commits(batchOf(10))
    await sleep(3_000)
    await target.commits(batchOf(10))
  } finally {
    clearInterval(watch)
    for (const attacker of attackers) attacker.destroy()
  }
  const grownBytes = peak - before
  console.log(`# grew by ${Math.round(grownBytes / MIB)} MiB`)
  assert.ok(grownBytes < MAX_GROWTH_BYTES, `grew by ${Math.round(grownBytes / MIB)} MiB`)
}

test('requests that never become whole', () =>
  survives(async () => {
    const claimed = 16 * MIB
    const begun = Buffer.alloc(claimed - MIB)
    begun.writeInt32BE(claimed, 0)
    begun.writeInt16BE(ApiKey.CreateTopics, 4)
    const attackers: Attacker[] = []
    for (let each = 0; each < PRETENDERS; each++) {
      const attacker = await target.pretender()
      attacker.write(begun)
      attackers.push(attacker)
    }
    return attackers
  }))

test('answers that nobody reads', async () => {
  for (let written = 0; written < 40; written++) await target.commits(batchOf(1_000_000))
  await survives(async () => {
    const frames = Buffer.concat(Array.from({ length: 20 }, () => target.fetchFrame))
    const attackers: Attacker[] = []
    for (let each = 0; each < PRETENDERS; each++) {
      // To where the leader is itself it sends no slices of files, but what it has read.
      const attacker = await target.pretender('127.0.0.1')
      attacker.stopReading()
      attacker.write(frames)
      attackers.push(attacker)
    }
    return attackers
  })
})

test('very many connections', () =>
  survives(async () => {
    const attackers: Attacker[] = []
    for (let each = 0; each < 2_000; each++) attackers.push(await target.pretender())
    await sleep(1_000)
    const open = attackers.filter(({ isClosed }) => !isClosed).length
    assert.ok(open < 64, `${open} are open`)
    return attackers
  }))
