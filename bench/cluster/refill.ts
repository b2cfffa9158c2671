import { readdirSync, statSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Timing } from '../jobs.ts'
import { nowUs } from '../load/clock.ts'
import type { LoadResult } from '../load/spec.ts'
import { whileLoaded } from './blows.ts'
import type { Member } from './cluster.ts'
import type { Field } from './field.ts'
import { load, steadyLoad } from './loads.ts'
import { PARTITIONS } from './rows.ts'

export interface Refill {
  /** From the start of a process without any data until it is in sync. */
  readonly megabytesPerSecond: number
  /** A steady load of the leaders, when all replicas were in sync. */
  readonly before: LoadResult
  readonly meanwhile: LoadResult
}

const FILL_AT_MOST_MS = 600_000
const LOOK_EVERY_MS = 250

/** The broker that loses its data leads nothing before: the load has the same leaders all the time. */
export async function refill(field: Field, bytes: number, timing: Timing): Promise<Refill> {
  const follower = field.cluster.members.at(-1)!
  const topic = await field.createTopicFollowedBy(follower, PARTITIONS)
  const loaded = await field.createTopicFollowedBy(follower, PARTITIONS)
  await fill(field, topic, follower, bytes)
  const before = await steadyLoad(field, loaded, timing.measureMs)
  await follower.terminate()
  const lost = bytesOf(follower, topic)
  await rm(follower.dataDirectory, { recursive: true })
  let tookUs = NaN
  const meanwhile = await whileLoaded(field, loaded, async () => {
    const startedUs = nowUs()
    await follower.start()
    await field.inSync(topic, PARTITIONS)
    tookUs = nowUs() - startedUs
  })
  await field.inSync(loaded, PARTITIONS)
  await field.deleteTopic(loaded)
  await field.deleteTopic(topic)
  return { megabytesPerSecond: lost / tookUs, before, meanwhile }
}

async function fill(field: Field, topic: string, follower: Member, bytes: number): Promise<void> {
  let isEnding = false
  const full = async (): Promise<void> => {
    while (!isEnding && bytesOf(follower, topic) < bytes) await sleep(LOOK_EVERY_MS)
  }
  const shape = { batch: { records: 128, valueBytes: 1_000 }, warmupMs: 0, measureMs: FILL_AT_MOST_MS }
  await load(field, topic, shape, { until: full() })
  isEnding = true
  const there = bytesOf(follower, topic)
  if (there < bytes) throw new Error(`no more than ${there} of ${bytes} bytes in ${FILL_AT_MOST_MS} ms`)
  await field.inSync(topic, PARTITIONS)
}

function bytesOf({ dataDirectory }: Member, topic: string): number {
  const directories = readdirSync(dataDirectory).filter((name) => name.startsWith(`${topic}-`))
  return directories.reduce((sum, name) => {
    const directory = join(dataDirectory, name)
    const logs = readdirSync(directory).filter((file) => file.endsWith('.log'))
    return sum + logs.reduce((all, file) => all + statSync(join(directory, file)).size, 0)
  }, 0)
}
