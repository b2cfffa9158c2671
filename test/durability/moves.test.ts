/** Partitions change their log directories under load, and the broker is killed meanwhile. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorName } from '../../protocol/errors.ts'
import {
  alterReplicaLogDirsRequest,
  alterReplicaLogDirsResponse,
} from '../../protocol/messages/34-alter-replica-log-dirs.ts'
import {
  describeLogDirsRequest,
  describeLogDirsResponse,
} from '../../protocol/messages/35-describe-log-dirs.ts'
import { startSamsa } from '../support/broker-process.ts'
import { RawClient } from '../support/raw-client.ts'
import { Seeded } from '../support/seed.ts'
import { flushProperties } from './cells.ts'
import type { FlushMode } from './cells.ts'
import { briskProperties, Ledger } from './ledger.ts'

const alterCall = { request: alterReplicaLogDirsRequest, response: alterReplicaLogDirsResponse, version: 2 }
const describeCall = { request: describeLogDirsRequest, response: describeLogDirsResponse, version: 4 }

const ROUNDS = Number(process.env['SAMSA_MOVE_ROUNDS'] ?? 4)
const PARTITIONS = [
  ...[0, 1, 2, 3].map((index) => ({ topic: 'kept', index })),
  ...[0, 1, 2].map((index) => ({ topic: 'rolling', index })),
]

/** Asks for moves until the connection dies or `stop` says so. How many were begun. */
async function moveAbout(
  port: number,
  logDirs: readonly string[],
  random: Seeded,
  stop: () => boolean,
): Promise<number> {
  const client = await RawClient.connect(port)
  let begun = 0
  try {
    while (!stop() && !client.closed) {
      const { topic, index } = PARTITIONS[random.between(0, PARTITIONS.length - 1)]!
      const path = logDirs[random.between(0, logDirs.length - 1)]!
      const { results } = await client.send(alterCall, {
        dirs: [{ path, topics: [{ name: topic, partitions: [index] }] }],
      })
      const { errorCode } = results[0]!.partitions[0]!
      assert.equal(errorCode, 0, `AlterReplicaLogDirs: ${errorName(errorCode)}`)
      begun += 1
      await sleep(random.between(0, 40))
    }
  } catch (error) {
    if (!client.closed) throw error
  } finally {
    client.close()
  }
  return begun
}

/** `topic-index`, its directory, and whether it is on its way there. */
async function placesOf(port: number): Promise<{ name: string; logDir: string; isFuture: boolean }[]> {
  const client = await RawClient.connect(port)
  try {
    const { results } = await client.send(describeCall, { topics: null })
    return results.flatMap(({ logDir, topics }) =>
      topics.flatMap(({ name, partitions }) =>
        partitions.map(({ partitionIndex, isFutureKey }) => ({
          name: `${name}-${partitionIndex}`,
          logDir,
          isFuture: isFutureKey,
        })),
      ),
    )
  } finally {
    client.close()
  }
}

/** Moves end, and what they leave is gone: each partition is once on the disk. */
async function untilStill(port: number, logDirs: readonly string[]): Promise<void> {
  const until = performance.now() + 60_000
  for (;;) {
    const places = await placesOf(port)
    const names = (await Promise.all(logDirs.map((directory) => readdir(directory)))).flat()
    const here = names.filter((name) => /^(kept|rolling)-/.test(name)).toSorted()
    const still = places.every(({ isFuture }) => !isFuture)
    const expected = PARTITIONS.map(({ topic, index }) => `${topic}-${index}`).toSorted()
    if (still && here.join() === expected.join()) return
    assert.ok(performance.now() < until, `moves do not end: ${here.join(' ')}`)
    await sleep(50)
  }
}

for (const mode of ['os', 'durable'] as const satisfies FlushMode[])
  test(
    `moves under load and kill -9, ${ROUNDS} rounds: ${mode}`,
    { timeout: 60_000 + ROUNDS * 30_000 },
    async (t) => {
      const random = new Seeded()
      t.diagnostic(`SAMSA_SEED=${random.seed}`)
      const parent = await mkdtemp(join(tmpdir(), 'samsa-moves-'))
      const logDirs = ['one', 'two', 'three'].map((name) => join(parent, name))
      try {
        await using server = await startSamsa({
          dataDir: join(parent, 'output'),
          logDirs,
          properties: { ...briskProperties, ...flushProperties(mode, 100) },
        })
        const ledger = new Ledger({ random })
        await ledger.createTopics(server.port)
        let acked = 0
        let moves = 0
        for (let round = 0; round < ROUNDS; round++) {
          let stopped = false
          const stop = (): boolean => stopped
          const moving = moveAbout(server.port, logDirs, new Seeded(random.uint32()), stop)
          const running = await ledger.load(server.port, random.between(100, 600), { stop })
          if (round % 2 === 0) {
            await server.kill()
            await Promise.all(running)
            moves += await moving
            await server.start()
          } else {
            stopped = true
            await Promise.all(running)
            moves += await moving
          }
          acked += (await ledger.check(server.port, { acked: 'all' })).acked
          await untilStill(server.port, logDirs)
          await ledger.check(server.port, { acked: 'all' })
        }
        await ledger.settle(server.port)
        t.diagnostic(`${acked} records acked, ${moves} moves asked for`)
        assert.ok(acked > ROUNDS && moves > ROUNDS, 'the load was real')
        assert.doesNotMatch(await server.log(), /UNCLEAN|MISSING|directory failed/)
      } finally {
        await rm(parent, { recursive: true, force: true })
      }
    },
  )
