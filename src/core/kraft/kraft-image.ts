/** What the metadata log of Kafka's controllers comes to. */

export interface KraftPartition {
  /** Node ids, the preferred leader first. */
  readonly replicas: readonly number[]
  readonly isr: readonly number[]
  /** -1: none. */
  readonly leader: number
  readonly leaderEpoch: number
  /** Ids of log directories, one for each replica; empty before KIP-858. */
  readonly directories: readonly string[]
}

export interface KraftTopic {
  readonly name: string
  readonly topicId: string
  readonly partitions: ReadonlyMap<number, KraftPartition>
}

/** Kafka's numbers for what a configuration is of. */
export const KraftResource = { TOPIC: 2, BROKER: 4, CLIENT_METRICS: 16, GROUP: 32 } as const

export interface KraftQuota {
  readonly entity: readonly { readonly entityType: string; readonly entityName: string | null }[]
  readonly key: string
  readonly value: number
}

export interface KraftAcl {
  readonly id: string
  readonly resourceType: number
  readonly resourceName: string
  readonly patternType: number
  readonly principal: string
  readonly host: string
  readonly operation: number
  readonly permissionType: number
}

export interface KraftCredential {
  readonly name: string
  readonly mechanism: number
  readonly salt: Buffer
  readonly storedKey: Buffer
  readonly serverKey: Buffer
  readonly iterations: number
}

export interface KraftToken {
  readonly tokenId: string
  readonly owner: string
  readonly requester: string
  readonly renewers: readonly string[]
  readonly issueTimestamp: number
  readonly maxTimestamp: number
  readonly expirationTimestamp: number
}

const NOTHING: ReadonlyMap<string, string> = new Map()

/** Filled by `KraftReplay`. */
export class KraftImage {
  readonly topicsById = new Map<string, KraftTopic & { readonly partitions: Map<number, KraftPartition> }>()
  /** Ids of topics whose deletion the log tells of. What a snapshot summed up is not among them. */
  readonly removedTopicIds = new Set<string>()
  /** By type and name of the resource, as `configOf` looks them up. */
  readonly configs = new Map<string, ResourceConfig>()
  readonly features = new Map<string, number>()
  readonly quotas = new Map<string, KraftQuota>()
  readonly acls = new Map<string, KraftAcl>()
  readonly credentials = new Map<string, KraftCredential>()
  readonly tokens = new Map<string, KraftToken>()
  /** Those below were given out. */
  nextProducerId = 0

  topics(): Map<string, KraftTopic> {
    return new Map([...this.topicsById.values()].map((topic) => [topic.name, topic]))
  }

  configOf(resourceType: number, resourceName: string): ReadonlyMap<string, string> {
    return this.configs.get(resourceKey(resourceType, resourceName))?.values ?? NOTHING
  }
}

export interface ResourceConfig {
  readonly resourceType: number
  readonly resourceName: string
  readonly values: Map<string, string>
}

export function resourceKey(resourceType: number, resourceName: string): string {
  return `${resourceType}:${resourceName}`
}
