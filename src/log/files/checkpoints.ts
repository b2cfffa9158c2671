import { SamsaError } from '../../core/samsa-error.ts'
import type { Disk, Random } from '../../ports.ts'
import { replaceWhole, syncDirectory } from './disk-calls.ts'

/**
 * The small files of a log directory, as Apache Kafka writes and reads them.
 *
 * Each replaces its predecessor whole: temporary file, fsync, rename, fsync of the directory. At any power loss
 * either the old or the new content is there, never a mixture.
 */

export const RECOVERY_POINT_CHECKPOINT = 'recovery-point-offset-checkpoint'
export const LOG_START_OFFSET_CHECKPOINT = 'log-start-offset-checkpoint'
export const HIGH_WATERMARK_CHECKPOINT = 'replication-offset-checkpoint'
export const CLEANER_CHECKPOINT = 'cleaner-offset-checkpoint'
/** Ours: the same once more, for a start to which the other is lost. */
export const LOG_START_OFFSET_COPY = 'samsa-log-start-offset-checkpoint'
/** Ours: up to where compaction may have made gaps. */
export const GAP_CHECKPOINT = 'samsa-gap-offset-checkpoint'
export const META_PROPERTIES = 'meta.properties'
export const CLEAN_SHUTDOWN_MARKER = '.kafka_cleanshutdown'

const CHECKPOINT_VERSION = 0

export interface PartitionOffset {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

/** `topic-partition`: the name of a partition's directory, and the key of everything kept by partition. */
export function partitionName(topic: string, partition: number): string {
  return `${topic}-${partition}`
}

export function encodeOffsetCheckpoint(entries: readonly PartitionOffset[]): Buffer {
  const lines = [String(CHECKPOINT_VERSION), String(entries.length)]
  for (const { topic, partition, offset } of entries) lines.push(`${topic} ${partition} ${offset}`)
  return Buffer.from(`${lines.join('\n')}\n`)
}

/** Throws SAMSA_LOG_CORRUPT with what is wrong; `path` is for the message. */
export function decodeOffsetCheckpoint(bytes: Buffer, path: string): PartitionOffset[] {
  const lines = bytes.toString('utf8').split('\n')
  const corrupt = (problem: string): SamsaError => new SamsaError('SAMSA_LOG_CORRUPT', `${path}: ${problem}`)
  if (lines[0] !== String(CHECKPOINT_VERSION)) throw corrupt(`unknown version '${lines[0] ?? ''}'`)
  const count = Number(lines[1])
  const entries: PartitionOffset[] = []
  for (const line of lines.slice(2)) {
    if (line === '') continue
    const match = /^(\S+)\s+(\d+)\s+(-?\d+)$/.exec(line)
    const offset = Number(match?.[3])
    const partition = Number(match?.[2])
    if (match === null || !Number.isSafeInteger(offset) || partition > 0x7fff_ffff)
      throw corrupt(`malformed line '${line}'`)
    entries.push({ topic: match[1] as string, partition, offset })
  }
  if (lines[1] === '' || count !== entries.length)
    throw corrupt(`${entries.length} entries, expected '${lines[1] ?? ''}'`)
  return entries
}

/** Who a log directory belongs to. What a file does not say is null. */
export interface MetaProperties {
  /** 0: written in ZooKeeper mode (`broker.id`); 1: KRaft and we (`node.id`). */
  readonly version: number
  readonly clusterId: string | null
  readonly nodeId: number | null
  readonly directoryId: string | null
}

/** Throws SAMSA_CONFIG when the file makes no sense; `path` is for the message. */
export function decodeMetaProperties(bytes: Buffer, path: string): MetaProperties {
  const properties = parseProperties(bytes.toString('latin1'))
  const wrong = (problem: string): SamsaError => new SamsaError('SAMSA_CONFIG', `${path}: ${problem}`)
  const whole = (key: string): number | null => {
    const text = properties.get(key)
    if (text === undefined) return null
    if (!/^-?\d+$/.test(text.trim())) throw wrong(`${key}=${text} is not a number`)
    return Number(text)
  }
  const version = whole('version') ?? 0
  if (version !== 0 && version !== 1) throw wrong(`unknown version ${version}`)
  const nodeId = whole('node.id')
  const brokerId = whole('broker.id')
  if (nodeId !== null && brokerId !== null && nodeId !== brokerId)
    throw wrong(`node.id=${nodeId} and broker.id=${brokerId} differ`)
  return {
    version,
    clusterId: properties.get('cluster.id') ?? null,
    nodeId: nodeId ?? brokerId,
    directoryId: properties.get('directory.id') ?? null,
  }
}

export function encodeMetaProperties(clusterId: string, nodeId: number, directoryId: string): Buffer {
  const lines = [
    '#',
    `cluster.id=${escapeProperty(clusterId)}`,
    `directory.id=${escapeProperty(directoryId)}`,
    `node.id=${nodeId}`,
    'version=1',
  ]
  return Buffer.from(`${lines.join('\n')}\n`, 'latin1')
}

/** A directory id as KIP-858 wants it: a random UUID in 22 characters, not one of the first hundred, not '-...'. */
export function randomDirectoryId(random: Random): string {
  for (;;) {
    const bytes = random.bytes(16)
    bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40
    bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80
    const id = bytes.toString('base64url')
    if (!id.startsWith('-')) return id
  }
}

export function encodeCleanShutdownMarker(brokerEpoch: number): Buffer {
  return Buffer.from(JSON.stringify({ version: 0, brokerEpoch }))
}

/**
 * The broker epoch a clean marker carries (KIP-966); -1 when it has none. Kafka 3.7 wrote lines, later ones write JSON,
 * and before the file was empty.
 */
export function decodeCleanShutdownMarker(bytes: Buffer): number {
  const text = bytes.toString('utf8')
  const line = /^brokerEpoch:\s+(\d{1,15})\s*$/m.exec(text)
  if (line !== null) return Number(line[1])
  try {
    const marker: unknown = JSON.parse(text)
    if (typeof marker !== 'object' || marker === null || !('brokerEpoch' in marker)) return -1
    return Number.isSafeInteger(marker.brokerEpoch) ? (marker.brokerEpoch as number) : -1
  } catch {
    return -1
  }
}

/**
 * Replaces the file durably: when it resolves, content and name survive a power loss. Rejects with a DiskError; the
 * old content stays then. Two calls for one path must not overlap.
 */
export async function writeFileDurably(disk: Disk, path: string, content: Buffer): Promise<void> {
  await replaceWhole(disk, path, content, true)
  await syncDirectory(disk, directoryOf(path))
}

function directoryOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')))
}

/** Java's properties format, as far as a file written by `Properties.store` or by hand uses it. */
function parseProperties(text: string): Map<string, string> {
  const properties = new Map<string, string>()
  // A backslash at the end of a line goes on with the next one.
  for (const line of text.replace(/(?<!\\)((?:\\\\)*)\\\r?\n[ \t\f]*/g, '$1').split(/\r?\n|\r/)) {
    const trimmed = line.trimStart()
    if (trimmed === '' || trimmed.startsWith('#') || trimmed.startsWith('!')) continue
    const match = /^((?:\\.|[^\\=:\s])*)(?:\s*[=:]\s*|\s+|$)(.*)$/.exec(trimmed)
    if (match !== null)
      properties.set(unescapeProperty(match[1] ?? ''), unescapeProperty(match[2] ?? '').trimEnd())
  }
  return properties
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', f: '\f' }

function unescapeProperty(text: string): string {
  return text.replace(/\\(u[0-9a-fA-F]{4}|.)/g, (_match, escaped: string) =>
    escaped.length === 5
      ? String.fromCharCode(Number.parseInt(escaped.slice(1), 16))
      : (ESCAPES[escaped] ?? escaped),
  )
}

function escapeProperty(text: string): string {
  return text.replace(/[\\=:#!\s]/g, (character) => `\\${character}`)
}
