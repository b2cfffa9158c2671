/** Lets tasks run side by side as long as their weights fit, in the order they came. A heavy one runs alone. */
export class Turnstile {
  readonly #limit: number
  readonly #waiting: { readonly weight: number; readonly enter: () => void }[] = []
  #next = 0
  #used = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  async run<T>(weight: number, task: () => Promise<T>): Promise<T> {
    if (this.#waiting.length > 0 || !this.#fits(weight))
      await new Promise<void>((enter) => this.#waiting.push({ weight, enter }))
    else this.#used += weight
    try {
      return await task()
    } finally {
      this.#used -= weight
      this.#admit()
    }
  }

  #fits(weight: number): boolean {
    return this.#used === 0 || this.#used + weight <= this.#limit
  }

  #admit(): void {
    for (let first = this.#waiting[this.#next]; first !== undefined; first = this.#waiting[this.#next]) {
      if (!this.#fits(first.weight)) return
      this.#next += 1
      this.#used += first.weight
      first.enter()
    }
    this.#waiting.length = 0
    this.#next = 0
  }
}
