/** Power cuts at length, outside of `npm test`. `--help` says how it is called. */
import { writeFileSync } from 'node:fs'
import process from 'node:process'
import { Command, Option } from 'commander'
import { positive } from '../../bench/command-line.ts'
import { type Cell, cells, engines, share } from '../durability/cells.ts'
import { Seeded } from '../support/seed.ts'
import { lossTable, type Row } from './loss-table.ts'
import { mountProblem } from './mounts.ts'
import { type Loss, measureLoss } from './power-cut.ts'

interface Options {
  readonly rounds: number
  readonly target: 'samsa' | 'kafka'
  readonly mode?: string
  readonly io?: string
  readonly flushMs: number
  readonly json?: string
}

const MORE = `
SAMSA_SEED=n makes the choices of a run again. Ends with 1 when a promise was broken.

  npm run test:power                                200 cuts over all engines and modes
  npm run test:power -- --rounds 60 --mode durable --io uring
  npm run test:power -- --target kafka --rounds 10  the same cuts for Apache Kafka`

const command = new Command('npm run test:power --')
  .description(
    'Cuts the power of an ext4 file system under a working broker, and counts what was lost (root).',
  )
  .addOption(
    new Option('--rounds <n>', 'cuts in all').argParser(positive).env('SAMSA_POWER_ROUNDS').default(200),
  )
  .addOption(new Option('--target <name>', 'whose broker').choices(['samsa', 'kafka']).default('samsa'))
  .option('--mode <name>', 'only this flush mode: os, interval or durable')
  .option('--io <name>', 'only this engine')
  .option('--flush-ms <ms>', 'the interval of the mode interval', positive, 100)
  .option('--json <file>', 'write the table as JSON as well')
  .addHelpText('after', MORE)
  .parse()
const values = command.opts<Options>()

async function main(): Promise<number> {
  const problem = await mountProblem()
  if (problem !== null) {
    console.error(problem)
    return 1
  }
  const { target } = values
  const wanted = await wantedCells(target)
  if (wanted.length === 0) {
    console.error(`no such mode or engine here: ${values.mode ?? 'any mode'}, ${values.io ?? 'any engine'}`)
    return 1
  }
  const random = new Seeded()
  console.log(`SAMSA_SEED=${random.seed}`)
  const rows: Row[] = []
  let failed = false
  for (const [number, cell] of wanted.entries()) {
    const rounds = share(values.rounds, wanted.length, number)
    const seed = random.uint32()
    try {
      const { flushMs } = values
      const onProgress = (done: Loss): void => printProgress(cell, done, rounds)
      rows.push({
        ...cell,
        target,
        loss: await measureLoss({ ...cell, target, rounds, flushMs, seed, onProgress }),
      })
    } catch (error) {
      failed = true
      console.error(error instanceof Error ? error.message : error)
    }
  }
  for (const line of lossTable(rows)) console.log(line)
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify({ seed: random.seed, rows }, null, 2)}\n`)
  const control = rows.filter(({ mode }) => mode === 'os')
  if (control.length > 0 && control.every(({ loss }) => loss.lost === 0)) {
    console.error(
      'a broker that never flushed lost nothing: the cuts do not bite, and the run proves nothing',
    )
    failed = true
  }
  return failed ? 1 : 0
}

async function wantedCells(target: 'samsa' | 'kafka'): Promise<Cell[]> {
  const { usable, missing } = target === 'kafka' ? { usable: ['auto'], missing: null } : await engines()
  if (missing !== null) console.error(missing)
  return cells(usable).filter(
    ({ mode, engine }) =>
      (values.mode === undefined || values.mode === mode) &&
      (values.io === undefined || values.io === engine),
  )
}

function printProgress({ mode, engine }: Cell, { rounds, acked, lost }: Loss, of: number): void {
  if (!process.stdout.isTTY && rounds % 10 !== 0 && rounds !== of) return
  console.log(`${mode}, io ${engine ?? 'auto'}: cut ${rounds} of ${of}, ${acked} acked, ${lost} lost`)
}

process.exitCode = await main()
