import { setTimeout as sleep } from 'node:timers/promises'
import { nowUs } from '../load/clock.ts'
import { victimOf } from './blows.ts'
import type { Field } from './field.ts'
import { PARTITIONS, TAKEOVER_PARTITIONS, type Victim } from './rows.ts'

const LOOK_EVERY_MS = 10
const AT_MOST_US = 120e6

/** How long after a kill all partitions have another leader, as all others say. */
export async function elections(partitions: number, kind: Victim, field: Field): Promise<number> {
  const topic = await field.createTopic(partitions)
  const tookMs = await killUntil(kind, field, topic, (leads, victim) =>
    leads.every((leader) => leader >= 0 && leader !== victim),
  )
  await field.inSync(topic, partitions)
  await field.deleteTopic(topic)
  return tookMs
}

/** How long it takes until the first of the partitions has another leader. */
export async function takeover(field: Field): Promise<number> {
  const topic = await field.createTopic(TAKEOVER_PARTITIONS)
  const looked = await field.createTopic(PARTITIONS)
  const led = new Set((await field.view(looked)).partitions.map(({ leader }) => leader))
  if (led.size < field.cluster.members.length) throw new Error('a broker leads nothing')
  const tookMs = await killUntil('controller', field, looked, (leaders, victim) =>
    leaders.every((leader) => leader !== victim),
  )
  await field.inSync(topic, TAKEOVER_PARTITIONS)
  await field.deleteTopic(looked)
  await field.deleteTopic(topic)
  return tookMs
}

/** Milliseconds from the kill until what others say of the topic's leaders is as wanted. The victim is started again. */
async function killUntil(
  kind: Victim,
  field: Field,
  topic: string,
  isWanted: (leaders: readonly number[], victim: number) => boolean,
): Promise<number> {
  const victim = await victimOf(kind, field, topic)
  const others = field.cluster.members.filter((member) => member !== victim)
  const startedUs = nowUs()
  const killed = victim.kill(false)
  const isDone = async (): Promise<boolean> => {
    const views = await Promise.all(others.map((member) => field.view(topic, member)))
    const leaders = views.map(({ partitions }) => partitions.map(({ leader }) => leader))
    return leaders.every((each) => isWanted(each, victim.id))
  }
  while (!(await isDone())) {
    if (nowUs() - startedUs > AT_MOST_US) throw new Error('partitions stay without a leader')
    await sleep(LOOK_EVERY_MS)
  }
  const tookMs = (nowUs() - startedUs) / 1_000
  await killed
  await victim.start()
  return tookMs
}
