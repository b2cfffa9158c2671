import { nowUs } from './load/clock.ts'

/** Starts and stops brokers in this process and reports how long each start took. */

interface Startable {
  readonly Broker: { start(): Promise<AsyncDisposable> }
}

const STARTS = 15

const { Broker } = (await import(new URL('../src/index.js', import.meta.url).href)) as Startable
const figures: number[] = []
for (let i = 0; i < STARTS; i++) {
  const startedUs = nowUs()
  const broker = await Broker.start()
  figures.push((nowUs() - startedUs) / 1_000)
  await broker[Symbol.asyncDispose]()
}
process.send?.(figures, () => process.disconnect())
