import { parentPort, workerData } from 'node:worker_threads'
import { nowUs } from './clock.ts'
import { Drive } from './drive.ts'
import { TimedProduceExchange } from './exchange.ts'
import { SeededRandom } from './random.ts'
import type { EndToEndLoad, LoadResult } from './spec.ts'

/** The producer of an end-to-end load, on a thread of its own so that it may sleep until its slots. */

export interface ProducerTask {
  readonly load: EndToEndLoad
  readonly mark: number
}

export interface ProducerReport {
  readonly result: LoadResult
  readonly acknowledged: number
  readonly startUs: number
  readonly endUs: number
}

const { load, mark } = workerData as ProducerTask
let startUs = 0
let endUs = 0
const exchange = new TimedProduceExchange(
  load.topic,
  load.acks,
  load.valueBytes,
  mark,
  new SeededRandom(load.seed),
)
const onWindow = (measuring: boolean): void => {
  if (measuring) startUs = nowUs()
  else endUs = nowUs()
}
const drive = new Drive({ ...load, nap: true, onWindow }, exchange)
const result = await drive.run()
const report: ProducerReport = { result, acknowledged: drive.acknowledged, startUs, endUs }
parentPort!.postMessage(report)
