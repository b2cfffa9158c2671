/** The place of one append among those to the same partition. */
export interface AppendPlace {
  /** `append` runs when all before it have left the line: at once when there are none. */
  ready(append: () => void): void
}

/**
 * Looking at the records of a batch may take turns of the loop; what came after it is appended after it all the same, or
 * the batches of one producer would change places. Empty as a rule: then nothing has to enter it.
 */
export class AppendLine {
  readonly #places: Place[] = []

  get isEmpty(): boolean {
    return this.#places.length === 0
  }

  /** Who enters must become ready, whatever comes of it. */
  enter(): AppendPlace {
    const place = new Place(this)
    this.#places.push(place)
    return place
  }

  /** Resolves when all before it have left the line; what comes after it waits until the result is called. */
  halt(): Promise<() => void> {
    const before = this.enter()
    const halt = this.enter()
    return new Promise((resolve) => {
      before.ready(() => resolve(() => halt.ready(() => {})))
    })
  }

  advance(): void {
    while (this.#places[0]?.append !== undefined) this.#places.shift()!.append!()
  }
}

class Place implements AppendPlace {
  append: (() => void) | undefined = undefined
  readonly #line: AppendLine

  constructor(line: AppendLine) {
    this.#line = line
  }

  ready(append: () => void): void {
    this.append = append
    this.#line.advance()
  }
}
