import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { Client } from './client.ts'
import { nowUs } from './clock.ts'
import { TailConsumer } from './consumer.ts'
import type { ProducerReport, ProducerTask } from './end-to-end-producer.ts'
import { LatencyMeter } from './meters.ts'
import { SeededRandom } from './random.ts'
import type { EndToEndLoad, LoadResult } from './spec.ts'

/** How long the last messages may take to reach the consumer before they count as lost. */
const LAST_MESSAGES_MS = 2_000

/**
 * Producer and consumer in one process and on one clock: latency runs from the intended time of sending until the
 * consumer has the record.
 */
export async function runEndToEnd(load: EndToEndLoad): Promise<LoadResult> {
  const mark = new SeededRandom(load.seed).uint32()
  const intended: number[] = []
  const latencies: number[] = []
  const client = await Client.connect(load.endpoint)
  const startOffsets = await client.endOffsets(load.topic, load.partitions)
  client.close()
  let fail: (error: Error) => void = () => undefined
  const failure = new Promise<never>((_, reject) => {
    fail = reject
  })
  const consumer = new TailConsumer({
    endpoint: load.endpoint,
    topic: load.topic,
    startOffsets,
    valueBytes: load.valueBytes,
    mark,
    failed: (error) => fail(error),
    seen: (intendedUs, seenUs) => {
      intended.push(intendedUs)
      latencies.push(seenUs - intendedUs)
    },
  })
  const run = async (): Promise<LoadResult> => {
    await consumer.start()
    const { result, acknowledged, startUs, endUs } = await produce({ load, mark })
    const until = nowUs() + LAST_MESSAGES_MS * 1_000
    while (intended.length < acknowledged && nowUs() < until) await sleep(5)
    const latency = new LatencyMeter()
    for (const [i, time] of intended.entries()) {
      if (time >= startUs && time <= endUs) latency.record(latencies[i]!)
    }
    const summary = latency.summary()
    const lost = Math.max(0, acknowledged - intended.length)
    return { ...result, requests: summary.count, latency: summary, lost }
  }
  try {
    return await Promise.race([run(), failure])
  } finally {
    consumer.close()
  }
}

function produce(task: ProducerTask): Promise<ProducerReport> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./end-to-end-producer.js', import.meta.url), { workerData: task })
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', () => reject(new Error('the producer thread ended without a report')))
  })
}
