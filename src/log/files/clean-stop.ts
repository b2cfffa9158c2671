import { crc32c } from '../../../protocol/crc32c.ts'

/**
 * What was there at a clean stop, log by log: the next start finds it again, or says what is missing. Ours, and worth
 * something only beside a clean marker that we wrote: `marksInventory` tells.
 */
export const CLEAN_STOP_INVENTORY = 'samsa-clean-stop'

const FIRST_LINE = 'samsa-clean-stop 0'

/** A log as a clean stop left it. */
export interface LogAtStop {
  readonly logStartOffset: number
  readonly logEndOffset: number
  /** The oldest first; sizes of their log files. */
  readonly segments: readonly { readonly baseOffset: number; readonly sizeBytes: number }[]
}

/** `logs` by `topic-partition`. */
export function encodeCleanStop(logs: Iterable<readonly [name: string, log: LogAtStop]>): Buffer {
  const lines: string[] = []
  for (const [name, { logStartOffset, logEndOffset, segments }] of logs) {
    const sizes = segments.map(({ baseOffset, sizeBytes }) => `${baseOffset}:${sizeBytes}`)
    lines.push([name, logStartOffset, logEndOffset, ...sizes].join(' '))
  }
  const body = Buffer.from(lines.map((line) => `${line}\n`).join(''))
  return Buffer.concat([Buffer.from(`${FIRST_LINE} ${crc32c(body)}\n`), body])
}

/** Null when the file is not what was written. */
export function decodeCleanStop(bytes: Buffer): Map<string, LogAtStop> | null {
  const end = bytes.indexOf(0x0a) + 1
  const body = bytes.subarray(end)
  if (bytes.toString('latin1', 0, end) !== `${FIRST_LINE} ${crc32c(body)}\n`) return null
  const logs = new Map<string, LogAtStop>()
  for (const line of body.toString('utf8').split('\n')) {
    if (line === '') continue
    const [name, start, logEnd, ...sizes] = line.split(' ')
    const segments = sizes.map((text) => {
      const [baseOffset, sizeBytes] = text.split(':')
      return { baseOffset: Number(baseOffset), sizeBytes: Number(sizeBytes) }
    })
    logs.set(name!, { logStartOffset: Number(start), logEndOffset: Number(logEnd), segments })
  }
  return logs
}

/**
 * The clean marker of a stop that wrote an inventory: what Apache Kafka reads, with an end of line that it does not write. Its
 * own marker, after it ran in between, and those of earlier versions have none.
 */
export function markInventory(marker: Buffer): Buffer {
  return Buffer.concat([marker, Buffer.from('\n')])
}

export function marksInventory(marker: Buffer): boolean {
  return marker.at(-1) === 0x0a && marker.at(0) === 0x7b
}

/** Offsets that were there, and are not. */
export interface LostStretch {
  readonly baseOffset: number
  readonly offset: number
  readonly goesOnAt: number
}

/** `found`: where each segment that is there ends now, by base offset, and its size. */
export function lostSince(
  { logStartOffset, logEndOffset, segments }: LogAtStop,
  found: ReadonlyMap<number, { readonly nextOffset: number; readonly sizeBytes: number }>,
): LostStretch[] {
  const lost: LostStretch[] = []
  for (const [i, { baseOffset, sizeBytes }] of segments.entries()) {
    const goesOnAt = segments[i + 1]?.baseOffset ?? logEndOffset
    const now = found.get(baseOffset)
    if (goesOnAt <= logStartOffset || (now?.sizeBytes ?? 0) >= sizeBytes) continue
    const offset = Math.max(now?.nextOffset ?? baseOffset, logStartOffset)
    if (offset < goesOnAt) lost.push({ baseOffset, offset, goesOnAt })
  }
  return lost
}
