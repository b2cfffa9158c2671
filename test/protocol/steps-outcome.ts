import { CompressionError } from '../../protocol/compression-error.ts'
import type { Steps } from '../../protocol/compile.ts'

/** What a decoder gives in the end, or the reason why it gives nothing. */
export function outcomeOf(decode: () => Steps<Buffer>): Buffer | string {
  try {
    const steps = decode()
    for (;;) {
      const step = steps.next()
      if (step.done === true) return step.value
    }
  } catch (error) {
    if (error instanceof CompressionError) return error.reason
    throw error
  }
}
