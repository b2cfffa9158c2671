import type { BatchShape, Compression } from './load/spec.ts'

/** Where a target of the table lies: as ratio to the peer, or the figure itself. */
export interface Reach {
  readonly bound: 'at least' | 'at most'
  readonly ratio: number
  readonly of: 'peer' | 'itself'
}

export interface RowBase {
  readonly id: string
  readonly title: string
  /** Part of a `--quick` run. */
  readonly quick: boolean
  readonly reach: Reach | null
}

export interface ProduceRow extends RowBase {
  readonly kind: 'produce'
  readonly partitions: number
  readonly batch: BatchShape
  readonly connections: number
  readonly inFlight: number
  /** `flush.messages=1`: acknowledged when the device has it. */
  readonly durable: boolean
  readonly figure: 'rate' | 'p50'
}

export interface FetchRow extends RowBase {
  readonly kind: 'fetch'
  readonly partitions: number
  readonly batch: BatchShape
  /** How many batches one answer holds: the request asks for exactly their bytes. */
  readonly batchesPerFetch: number
  readonly connections: number
  readonly inFlight: number
  /** Record bytes laid into the topic before, over all partitions. */
  readonly fillBytes: number
  /** Read once, after the page cache was emptied. */
  readonly cold: boolean
  /** Whether Samsa may use its native addon. */
  readonly addon: boolean
}

/** Open-loop produce, alone and while a consumer reads what is not in memory. */
export interface BesideRow extends RowBase {
  readonly kind: 'beside'
  readonly figure: 'alone' | 'beside' | 'growth'
}

/** A broker of its own with many partitions: under load, and started again after it was killed. */
export interface CrashRow extends RowBase {
  readonly kind: 'crash'
  readonly figure: 'memory' | 'start'
  readonly partitions: number
}

export interface EndToEndRow extends RowBase {
  readonly kind: 'e2e'
  readonly partitions: number
  readonly valueBytes: number
  readonly perSecond: number
  readonly connections: number
  /** Which percentile of the same measurement this row shows. */
  readonly percentile: 'p50' | 'p99'
}

export interface FreshRow extends RowBase {
  readonly kind: 'fresh'
  readonly partitions: number
  readonly batch: BatchShape
}

export interface StartRow extends RowBase {
  readonly kind: 'start' | 'embedded-start'
}

export interface MemoryRow extends RowBase {
  readonly kind: 'memory'
  readonly moment: 'idle' | 'loaded'
}

export type Row = ProduceRow | FetchRow | EndToEndRow | FreshRow | StartRow | MemoryRow | BesideRow | CrashRow

/** Records of 1 KB: 1,000 bytes of value. */
const SIZES = {
  '1k': { batch: { records: 1, valueBytes: 1_000 }, fillBytes: 64e6 },
  '16k': { batch: { records: 16, valueBytes: 1_000 }, fillBytes: 256e6 },
  '128k': { batch: { records: 128, valueBytes: 1_000 }, fillBytes: 512e6 },
} as const

type Size = keyof typeof SIZES

const atLeast = (ratio: number): Reach => ({ bound: 'at least', ratio, of: 'peer' })
const atMost = (ratio: number): Reach => ({ bound: 'at most', ratio, of: 'peer' })

function produce(partitions: number, size: Size, more: Partial<ProduceRow> = {}): ProduceRow {
  const durable = more.durable ?? false
  return {
    kind: 'produce',
    id: `produce-${partitions}p-${size}${durable ? '-flush' : ''}`,
    title: `produce ${plural(partitions)}, ${size === '1k' ? '1 KB record' : `${size.slice(0, -1)} KiB batches`}${durable ? ', flush.messages=1' : ''}`,
    quick: false,
    reach: null,
    partitions,
    batch: SIZES[size].batch,
    connections: 16,
    inFlight: 5,
    durable,
    figure: 'rate',
    ...more,
  }
}

/** Batches of JSON, compressed by the producer: sizes are those before. */
function compressed(compression: Compression, size: Exclude<Size, '1k'>, quick: boolean): ProduceRow {
  const kib = size.slice(0, -1)
  return produce(16, size, {
    id: `produce-16p-${size}-${compression}`,
    title: `produce 16 partitions, ${kib} KiB of JSON as ${compression}`,
    batch: { ...SIZES[size].batch, compression },
    quick,
    reach: atLeast(1),
  })
}

/** Many producers: 64 connections with four requests in flight each. */
function crowd(partitions: number, more: Partial<ProduceRow>): ProduceRow {
  const row = produce(partitions, '16k', { durable: true, connections: 64, inFlight: 4, ...more })
  return { ...row, title: `${row.title}, 64 connections x 4` }
}

function fetch(partitions: number, size: Size | '1m', quick = false, more: Partial<FetchRow> = {}): FetchRow {
  const big = size === '1m'
  const { batch, fillBytes } = SIZES[big ? '128k' : size]
  return {
    kind: 'fetch',
    id: `fetch-${partitions}p-${size}`,
    title: `fetch ${plural(partitions)}, cached, ${big ? '1 MiB, 4 connections' : `${size.slice(0, -1)} KiB`}`,
    quick,
    reach: null,
    partitions,
    batch,
    batchesPerFetch: big ? 8 : 1,
    connections: big ? 4 : 16,
    inFlight: big ? 1 : 5,
    fillBytes,
    cold: false,
    addon: true,
    ...more,
  }
}

/** More than a broker keeps in its own memory; read once. */
const COLD_BYTES = 3e9

function beside(figure: BesideRow['figure'], title: string, reach: Reach | null): BesideRow {
  return { kind: 'beside', id: `produce-cold-${figure}`, title, quick: false, reach, figure }
}

function crash(figure: CrashRow['figure'], id: string, title: string, reach: Reach): CrashRow {
  return { kind: 'crash', id, title, quick: false, reach, figure, partitions: 5_000 }
}

function plural(partitions: number): string {
  return partitions === 1 ? '1 partition' : `${partitions.toLocaleString('en')} partitions`
}

function endToEnd(percentile: 'p50' | 'p99'): EndToEndRow {
  return {
    kind: 'e2e',
    id: `e2e-2000-${percentile}`,
    title: `end to end, 1 KB at 2,000/s, ${percentile}`,
    quick: true,
    reach: atMost(1),
    partitions: 16,
    valueBytes: 1_000,
    perSecond: 2_000,
    connections: 16,
    percentile,
  }
}

/** Every row, in the order of the table. The order of work is the runner's. */
export const ROWS: readonly Row[] = [
  {
    kind: 'start',
    id: 'start',
    title: 'process start to first Produce',
    quick: true,
    reach: atMost(0.1),
  },
  {
    kind: 'embedded-start',
    id: 'embedded-start',
    title: 'Broker.start() in a process',
    quick: true,
    reach: null,
  },
  { kind: 'memory', moment: 'idle', id: 'rss-idle', title: 'RSS, idle', quick: true, reach: atMost(0.25) },
  produce(16, '16k', { quick: true, reach: atLeast(2) }),
  produce(16, '128k', { quick: true, reach: atLeast(1.5) }),
  produce(16, '1k', {
    id: 'produce-100c-1k',
    title: 'produce 16 partitions, 1 KB record, 100 connections x 1',
    connections: 100,
    inFlight: 1,
    quick: true,
    reach: atLeast(1.2),
  }),
  {
    kind: 'fresh',
    id: 'fresh-1000p-16k',
    title: '1,000 fresh partitions until each has a 16 KiB batch',
    quick: true,
    reach: atMost(0.1),
    partitions: 1_000,
    batch: SIZES['16k'].batch,
  },
  fetch(16, '1m', true, { reach: atLeast(1) }),
  fetch(16, '1m', true, {
    id: 'fetch-16p-1m-plain',
    title: 'same, Samsa without its addon',
    addon: false,
    reach: atLeast(0.5),
  }),
  fetch(16, '1m', false, {
    id: 'fetch-16p-1m-cold',
    title: 'fetch 16 partitions, cold, 1 MiB, 4 connections',
    cold: true,
    fillBytes: COLD_BYTES,
    reach: atLeast(1),
  }),
  beside('alone', 'produce 2,000/s of 16 KiB, p99', null),
  beside('beside', 'same while a consumer reads cold data, p99', null),
  beside('growth', 'how much that raises it', { bound: 'at most', ratio: 2, of: 'itself' }),
  endToEnd('p50'),
  endToEnd('p99'),
  ...(['gzip', 'snappy', 'lz4', 'zstd'] as const).flatMap((codec) => [
    compressed(codec, '16k', true),
    compressed(codec, '128k', false),
  ]),
  produce(1, '1k'),
  produce(1, '16k', { quick: true }),
  produce(1, '128k'),
  produce(16, '1k'),
  produce(1_000, '1k'),
  produce(1_000, '16k', { quick: true, reach: atLeast(2) }),
  produce(1_000, '128k'),
  produce(1, '1k', { durable: true }),
  produce(1, '16k', {
    id: 'produce-1p-16k-flush-1',
    title: 'produce 1 partition, 16 KiB, flush.messages=1, one in flight, p50',
    durable: true,
    connections: 1,
    inFlight: 1,
    figure: 'p50',
    quick: true,
    reach: atMost(0.5),
  }),
  produce(1, '16k', { durable: true, quick: true, reach: atLeast(10) }),
  produce(1, '128k', { durable: true }),
  produce(16, '1k', { durable: true }),
  produce(16, '16k', { durable: true, quick: true }),
  produce(16, '128k', { durable: true }),
  produce(1_000, '1k', { durable: true }),
  crowd(100, { quick: true, reach: atLeast(10) }),
  crowd(1_000, { reach: atLeast(10) }),
  produce(1_000, '128k', { durable: true }),
  fetch(1, '1k'),
  fetch(1, '16k', true),
  fetch(1, '128k'),
  fetch(16, '1k'),
  fetch(16, '16k'),
  fetch(16, '128k'),
  fetch(1_000, '1k'),
  fetch(1_000, '16k', true),
  fetch(1_000, '128k'),
  {
    kind: 'memory',
    moment: 'loaded',
    id: 'rss-loaded',
    title: 'RSS, after the load rows',
    quick: true,
    reach: atMost(0.35),
  },
  crash('memory', 'rss-5000p', 'RSS, 5,000 partitions under load', atMost(0.3)),
  crash('start', 'start-5000p-killed', 'start with 5,000 partitions after kill -9', atMost(0.25)),
]

/** `names` are ids or prefixes of ids that end with `*`. Throws on a name that selects nothing. */
export function selectRows<R extends RowBase>(
  all: readonly R[],
  names: readonly string[] | null,
  quick: boolean,
): readonly R[] {
  if (names === null) return quick ? all.filter((row) => row.quick) : all
  const matches = (row: R, name: string): boolean =>
    name.endsWith('*') ? row.id.startsWith(name.slice(0, -1)) : row.id === name
  for (const name of names) {
    if (!all.some((row) => matches(row, name))) throw new Error(`no row is called '${name}'`)
  }
  return all.filter((row) => names.some((name) => matches(row, name)))
}
