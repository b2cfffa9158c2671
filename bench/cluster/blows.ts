import { setTimeout as sleep } from 'node:timers/promises'
import { nowUs } from '../load/clock.ts'
import { Librdkafka, type LibrdkafkaResult } from '../load/librdkafka.ts'
import type { LoadResult } from '../load/spec.ts'
import type { Member } from './cluster.ts'
import type { Field } from './field.ts'
import { steadyLoad } from './loads.ts'
import { type Blow, LAG_MS, PARTITIONS, type Victim } from './rows.ts'

/** What happens to brokers begins this long after the measured time. */
const CALM_MS = 1_000
const PER_SECOND = 1_000
const MEMBERS = 2
/** Between the restarts of two brokers, once everything is in sync. */
const REST_MS = 3_000

export interface Struck {
  readonly gapMs: number
  /** Until its process has ended; NaN where it does not. */
  readonly endedMs: number
}

/** One broker is struck under load, and is there again when this resolves. */
export async function blow(kind: Blow, field: Field, patienceMs: number): Promise<Struck> {
  const topic = await field.createTopic(PARTITIONS)
  const victim = await victimOf(kind === 'controller' ? 'controller' : 'leader', field, topic)
  const struck =
    kind === 'freeze'
      ? await freeze(victim, field, topic, patienceMs)
      : await end(kind, victim, field, topic, patienceMs)
  await field.inSync(topic, PARTITIONS)
  await field.deleteTopic(topic)
  return struck
}

async function end(
  kind: Exclude<Blow, 'freeze'>,
  victim: Member,
  field: Field,
  topic: string,
  patienceMs: number,
): Promise<Struck> {
  let endedMs = NaN
  const { longestGapMs } = await withLibrdkafka(field, topic, 0, async () => {
    const startedUs = nowUs()
    await (kind === 'stop' ? victim.terminate() : victim.kill(kind === 'pair'))
    endedMs = (nowUs() - startedUs) / 1_000
    await sleep(patienceMs)
  })
  await victim.start()
  return { gapMs: longestGapMs, endedMs }
}

/** librdkafka would wait for its answers for a minute: what is measured is when there are others. */
async function freeze(victim: Member, field: Field, topic: string, patienceMs: number): Promise<Struck> {
  const measured = await whileLoaded(
    field,
    topic,
    async () => {
      await sleep(CALM_MS)
      victim.freeze()
      await sleep(patienceMs)
    },
    true,
  )
  victim.thaw()
  return { gapMs: measured.longestGapMs ?? NaN, endedMs: NaN }
}

/** A follower stands still for longer than leaders wait for it, and comes back. */
export async function freezeFollower(field: Field): Promise<LoadResult> {
  const follower = field.cluster.members.at(-1)!
  const topic = await field.createTopicFollowedBy(follower, PARTITIONS)
  const measured = await whileLoaded(field, topic, async () => {
    await sleep(CALM_MS)
    follower.freeze()
    await sleep(1.5 * LAG_MS + 2_000)
    follower.thaw()
    await field.inSync(topic, PARTITIONS)
    await sleep(CALM_MS)
  })
  await field.deleteTopic(topic)
  return measured
}

/** All brokers stop and start, one after the other, while librdkafka produces and a group of it reads and commits. */
export async function rollingRestart(field: Field): Promise<LibrdkafkaResult> {
  const topic = await field.createTopic(PARTITIONS)
  const measured = await withLibrdkafka(field, topic, MEMBERS, async () => {
    for (const member of field.cluster.members) {
      await member.terminate()
      await member.start()
      await field.inSync(topic, PARTITIONS)
      await sleep(REST_MS)
    }
  })
  await field.deleteTopic(topic)
  return measured
}

async function withLibrdkafka(
  field: Field,
  topic: string,
  members: number,
  meanwhile: () => Promise<void>,
): Promise<LibrdkafkaResult> {
  const { bootstrap } = field
  const client = await Librdkafka.start({
    bootstrap,
    topic,
    partitions: PARTITIONS,
    perSecond: PER_SECOND,
    members,
  })
  try {
    client.begin()
    await sleep(CALM_MS)
    await meanwhile()
    return await client.end()
  } finally {
    await client.kill()
  }
}

const AT_MOST_MS = 600_000

/** A steady load whose measured time begins and ends with what happens meanwhile. */
export async function whileLoaded(
  field: Field,
  topic: string,
  meanwhile: () => Promise<void>,
  isWatchful = false,
): Promise<LoadResult> {
  let begin = (): void => undefined
  const begun = new Promise<void>((resolve) => (begin = resolve))
  const happening = begun.then(meanwhile)
  const until = happening.catch(() => undefined)
  const measured = await steadyLoad(field, topic, AT_MOST_MS, { measuring: begin, until }, isWatchful)
  await happening
  return measured
}

/** The controller, which leads too, or a leader that is not the controller. */
export async function victimOf(kind: Victim, field: Field, topic: string): Promise<Member> {
  const { controller: seen, partitions } = await field.view(topic)
  const controller = await field.cluster.controllerId(seen)
  const victim = field.cluster.members.find(
    ({ id }) =>
      (id === controller) === (kind === 'controller') && partitions.some(({ leader }) => leader === id),
  )
  if (victim === undefined) throw new Error(`there is no ${kind} that leads a partition`)
  return victim
}
