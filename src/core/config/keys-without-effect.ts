/**
 * Keys of Kafka that are accepted and change nothing here, so that an existing `server.properties` or compose file
 * starts unchanged. Whoever sets one is told so, with the reason. A key is either in this table or among those that the
 * broker reads (`broker-config`); a test looks for the place in the code where each of the latter is read.
 */
import type { ConfigDefinition } from './definition.ts'
import {
  quorumKeys,
  replicationKeys,
  socketKeys,
  threadKeys,
  tuningKeys,
} from './without-effect/cluster-keys.ts'
import {
  groupProtocolKeys,
  pluginKeys,
  quotaKeys,
  remoteStorageKeys,
  transactionKeys,
} from './without-effect/feature-keys.ts'
import { retiredReason } from './without-effect/retired-keys.ts'
import { securityKeys } from './without-effect/security-keys.ts'

/** Those of Kafka 4.3 with their types, defaults and rules. The sentence about each is why it has no effect. */
export const withoutEffectTable = {
  ...quorumKeys,
  ...replicationKeys,
  ...threadKeys,
  ...socketKeys,
  ...tuningKeys,
  ...transactionKeys,
  ...groupProtocolKeys,
  ...remoteStorageKeys,
  ...quotaKeys,
  ...pluginKeys,
  ...securityKeys,
} as const

export type KeyWithoutEffect = keyof typeof withoutEffectTable

export function definitionWithoutEffect(key: string): ConfigDefinition<unknown> | undefined {
  return Object.hasOwn(withoutEffectTable, key) ? withoutEffectTable[key as KeyWithoutEffect] : undefined
}

/** Why a key of Kafka, of today or of earlier releases, has no effect; undefined when it has one, or is not Kafka's. */
export function reasonWithoutEffect(key: string): string | undefined {
  return definitionWithoutEffect(key)?.doc ?? retiredReason(key)
}

/** Settings of TLS and SASL, also those of one listener. Nobody may set one at run time and believe that it holds. */
export function isSecurityKey(key: string): boolean {
  const base = /^listener\.name\.[^.]*\.(.*)$/.exec(key)?.[1] ?? key
  return /(?:^|\.)(?:ssl|sasl)\./.test(base) || Object.hasOwn(securityKeys, base)
}
