/** The thread of `CodecThread`: decodes what lies in the slots. */
import { parentPort, workerData } from 'node:worker_threads'
import {
  DONE,
  GIVEN,
  LOOP_TOLD,
  NOT_DECODED,
  OUTPUT_BYTES,
  SLOTS,
  THREAD_AWAKE,
  viewsOf,
} from './codec-slots.ts'
import type { SharedSlots, Slot } from './codec-slots.ts'
import { decodeNow } from './decode-now.ts'
import { installedCodecs } from './native-codecs.ts'

const port = parentPort!
const shared = workerData as SharedSlots
const words = new Int32Array(shared.words)
const slots = viewsOf(shared)
let done = 0

/** Comes back to the event loop now and then, or the libraries' buffers would never be freed. */
function work(): void {
  for (let jobs = 0; jobs < SLOTS; jobs++) {
    if (done === Atomics.load(words, GIVEN)) {
      Atomics.store(words, THREAD_AWAKE, 0)
      // What was given in between told nobody.
      if (done === Atomics.load(words, GIVEN) || Atomics.exchange(words, THREAD_AWAKE, 1) !== 0) return
    }
    const slot = slots[done & (SLOTS - 1)]!
    slot.outputBytes = decode(slot)
    done = (done + 1) | 0
    Atomics.store(words, DONE, done)
    if (Atomics.exchange(words, LOOP_TOLD, 1) === 0) port.postMessage(null)
  }
  setImmediate(work)
}

function decode(slot: Slot): number {
  try {
    const pieces = decodeNow(
      installedCodecs,
      slot.codec,
      slot.input.subarray(0, slot.inputBytes),
      OUTPUT_BYTES,
    )
    if (pieces === null) return NOT_DECODED
    let length = 0
    for (const piece of pieces) {
      if (length + piece.length > OUTPUT_BYTES) return NOT_DECODED
      length += piece.copy(slot.output, length)
    }
    return length
  } catch {
    // The loop finds out why.
    return NOT_DECODED
  }
}

port.on('message', work)
port.postMessage(null)
