import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { addTally, emptyTally, runSeed } from './campaign.ts'
import type { Tally } from './campaign.ts'
import { seedsFromEnvironment } from './sim-random.ts'

/**
 * The campaign: `SAMSA_SIM_SEEDS` seeds (100 when it is not set), each a broker that lives, crashes and is looked at.
 * Many seeds are shared out among the processors. One seed alone: `SAMSA_SEED`.
 */

const SEEDS = Number(process.env['SAMSA_SIM_SEEDS'] ?? 100)
/** Fewer are not worth processes of their own. */
const SHARED_FROM = 400
const SHARE = 'SAMSA_SIM_SHARE'

/** Situations that a campaign of some size must have met, or it proves less than it claims. */
const WANTED = [
  'end: kill',
  'end: power loss',
  'end: stop',
  'died while starting',
  'died with write under way',
  'died with sync under way',
  'died with reserve under way',
  'died with truncate under way',
  'died with remove under way',
  'died with syncDirectory under way',
  'recovered',
  'torn tail cut',
  'zeros behind the end',
  'stale batches behind the end',
  'garbage behind the end',
  'unclean detected',
  'segments deleted',
  'recycled segment used',
  'reserved',
  'read',
  'slice sent',
  'read below the start',
  'duplicate answered',
  'directory dead',
  'EIO: write',
  'EIO: sync',
  'a sync failed, then: kill',
  'served on beside a dead directory',
  'disk full',
  'disk almost full',
  'bit flipped',
  'write misdirected',
  'damage found by a consumer',
  'damage found by the broker',
  'bad batch found by a read',
  'missing records noticed',
] as const
/** Below that the rare ones may stay out. */
const ENOUGH_SEEDS = 1000

async function runSeeds(seeds: readonly number[]): Promise<Tally> {
  const tally = emptyTally()
  for (const seed of seeds) await runSeed(seed, tally)
  return tally
}

/** Seeds `first`, `first + step` ... up to `last`, in a process of its own. */
function runShare(first: number, last: number, step: number): Promise<Tally> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), {
      // Not a test file of the runner's.
      env: { ...process.env, NODE_TEST_CONTEXT: '', [SHARE]: [first, last, step].join() },
      execArgv: ['--enable-source-maps'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    let tally: Tally | null = null
    child.on('message', (message) => (tally = message as Tally))
    child.on('exit', (code) => {
      if (tally === null) reject(new Error(`seeds from ${first}: the process ended with code ${code}`))
      else resolve(tally)
    })
  })
}

async function campaign(): Promise<Tally> {
  const seeds = seedsFromEnvironment(1, SEEDS)
  if (seeds.length < SHARED_FROM) return runSeeds(seeds)
  const step = availableParallelism()
  const tally = emptyTally()
  const shares = Array.from({ length: step }, (_, index) => runShare(index + 1, SEEDS, step))
  for (const share of await Promise.all(shares)) addTally(tally, share)
  return tally
}

function report(tally: Tally): string {
  const { seeds, acknowledged, commits, lost, situations } = tally
  return [
    `${seeds} seeds, ${acknowledged} records and ${commits} commits acknowledged`,
    `records gone: ${lost.durable} durable, ${lost.interval} interval, ${lost.os} os`,
    ...Object.keys(situations)
      .sort()
      .map((situation) => `${String(situations[situation]).padStart(8)}  ${situation}`),
  ].join('\n')
}

const share = process.env[SHARE]
if (share !== undefined) {
  const [first = 1, last = 0, step = 1] = share.split(',').map(Number)
  const seeds: number[] = []
  for (let seed = first; seed <= last; seed += step) seeds.push(seed)
  process.send?.(await runSeeds(seeds))
  process.disconnect()
} else {
  test('the broker keeps what it promises in every flush mode, whatever happens', async (context) => {
    const tally = await campaign()
    context.diagnostic(report(tally))
    const failures = tally.failures
      .slice(0, 5)
      .map(({ seed, error }) => `SAMSA_SEED=${seed} npm test -- simulator/campaign\n${error}`)
    assert.equal(tally.failures.length, 0, failures.join('\n\n'))
    if (tally.seeds < 100) return
    const missing = WANTED.filter((situation) => (tally.situations[situation] ?? 0) === 0)
    if (tally.seeds >= ENOUGH_SEEDS) assert.deepEqual(missing, [], 'situations that never came about')
    assert.equal(tally.lost.durable, 0)
    assert(tally.lost.os > tally.seeds / 4, 'a power loss that takes nothing proves nothing')
    assert(tally.lost.interval > 0, 'a power loss that takes nothing proves nothing')
    assert(tally.acknowledged > tally.seeds * 100)
  })
}
