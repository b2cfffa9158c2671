import type { Steps } from '../../protocol/compile.ts'

/** All steps of some work, one after the other. */
export function finished<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}
