/** The thread of `CodecThread`: looks at the records that lie in the slots. */
import { createRequire } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import type { RecordsSummary } from '../../protocol/records/records-summary.ts'
import { DONE, GIVEN, LOOP_TOLD, SLOTS, THREAD_AWAKE, viewsOf } from './codec-slots.ts'
import type { Slot } from './codec-slots.ts'
import type { CodecThreadData } from './codec-thread.ts'
import type { NativeAddon } from './native-addon.ts'
import { installedCodecs } from './native-codecs.ts'
import { summarize } from './summarizing.ts'
import type { Summarizers } from './summarizing.ts'

/** What one batch may become: as long as that takes, others wait. */
const MAX_BYTES = 8 << 20

const port = parentPort!
const { shared, addonFile } = workerData as CodecThreadData
const by: Summarizers = { natives: installedCodecs, addon: addonOf(addonFile) }
const words = new Int32Array(shared.words)
const slots = viewsOf(shared)
let done = 0

function addonOf(file: string | null): NativeAddon | null {
  return file === null ? null : (createRequire(import.meta.url)(file) as NativeAddon)
}

/** Comes back to the event loop now and then, or the libraries' buffers would never be freed. */
function work(): void {
  for (let jobs = 0; jobs < SLOTS; jobs++) {
    if (done === Atomics.load(words, GIVEN)) {
      Atomics.store(words, THREAD_AWAKE, 0)
      // What was given in between told nobody.
      if (done === Atomics.load(words, GIVEN) || Atomics.exchange(words, THREAD_AWAKE, 1) !== 0) return
    }
    const slot = slots[done & (SLOTS - 1)]!
    slot.summary = summaryOf(slot)
    done = (done + 1) | 0
    Atomics.store(words, DONE, done)
    if (Atomics.exchange(words, LOOP_TOLD, 1) === 0) port.postMessage(null)
  }
  setImmediate(work)
}

function summaryOf({ codec, data, recordCount }: Slot): RecordsSummary | null {
  try {
    return summarize(by, codec, data, recordCount, MAX_BYTES)
  } catch {
    // The loop finds out why.
    return null
  }
}

port.on('message', work)
port.postMessage(null)
