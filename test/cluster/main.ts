/** Faults of a cluster at length, outside of `npm test`. `--help` says how it is called. */
import process from 'node:process'
import { Command, Option } from 'commander'
import { positive } from '../../bench/command-line.ts'
import { Seeded } from '../support/seed.ts'
import { clusterParts, whatIsMissing } from './parts.ts'
import { cutNames, faultNames, playRounds } from './rounds.ts'
import { wiresProblem } from './wires.ts'

interface Options {
  readonly rounds: number
  readonly minutes?: number
  readonly fault?: readonly string[]
}

const MORE = `
SAMSA_SEED=n makes the choices of a run again. Ends with 1 when a record was lost, or a promise was broken.

  npm run test:cluster                                60 rounds
  npm run test:cluster -- --minutes 60                clusters of 60 rounds each, for an hour
  npm run test:cluster -- --fault 'kill -9 of two'    only this one; may be given several times

Faults: ${faultNames.join('; ')}
With network namespaces, which need root: ${cutNames.join('; ')}`

const command = new Command('npm run test:cluster --')
  .description('Kills, stops and restarts brokers of a cluster under load, and looks for every record.')
  .addOption(new Option('--rounds <n>', 'faults on one cluster').argParser(positive).default(60))
  .addOption(new Option('--minutes <n>', 'one cluster after the other, for as long').argParser(positive))
  .addOption(new Option('--fault <name...>', 'only these').choices([...faultNames, ...cutNames]))
  .addHelpText('after', MORE)
  .parse()
const values = command.opts<Options>()

async function main(): Promise<number> {
  const parts = await clusterParts()
  if (parts === null) {
    console.error(whatIsMissing)
    return 1
  }
  const problem = await wiresProblem()
  if (problem !== null) console.log(`no broker is cut off: ${problem}`)
  const among = values.fault ?? [...faultNames, ...(problem === null ? cutNames : [])]
  const untilMs = performance.now() + (values.minutes ?? 0) * 60_000
  const first = new Seeded()
  console.log(`SAMSA_SEED=${first.seed}`)
  for (let seed = first.seed; ; seed = new Seeded(seed).uint32()) {
    if (seed !== first.seed) console.log(`SAMSA_SEED=${seed}`)
    const random = new Seeded(seed)
    const plan = Array.from({ length: values.rounds }, () => random.pick(among))
    const acked = await playRounds(parts, random, plan, console.log)
    console.log(`${acked} records were acknowledged, and none was lost`)
    if (performance.now() >= untilMs) return 0
  }
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(error)
  return 1
})
