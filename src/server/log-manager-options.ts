import type { BrokerConfig } from '../core/config/broker-config.ts'
import type { SamsaError } from '../core/samsa-error.ts'
import type { LogManagerOptions } from '../log/manager/log-manager-types.ts'
import { RecentSegments } from '../log/segment/segment-cache.ts'

/** What the configuration says about the log directories. `fail`: none of them is left. */
export function logManagerOptions(
  config: BrokerConfig,
  fail: (error: SamsaError) => void,
): LogManagerOptions {
  return {
    logDirs: config['log.dirs'],
    nodeId: config['broker.id'],
    recoveryThreadsPerDirectory: config['num.recovery.threads.per.data.dir'],
    retentionCheckIntervalMs: config['log.retention.check.interval.ms'],
    checkpointIntervalMs: config['log.flush.offset.checkpoint.interval.ms'],
    cleaner: {
      enabled: config['log.cleaner.enable'],
      backoffMs: config['log.cleaner.backoff.ms'],
      maxMapBytes: config['log.cleaner.dedupe.buffer.size'],
      maxBytesPerSecond: config['log.cleaner.io.max.bytes.per.second'],
    },
    minFreeBytes: config['samsa.min.free.bytes'],
    maxProducers: config['samsa.max.producers'],
    segmentCache: new RecentSegments(),
    onAllDirectoriesFailed: fail,
  }
}
