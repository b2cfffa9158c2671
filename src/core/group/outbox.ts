import { excerpt } from '../printable.ts'
import type { Now } from '../deadline-queue.ts'

/** Where the answer to a request goes. The core keeps it and never calls it: answers leave through the outbox. */
export type Waiter<Response> = (response: Response) => void

/** A record of the offsets topic. A null value is a tombstone. */
export interface OffsetsRecord {
  readonly key: Buffer
  readonly value: Buffer | null
}

export type LogLevel = 'info' | 'warn' | 'error'

export interface ReplyEffect {
  readonly kind: 'reply'
  readonly send: () => void
}

/** A partition of the offsets topic, led under an epoch: what is decided under it is written under it or not at all. */
export interface LedPartition {
  readonly index: number
  readonly leaderEpoch: number
}

/** Append these records as one batch, then call `settled` with the outcome, an error code of the protocol. */
export interface AppendEffect {
  readonly kind: 'append'
  readonly partition: LedPartition
  readonly records: readonly OffsetsRecord[]
  readonly settled: (errorCode: number, now: Now) => void
}

export interface LogEffect {
  readonly kind: 'log'
  readonly level: LogLevel
  readonly fields: Readonly<Record<string, unknown>>
  readonly message: string
}

export type Effect = ReplyEffect | AppendEffect | LogEffect

/** What the core wants done. One for all groups, drained by the driver after every call, in order. */
export class Outbox {
  readonly effects: Effect[] = []

  reply<Response>(waiter: Waiter<Response>, response: Response): void {
    this.effects.push({ kind: 'reply', send: () => waiter(response) })
  }

  append(
    partition: LedPartition,
    records: readonly OffsetsRecord[],
    settled: (errorCode: number, now: Now) => void,
  ): void {
    this.effects.push({ kind: 'append', partition, records, settled })
  }

  log(level: LogLevel, fields: Readonly<Record<string, unknown>>, message: string): void {
    // Ids and reasons come from clients, who may make them long.
    this.effects.push({
      kind: 'log',
      level,
      fields: shortened(fields),
      message: excerpt(message, MAX_MESSAGE_LENGTH),
    })
  }
}

const MAX_ID_LENGTH = 200
const MAX_MESSAGE_LENGTH = 1_000

function shortened(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const entries = Object.entries(fields)
  return Object.fromEntries(
    entries.map(([key, value]) => [key, typeof value === 'string' ? excerpt(value, MAX_ID_LENGTH) : value]),
  )
}
