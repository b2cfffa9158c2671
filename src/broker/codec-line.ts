import type { Codecs } from '../ports.ts'

/** So many large batches are decompressed at once; the thread pool is the disk's too. */
const MAX_UNDER_WAY = 16

interface Waiting {
  readonly job: object
  readonly start: () => void
}

/** Those who want large batches decompressed, one behind the other, so that together they take bounded memory. */
export class CodecLine {
  readonly #codecs: Codecs
  readonly #waiting: Waiting[] = []
  #underWay = 0

  constructor(codecs: Codecs) {
    this.#codecs = codecs
  }

  /** As `Codecs.decompress`, in its turn. */
  decompress(codec: number, data: Buffer, piece: (bytes: Buffer) => boolean): Promise<void> {
    return this.run({}, () => this.#codecs.decompress(codec, data, piece))
  }

  /** Does the work when it is its turn. `job` is who may leave until then. */
  run<Result>(job: object, work: () => Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      const start = (): void => {
        this.#underWay += 1
        work()
          .then(resolve, reject)
          .finally(() => this.#ended())
      }
      if (this.#underWay < MAX_UNDER_WAY) start()
      else this.#waiting.push({ job, start })
    })
  }

  /** When the job still waits: it will not begin, and its promise stays open. */
  leave(job: object): boolean {
    const index = this.#waiting.findIndex((waiting) => waiting.job === job)
    if (index < 0) return false
    this.#waiting.splice(index, 1)
    return true
  }

  #ended(): void {
    this.#underWay -= 1
    this.#waiting.shift()?.start()
  }
}
