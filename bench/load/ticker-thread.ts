import { parentPort, workerData } from 'node:worker_threads'
import { nowUs } from './clock.ts'
import { Schedule } from './schedule.ts'
import type { OpenLoop } from './spec.ts'
import { SlotSleeper } from './ticker.ts'

const { pace, seed } = workerData as { pace: OpenLoop; seed: number }

const sleeper = new SlotSleeper()
const schedule = new Schedule(pace, nowUs() + 1_000, seed)
const due: number[] = []
let next = schedule.next()
for (;;) {
  sleeper.until(next)
  const now = nowUs()
  due.length = 0
  while (next <= now) {
    due.push(next)
    next = schedule.next()
  }
  if (due.length > 0) parentPort!.postMessage(Float64Array.from(due))
}
