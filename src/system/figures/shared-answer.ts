/**
 * One answer for all who ask while it is made, and for a while after: what it costs does not depend on how many ask.
 * A failure is told to those who waited for it, and not kept.
 */
export class SharedAnswer<T> {
  readonly #make: () => Promise<T>
  readonly #keepMs: number
  #answer: Promise<T> | null = null
  #keptUntilMs = Infinity

  constructor(make: () => Promise<T>, keepMs: number) {
    this.#make = make
    this.#keepMs = keepMs
  }

  get(): Promise<T> {
    if (this.#answer !== null && performance.now() < this.#keptUntilMs) return this.#answer
    this.#keptUntilMs = Infinity
    const answer = this.#make()
    this.#answer = answer
    answer.then(
      () => (this.#keptUntilMs = performance.now() + this.#keepMs),
      () => (this.#answer = null),
    )
    return answer
  }
}
