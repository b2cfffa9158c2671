import type { BrokerConfig } from '../core/config/broker-config.ts'
import type { TopicConfig } from '../core/config/topic-config.ts'

/** Kafka's "unlimited" is 2^63-1; a log counts with integers that are exact. */
function limit(value: number): number {
  return Math.min(value, Number.MAX_SAFE_INTEGER)
}

function levelOf(topic: TopicConfig): number | null {
  switch (topic['compression.type']) {
    case 'gzip':
      return topic['compression.gzip.level']
    case 'zstd':
      return topic['compression.zstd.level']
    default:
      return null
  }
}

/** What one partition's log runs under: the LogConfig of `src/log`, which is a room beside this one and not below it. */
export function toLogConfig(topic: TopicConfig, broker: BrokerConfig) {
  return {
    segmentBytes: topic['internal.segment.bytes'] ?? topic['segment.bytes'],
    segmentMs: limit(topic['segment.ms']),
    segmentJitterMs: limit(topic['segment.jitter.ms']),
    indexIntervalBytes: topic['index.interval.bytes'],
    segmentIndexBytes: topic['segment.index.bytes'],
    retentionMs: limit(topic['retention.ms']),
    retentionBytes: limit(topic['retention.bytes']),
    flushMessages: limit(topic['flush.messages']),
    flushMs: limit(topic['flush.ms']),
    maxMessageBytes: topic['max.message.bytes'],
    cleanupPolicy: {
      delete: topic['cleanup.policy'].includes('delete'),
      compact: topic['cleanup.policy'].includes('compact'),
    },
    messageTimestampType: topic['message.timestamp.type'],
    messageTimestampBeforeMaxMs: topic['message.timestamp.before.max.ms'],
    messageTimestampAfterMaxMs: topic['message.timestamp.after.max.ms'],
    fileDeleteDelayMs: limit(topic['file.delete.delay.ms']),
    deleteRetentionMs: limit(topic['delete.retention.ms']),
    minCompactionLagMs: limit(topic['min.compaction.lag.ms']),
    maxCompactionLagMs: limit(topic['max.compaction.lag.ms']),
    minCleanableDirtyRatio: topic['min.cleanable.dirty.ratio'],
    producerIdExpirationMs: broker['producer.id.expiration.ms'],
    compressionType: topic['compression.type'],
    compressionLevel: levelOf(topic),
  }
}
