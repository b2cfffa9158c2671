/** Which configuration a topic gets that was found on the disk. */
import { HOLD } from '../../core/config/held-config.ts'
import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { OFFSETS_TOPIC } from '../../metadata/layout/topic-names.ts'

type Values = ReadonlyMap<string, string>

/** Of a topic that nobody knows. What committed offsets are kept by does not depend on what anybody configured. */
export function heldOverrides(topic: string, broker: BrokerConfig): Values {
  if (topic !== OFFSETS_TOPIC) return HOLD
  return new Map([
    ['cleanup.policy', 'compact'],
    ['compression.type', 'producer'],
    ['segment.bytes', String(broker['offsets.topic.segment.bytes'])],
  ])
}

export function withHold(topic: string, overrides: Values): Values {
  return topic === OFFSETS_TOPIC ? overrides : new Map([...overrides, ...HOLD])
}

export function isHeld(overrides: Values | undefined): boolean {
  return [...HOLD].every(([key, value]) => overrides?.get(key) === value)
}
