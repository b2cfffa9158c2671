import { ErrorCode } from '../../../protocol/errors.ts'
import type { LogEnd, ReplicaReport } from '../../core/controller/controller-types.ts'
import type { Clock } from '../../ports.ts'

interface Replica {
  readonly topicId: string
  readonly index: number
}

const FIRST_REST_MS = 50
const MAX_REST_MS = 1_000

/** What the controller must know of replicas here. It is told until it says that it was: a broker is silent about nothing. */
export class ReplicaReports {
  readonly #clock: Clock
  readonly #send: (report: ReplicaReport) => Promise<ErrorCode>
  readonly #damaged = new Map<string, Replica>()
  readonly #logs = new Map<string, LogEnd>()
  #isSending = false
  #closed = false

  constructor(clock: Clock, send: (report: ReplicaReport) => Promise<ErrorCode>) {
    this.#clock = clock
    this.#send = send
  }

  damaged(replicas: readonly Replica[]): void {
    for (const replica of replicas) this.#damaged.set(keyOf(replica), replica)
    void this.#tell()
  }

  /** Of partitions that nobody leads, and of which nobody is certain to have everything. */
  logsEnd(logs: readonly LogEnd[]): void {
    for (const log of logs) this.#logs.set(keyOf(log), log)
    void this.#tell()
  }

  close(): void {
    this.#closed = true
  }

  async #tell(): Promise<void> {
    if (this.#isSending) return
    this.#isSending = true
    for (let restMs = FIRST_REST_MS; !this.#closed && this.#damaged.size + this.#logs.size > 0;) {
      const damaged = new Map(this.#damaged)
      const logs = new Map(this.#logs)
      const errorCode = await this.#send({ damaged: [...damaged.values()], logs: [...logs.values()] })
      if (errorCode === ErrorCode.NONE) {
        forget(this.#damaged, damaged)
        forget(this.#logs, logs)
        restMs = FIRST_REST_MS
      } else {
        await new Promise<void>((resolve) => this.#clock.after(restMs, resolve))
        restMs = Math.min(MAX_REST_MS, restMs * 2)
      }
    }
    this.#isSending = false
  }
}

/** What was told, and is still so. */
function forget<Value>(all: Map<string, Value>, told: ReadonlyMap<string, Value>): void {
  for (const [key, value] of told) if (all.get(key) === value) all.delete(key)
}

function keyOf({ topicId, index }: Replica): string {
  return `${topicId}/${index}`
}
