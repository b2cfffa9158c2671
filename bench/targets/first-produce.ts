import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from '../load/client.ts'
import { nowUs } from '../load/clock.ts'
import type { Endpoint } from '../load/spec.ts'

const EVERY_MS = 2
const NOT_READY = new Set([3, 5, 6])

/**
 * Tries until a record is acknowledged: connect, create the topic, wait for its leader, produce. Returns the
 * moment of the acknowledgement, microseconds of the monotonic clock.
 */
export async function firstProduce(endpoint: Endpoint, topic: string, timeoutMs: number): Promise<number> {
  const until = nowUs() + timeoutMs * 1_000
  let last: unknown = null
  while (nowUs() < until) {
    let client: Client | null = null
    try {
      client = await Client.connect(endpoint)
      const created = await client.createTopic(topic, 1, {})
      // 36: it exists, from an attempt before.
      if (created !== 0 && created !== 36) throw new Error(`CreateTopics answered error ${created}`)
      while (nowUs() < until) {
        const error = await client.produceOne(topic)
        if (error === 0) return nowUs()
        if (!NOT_READY.has(error)) throw new Error(`Produce answered error ${error}`)
        await sleep(EVERY_MS)
      }
    } catch (error) {
      last = error
    } finally {
      client?.close()
    }
    await sleep(EVERY_MS)
  }
  throw new Error(`no record was acknowledged within ${timeoutMs} ms`, { cause: last })
}
