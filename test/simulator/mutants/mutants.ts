import type { DurabilityOptions } from '../durability/durability-run.ts'
import type { LogLifeOptions } from '../log-life/log-life-run.ts'
import type { ClusterMutant } from './cluster-mutants.ts'

/** How it ended: the seed that saw it, 0 for none. */
export interface MutantFate {
  readonly seed: number
  readonly error: string
}

export interface Change {
  readonly name: string
  /** From the root of the project. */
  readonly file: string
  /** Stands there once, in the compiled file as in the source. */
  readonly from: string
  readonly to: string
  /** The seed that saw it the last time, where it was a late one. */
  readonly firstSeed?: number
}

/** A bug that somebody might build in, the campaign that must see it, and what it takes to see it. */
export type Mutant =
  | ClusterMutant
  | (Change &
      (
        | { readonly campaign: 'logs'; readonly options?: Partial<LogLifeOptions> }
        | { readonly campaign: 'broker'; readonly options?: Partial<DurabilityOptions> }
      ))

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'retention by size deletes everything',
    campaign: 'logs',
    file: 'src/log/segment/retention.ts',
    from: 'return excess >= 0',
    to: 'return true',
  },
  {
    name: 'retention by time does not look at the time',
    campaign: 'logs',
    file: 'src/log/segment/retention.ts',
    from: 'nowMs - ageBasis(segment) > config.retentionMs',
    to: 'true',
  },
  {
    name: 'retention takes the age of the first record for that of the last',
    campaign: 'logs',
    file: 'src/log/segment/retention.ts',
    from: 'segment.largestTimestampMs >= 0 ? segment.largestTimestampMs : segment.createdMs',
    to: 'segment.firstTimestampMs',
    firstSeed: 15,
  },
  {
    name: 'a segment is gone before a power loss can no longer bring it back',
    campaign: 'logs',
    file: 'src/log/change/apply-retention.ts',
    from: 'await syncDirectory(world.disk, directory)',
    to: '',
    firstSeed: 87,
  },
  {
    name: 'a read below the log start is answered',
    campaign: 'logs',
    file: 'src/log/read/log-reader.ts',
    from: 'this.#offset < logStartOffset || this.#offset > logEndOffset',
    to: 'this.#offset > logEndOffset',
  },
  {
    name: 'what is written is acknowledged, whatever flush.messages says',
    campaign: 'logs',
    options: { mode: 'batched' },
    file: 'src/log/change/log-body.ts',
    from: 'if (unflushed < flushMessages)',
    to: 'if (true)',
  },
  {
    name: 'the end of a segment is read although nobody was told of it',
    campaign: 'logs',
    options: { mode: 'batched' },
    file: 'src/log/change/log-body.ts',
    from: 'return stretch.position',
    to: 'return segment.writtenBytes',
  },
  {
    name: 'a tombstone goes with the first compaction',
    campaign: 'logs',
    file: 'src/log/compaction/cleaner-batch.ts',
    from: 'const expired = hasHorizon &&',
    to: 'const expired = true ||',
  },
  {
    name: 'the newest record of a key goes with the older ones',
    campaign: 'logs',
    file: 'src/log/compaction/cleaner-batch.ts',
    from: 'rules.map.latest(key) > base + reader.offsetDelta',
    to: 'rules.map.latest(key) >= base + reader.offsetDelta',
  },
  {
    name: 'records of aborted transactions replace others',
    campaign: 'logs',
    file: 'src/log/compaction/cleaner.ts',
    from: 'if (batches.of(buffer, at) === null)',
    to: 'if (true)',
  },
  {
    name: 'an aborted transaction is forgotten when it began before what is read',
    campaign: 'logs',
    file: 'src/log/segment/transaction-index.ts',
    from: 'if (entry.firstOffset < toOffset)',
    to: 'if (entry.firstOffset < toOffset && entry.firstOffset >= fromOffset)',
  },
  {
    name: 'a compacted segment is not on the device when it takes the place of others',
    campaign: 'logs',
    file: 'src/log/segment/segment-replacement.ts',
    from: 'await syncFile(',
    to: 'void (',
  },
  {
    name: 'a search by time takes the first time of a segment for its largest',
    campaign: 'logs',
    file: 'src/log/read/timestamp-lookup.ts',
    from: 'segment.largestTimestampMs < ',
    to: 'segment.firstTimestampMs < ',
  },
  {
    name: 'the cache closes a file that somebody holds',
    campaign: 'logs',
    file: 'src/log/segment/segment-file.ts',
    from: 'this.#givenUp = true;\n        if (this.#holders === 0)',
    to: 'this.#givenUp = true;\n        if (true)',
  },
  {
    name: 'a deleted topic leaves its files to the next of its name',
    campaign: 'logs',
    file: 'src/log/manager/partition-removal.ts',
    from: "this.#rename(place, 'delete')",
    to: '`${place.directory.path}/nowhere`',
  },
  {
    name: 'a process without descriptors takes its disk for dead',
    campaign: 'logs',
    options: { fault: 'emfile' },
    file: 'src/log/files/disk-problem.ts',
    from: "EMFILE: 'short'",
    to: "EMFILE: 'device'",
  },
  {
    name: 'the recovery point stays above a truncation',
    campaign: 'logs',
    file: 'src/log/change/truncation.ts',
    from: 'await body.takeBackPromises(cut.keptEndOffset, cut.endOffset)',
    to: '',
    firstSeed: 19,
  },
  {
    name: 'a start inside of a segment is in no checkpoint',
    campaign: 'logs',
    file: 'src/log/directory/log-directory.ts',
    from: 'log.logStartOffset > first.baseOffset ? log.logStartOffset : -1',
    to: '-1',
  },
  {
    name: 'the files of a compacted segment go by the clock of the one it replaced',
    campaign: 'logs',
    file: 'src/log/space/segment-bin.ts',
    from: 'if (other.baseOffset !== segment.baseOffset)',
    to: 'if (true)',
    firstSeed: 131,
  },
  {
    name: 'the list of segments changes under those who read along it',
    campaign: 'logs',
    file: 'src/log/segment/segment-list.ts',
    from: '#replace(segments) {\n        this.#all = segments',
    to: '#replace(segments) {\n        this.#all.splice(0, Infinity, ...segments)',
    firstSeed: 44,
  },
]
