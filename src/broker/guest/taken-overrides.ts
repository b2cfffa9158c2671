/** Which configuration a topic gets that was found on the disk. */
import { normalizeTopicOverrides } from '../../core/config/topic-config.ts'
import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { OFFSETS_TOPIC } from '../../metadata/layout/topic-names.ts'

type Values = ReadonlyMap<string, string>

/**
 * Of a topic whose configuration nobody knows nothing is deleted and nothing compacted. These are settings of the topic
 * like any other, so that everybody can see them and an operator can change them.
 */
const HOLD: Values = new Map([
  ['cleanup.policy', 'delete'],
  ['retention.ms', '-1'],
  ['retention.bytes', '-1'],
])

/** How an operator ends it. */
export function waysToRelease(topic: string): string {
  const to = `kafka-configs --alter --entity-type topics --entity-name ${topic}`
  return (
    `${to} --add-config cleanup.policy=...,retention.ms=... says what holds, ` +
    `${to} --delete-config ${[...HOLD.keys()].join()} goes back to the broker's defaults`
  )
}

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

/** What Kafka knew of a topic, as far as it can be used here. `unused`: the keys of what cannot. */
export function acceptedOverrides(values: Values): { readonly overrides: Values; readonly unused: string[] } {
  const overrides = normalizeTopicOverrides(values)
  const unused = [...values.keys()].filter((key) => !overrides.has(key))
  // What decides on deletion is held where it is not understood.
  for (const key of unused) {
    const held = HOLD.get(key)
    if (held !== undefined) overrides.set(key, held)
  }
  return { overrides, unused }
}
