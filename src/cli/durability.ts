import type { BrokerConfig } from '../core/config/broker-config.ts'

export type FlushMode = 'os' | 'interval' | 'durable'

export interface DurabilityPromise {
  readonly mode: FlushMode
  /** What the mode means for acknowledged records on this one broker. */
  readonly promise: string
}

type FlushSettings = Pick<
  BrokerConfig,
  'log.flush.interval.messages' | 'log.flush.interval.ms' | 'log.flush.scheduler.interval.ms'
>

/** What the flush settings of the broker promise. Topics may have others (flush.messages, flush.ms). */
export function durabilityOf(config: FlushSettings): DurabilityPromise {
  const messages = config['log.flush.interval.messages']
  const ms = config['log.flush.interval.ms'] ?? config['log.flush.scheduler.interval.ms']
  if (messages <= 1) {
    return {
      mode: 'durable',
      promise:
        'no acknowledged record is lost by kill -9 or by power loss: the device has it before the answer',
    }
  }
  const limits = [
    ...(messages < Number.MAX_SAFE_INTEGER ? [`${messages} records of a partition`] : []),
    ...(ms < Number.MAX_SAFE_INTEGER ? [`${ms} ms`] : []),
  ]
  if (limits.length > 0) {
    return {
      mode: 'interval',
      promise: `no acknowledged record is lost by kill -9; a power loss may take at most the last ${limits.join(' or ')}`,
    }
  }
  return {
    mode: 'os',
    promise:
      'no acknowledged record is lost by kill -9; a power loss may take the tail that the system had not written ' +
      'yet, and every log is still a valid prefix (flush.messages=1 waits for the device)',
  }
}
