/** Plays the scenarios to one broker, several at a time. */
import type { Recording } from './golden.ts'
import { normalise } from './normalise.ts'
import type { Area, Scenario } from './scenario.ts'
import { dig, Session } from './session.ts'
import type { Step } from './session.ts'

const LANES = 8

/** The last step of a scenario that could not go on. */
export const STOPPED = 'the scenario stopped'

export interface Broker {
  readonly port: number
  readonly dataDir: string
}

interface Job {
  readonly area: string
  readonly name: string
  readonly scenario: Scenario
}

/** What the broker answered, normalised, by area and scenario in the order of the areas. */
export async function runScenarios(
  broker: Broker,
  areas: readonly Area[],
  wanted: (name: string) => boolean = () => true,
): Promise<Map<string, Recording>> {
  const runPrefix = `d${Math.random().toString(36).slice(2, 7).padEnd(5, '0')}-`
  await openForClients(broker)
  const recordings = new Map<string, Record<string, readonly Step[]>>()
  let count = 0
  for (const alone of [false, true]) {
    const jobs: Job[] = []
    for (const area of areas.filter((each) => each.alone === alone))
      for (const [name, scenario] of area.scenarios)
        if (wanted(`${area.name}: ${name}`)) jobs.push({ area: area.name, name, scenario })
    for (const { area, name } of jobs) {
      const recording = recordings.get(area) ?? {}
      recording[name] = []
      recordings.set(area, recording)
    }
    const lane = async (): Promise<void> => {
      for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
        const prefix = `${runPrefix}${String(count++).padStart(4, '0')}-`
        recordings.get(job.area)![job.name] = await play(job, broker, prefix, runPrefix)
      }
    }
    await Promise.all(Array.from({ length: alone ? 1 : LANES }, lane))
  }
  return recordings
}

async function play(job: Job, broker: Broker, prefix: string, runPrefix: string): Promise<Step[]> {
  const session = new Session(broker.port, prefix)
  const place = { ...broker, runPrefix }
  try {
    await job.scenario(session)
    return normalise(session.steps, prefix, place)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return [...normalise(session.steps, prefix, place), { ask: STOPPED, answer: `no answer: ${why}` }]
  } finally {
    await session.close()
  }
}

/** The first group of a broker waits for the topic that keeps groups, the first producer for a block of ids. */
async function openForClients(broker: Broker): Promise<void> {
  const session = new Session(broker.port, '')
  for (const until = Date.now() + 30_000; ;) {
    const found = await session.quietly('FindCoordinator', 0, { key: 'first' })
    const committed = await session.quietly('OffsetFetch', 5, { groupId: 'first', topics: [] })
    const producer = await session.quietly('InitProducerId', 0, {
      transactionalId: null,
      transactionTimeoutMs: 1000,
    })
    if ([found, committed, producer].every((answer) => dig(answer, 'errorCode') === 0)) break
    if (Date.now() > until) throw new Error('not open for clients within 30 s')
  }
  await session.close()
}
