import type { Endpoint } from '../load/spec.ts'

/** Something that serves Kafka's protocol and can be measured. */
export interface Target {
  readonly name: string
  /** What it is, for the table's head: version, settings that matter. */
  readonly description: string
  /** Time it needs after it stood still, to notice what it missed. */
  readonly awakeMs: number
  start(): Promise<RunningBroker>
  /** The same broker without its native addon, where it has one. */
  readonly withoutAddon: Target | null
  /**
   * Milliseconds from the spawn of a process on an empty, formatted data directory until the first Produce is
   * acknowledged (the topic is created on the way).
   */
  measureStart(): Promise<number>
}

export interface RunningBroker {
  readonly endpoint: Endpoint
  readonly pid: number
  readonly dataDirectory: string
  /** What it has printed so far. */
  printed(): Promise<string>
  /** SIGKILL. */
  kill(): Promise<void>
  /** A new process on the data of one that was killed, with another pid; resolves when it has been spawned. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/** Brokers keep a deleted topic's files for a minute; while measuring, their space and their removal must not reach into the next row. */
export const MEASURING_SETTINGS: Readonly<Record<string, string>> = { 'log.segment.delete.delay.ms': '1000' }

export function describeSettings(settings: Readonly<Record<string, string>> = {}): string {
  const entries = Object.entries(settings)
  return entries.length === 0 ? 'defaults' : entries.map(([key, value]) => `${key}=${value}`).join(' ')
}
