import type { SamsaError } from '../../core/samsa-error.ts'
import type { CleanerOptions } from '../compaction/cleaner.ts'
import type { LogConfig } from '../log-config.ts'
import type { SegmentCache } from '../log-types.ts'

export interface LogManagerOptions {
  /** Absolute paths. */
  readonly logDirs: readonly string[]
  readonly nodeId: number
  /** `num.recovery.threads.per.data.dir`. */
  readonly recoveryThreadsPerDirectory: number
  readonly retentionCheckIntervalMs: number
  /** `log.flush.offset.checkpoint.interval.ms`. */
  readonly checkpointIntervalMs: number
  readonly cleaner: CleanerOptions
  /** Below this much free space a directory takes no more records, so that it never runs into ENOSPC. */
  readonly minFreeBytes?: number
  /** `samsa.max.producers`. */
  readonly maxProducers?: number
  readonly segmentCache?: SegmentCache
  /** No directory is left: the broker has nothing to serve. */
  readonly onAllDirectoriesFailed: (error: SamsaError) => void
}

/**
 * What becomes of a partition found on the disk: the configuration to open it with; `deleted` when its topic is being
 * deleted; `stray` when it is of no topic that is known, and is set aside. `topicId` is what its `partition.metadata`
 * says, null when there is none; `directoryId` tells the log directory, whatever its path.
 */
export type Admit = (
  topic: string,
  partition: number,
  topicId: string | null,
  directoryId: string,
) => LogConfig | 'deleted' | 'stray'

/** The topic that has the id and so many partitions at least; null when none is known that does. */
export type OwnerOf = (topicId: string, partition: number) => string | null
