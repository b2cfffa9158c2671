import type { Codecs } from '../ports.ts'

/** So many large batches are decompressed at once; the thread pool is the disk's too. */
const MAX_UNDER_WAY = 16

interface Waiting {
  readonly job: object
  readonly start: () => void
}

interface Client {
  underWay: number
  readonly waiting: Waiting[]
}

/**
 * Those who want large batches decompressed, one behind the other, so that together they take bounded memory. A client has
 * fewer places under way than it leaves free, so that who comes next finds one; when none is free, clients take turns.
 */
export class CodecLine {
  readonly #codecs: Codecs
  /** Whose turn it is comes first. */
  readonly #clients = new Map<object, Client>()
  #underWay = 0

  constructor(codecs: Codecs) {
    this.#codecs = codecs
  }

  /** As `Codecs.decompress`, in its turn. `client` is any object that stands for who sends. */
  decompress(client: object, codec: number, data: Buffer, piece: (bytes: Buffer) => boolean): Promise<void> {
    return this.run(client, {}, () => this.#codecs.decompress(codec, data, piece))
  }

  /** Does the work when it is its turn. `job` is who may leave until then. */
  run<Result>(client: object, job: object, work: () => Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      const start = (): void => {
        work()
          .then(resolve, reject)
          .finally(() => this.#ended(client))
      }
      this.#of(client).waiting.push({ job, start })
      this.#startNext()
    })
  }

  /** When the job still waits: it will not begin, and its promise stays open. */
  leave(client: object, job: object): boolean {
    const waiting = this.#clients.get(client)?.waiting ?? []
    const index = waiting.findIndex((each) => each.job === job)
    if (index < 0) return false
    waiting.splice(index, 1)
    this.#forgetIdle(client)
    return true
  }

  #of(client: object): Client {
    let found = this.#clients.get(client)
    if (found === undefined) this.#clients.set(client, (found = { underWay: 0, waiting: [] }))
    return found
  }

  #startNext(): void {
    const left = MAX_UNDER_WAY - this.#underWay
    for (const [key, client] of this.#clients) {
      if (client.waiting.length === 0 || client.underWay >= left) continue
      // To the end of the round.
      this.#clients.delete(key)
      this.#clients.set(key, client)
      client.underWay += 1
      this.#underWay += 1
      client.waiting.shift()!.start()
      return
    }
  }

  #ended(key: object): void {
    this.#of(key).underWay -= 1
    this.#underWay -= 1
    this.#forgetIdle(key)
    this.#startNext()
  }

  #forgetIdle(key: object): void {
    const client = this.#clients.get(key)
    if (client?.underWay === 0 && client.waiting.length === 0) this.#clients.delete(key)
  }
}
