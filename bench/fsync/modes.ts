/** Ways to promise something about an acknowledged record, Samsa's and Apache Kafka's. */

export type ModeId = 'os' | 'interval' | 'durable-threads' | 'durable-uring' | 'kafka' | 'kafka-flush'

export interface Mode {
  readonly id: ModeId
  readonly title: string
  readonly broker: 'samsa' | 'kafka'
  /** On top of the broker's defaults. */
  readonly settings: Readonly<Record<string, string>>
  /** Where a record is when it is acknowledged. */
  readonly acknowledged: string
  readonly durable: boolean
}

export const MODES: readonly Mode[] = [
  {
    id: 'os',
    title: 'Samsa, os',
    broker: 'samsa',
    settings: {},
    acknowledged: 'in the page cache',
    durable: false,
  },
  {
    id: 'interval',
    title: 'Samsa, interval 1 s',
    broker: 'samsa',
    settings: { 'log.flush.interval.ms': '1000' },
    acknowledged: 'in the page cache, on the device a second later',
    durable: false,
  },
  {
    id: 'durable-threads',
    title: 'Samsa, durable, threads',
    broker: 'samsa',
    settings: { 'log.flush.interval.messages': '1', 'samsa.io': 'threads' },
    acknowledged: 'on the device',
    durable: true,
  },
  {
    id: 'durable-uring',
    title: 'Samsa, durable, io_uring',
    broker: 'samsa',
    settings: { 'log.flush.interval.messages': '1', 'samsa.io': 'uring' },
    acknowledged: 'on the device',
    durable: true,
  },
  {
    id: 'kafka',
    title: 'Kafka, default',
    broker: 'kafka',
    settings: {},
    acknowledged: 'in the page cache',
    durable: false,
  },
  {
    id: 'kafka-flush',
    title: 'Kafka, flush.messages=1',
    broker: 'kafka',
    settings: { 'log.flush.interval.messages': '1' },
    acknowledged: 'on the device',
    durable: true,
  },
]

export function modeCalled(id: string): Mode {
  const mode = MODES.find((candidate) => candidate.id === id)
  if (mode === undefined)
    throw new Error(`no mode is called '${id}': ${MODES.map((each) => each.id).join(', ')}`)
  return mode
}

/** Without a peer ours alone; a quick run leaves out what Kafka does when it promises nothing. */
export function defaultModes(peer: boolean, quick: boolean): Mode[] {
  return MODES.filter(({ id, broker }) => broker === 'samsa' || (peer && !(quick && id === 'kafka')))
}
