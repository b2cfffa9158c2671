import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { startSamsa } from '../support/broker-process.ts'
import { Seeded } from '../support/seed.ts'
import { check, createTopic, Producer, readPartition } from './workload.ts'

/** Rounds of produce and kill -9 in total, over all cases. */
const ROUNDS = Number(process.env['SAMSA_KILL_ROUNDS'] ?? 50)
const PARTITIONS = 4

const cases = [
  { acks: 1, idempotent: false, flush: 'os' },
  { acks: -1, idempotent: true, flush: 'os' },
  { acks: -1, idempotent: true, flush: 'durable' },
]

for (const [number, { acks, idempotent, flush }] of cases.entries()) {
  const rounds = Math.floor(ROUNDS / cases.length) + (number < ROUNDS % cases.length ? 1 : 0)
  const name = `kill -9 under load, ${rounds} rounds: acks=${acks}, idempotent=${idempotent}, ${flush}`
  test(name, { timeout: 180_000 }, async (t) => {
    const random = new Seeded()
    t.diagnostic(`SAMSA_SEED=${random.seed}`)
    await using server = await startSamsa({
      properties: {
        // Small segments, so that kills also hit rolls.
        'log.segment.bytes': '200000',
        ...(flush === 'durable' ? { 'log.flush.interval.messages': '1' } : {}),
      },
    })
    await createTopic(server.port, 'kill', PARTITIONS)
    const producers = Array.from({ length: PARTITIONS }, (_, p) => new Producer('kill', p, acks, idempotent))
    for (let round = 0; round < rounds; round++) {
      const running = producers.map((producer) => producer.run(server.port, () => false))
      await sleep(random.between(20, 150))
      await server.kill()
      await Promise.all(running)
      await server.start()
      for (const [partition, producer] of producers.entries()) {
        check(producer.acked, await readPartition(server.port, 'kill', partition), idempotent)
      }
    }
    const acked = producers.reduce((sum, producer) => sum + producer.acked.size, 0)
    t.diagnostic(`${acked} records acked`)
    assert.ok(acked > rounds, 'the load was real')
    if (idempotent) await settle(server.port, producers)
  })
}

/** Whatever was unanswered is sent once more; then everything is there exactly once. */
async function settle(port: number, producers: readonly Producer[]): Promise<void> {
  await Promise.all(producers.map((producer) => producer.run(port, () => true)))
  for (const [partition, producer] of producers.entries()) {
    const found = await readPartition(port, 'kill', partition)
    check(producer.acked, found, true)
    assert.equal(found.length, producer.acked.size, 'nothing but what was acked')
  }
}
