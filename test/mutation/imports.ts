/** Which file loads which, by however many steps. */
export class Imports {
  readonly #loaded = new Map<string, readonly string[]>()
  readonly #loadedBy: (file: string) => readonly string[]

  constructor(loadedBy: (file: string) => readonly string[]) {
    this.#loadedBy = loadedBy
  }

  /** From a file to the nearest of `files`: 0 for itself, 1 for what it loads; Infinity where it loads none of them. */
  steps(from: string, files: ReadonlySet<string>): number {
    const seen = new Set([from])
    let level = [from]
    for (let steps = 0; level.length > 0; steps++) {
      if (level.some((file) => files.has(file))) return steps
      const next = new Set(level.flatMap((file) => this.#of(file)).filter((file) => !seen.has(file)))
      for (const file of next) seen.add(file)
      level = [...next]
    }
    return Infinity
  }

  #of(file: string): readonly string[] {
    let loaded = this.#loaded.get(file)
    if (loaded === undefined) this.#loaded.set(file, (loaded = this.#loadedBy(file)))
    return loaded
  }
}
