import type { TurnStage } from '../ports.ts'

/**
 * The end of a turn, shared by the clock, the disk and the network of one World.
 *
 * The first callback of a turn asks for one `setImmediate`: Node.js runs it after every socket and completion of
 * this round of the loop was handled, so whatever they queued leaves together.
 */
export class Turn {
  /** Grows by one per executed end of turn. Lets a stage keep budgets per turn. */
  number = 0
  readonly #append: (() => void)[] = []
  readonly #submit: (() => void)[] = []
  readonly #reply: (() => void)[] = []
  readonly #beginnings: (() => void)[] = []
  #scheduled = false
  readonly #runBound = (): void => this.#run()

  at(stage: TurnStage, run: () => void): void {
    if (stage === 'append') this.#append.push(run)
    else if (stage === 'submit') this.#submit.push(run)
    else this.#reply.push(run)
    this.#schedule()
  }

  /** Called at the end of every turn, before its stages. */
  beforeStages(run: () => void): void {
    this.#beginnings.push(run)
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#runBound)
  }

  #run(): void {
    this.number++
    try {
      for (const run of this.#beginnings) run()
      // `#scheduled` stays true meanwhile: what the stages queue runs in this very loop.
      for (;;) {
        if (this.#append.length > 0) drain(this.#append)
        else if (this.#submit.length > 0) drain(this.#submit)
        else if (this.#reply.length > 0) drain(this.#reply)
        else break
      }
    } finally {
      this.#scheduled = false
      // Only after a throw: the callbacks behind the one that failed are not lost with it.
      if (this.#append.length + this.#submit.length + this.#reply.length > 0) this.#schedule()
    }
  }
}

/** Runs the queue in order, including what joins it on the way. Keeps its array, so a turn allocates nothing. */
function drain(queue: (() => void)[]): void {
  let next = 0
  try {
    while (next < queue.length) {
      const run = queue[next++]
      if (run !== undefined) run()
    }
  } finally {
    if (next === queue.length) queue.length = 0
    else queue.splice(0, next)
  }
}
