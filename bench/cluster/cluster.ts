import type { Endpoint } from '../load/spec.ts'

/** One broker of a cluster under measurement, with whatever processes it needs by its side. */
export interface Member {
  readonly id: number
  readonly endpoint: Endpoint
  readonly dataDirectory: string
  /** Its process, and the children that belong to it. */
  pids(): readonly number[]
  /** SIGKILL, to its children as well or not: these notice by themselves. */
  kill(withChildren: boolean): Promise<void>
  /** SIGSTOP to the broker alone: it neither answers nor closes anything. */
  freeze(): void
  /** SIGCONT */
  thaw(): void
  /** SIGTERM; resolves when it has ended. */
  terminate(): Promise<void>
  /** Another process on what the last one left; resolves when it has been spawned. */
  start(): Promise<void>
  /** What it has printed. */
  printed(): Promise<string>
}

export interface Cluster {
  readonly members: readonly Member[]
  /** What the brokers need besides themselves: a ZooKeeper server. Its port, or null. */
  readonly zooKeeper: { readonly port: number; readonly pid: number } | null
  /** Who is the controller, of `seen` by a client: KRaft tells clients the name of any broker. */
  controllerId(seen: number): Promise<number>
  stop(): Promise<void>
}

export type ClusterSettings = Readonly<Record<string, string>>

/** A kind of cluster: three brokers that keep three replicas. */
export interface ClusterTarget {
  readonly name: string
  readonly description: string
  /** As long as its brokers may need to see that one of them is gone. */
  readonly patienceMs: number
  /** `settings` are for all brokers, beyond those that every cluster has. */
  start(settings: ClusterSettings): Promise<Cluster>
}

/** What both kinds are told beyond what they ship with. */
export const CLUSTER_SETTINGS: ClusterSettings = {
  'default.replication.factor': '3',
  'min.insync.replicas': '2',
  'offsets.topic.replication.factor': '3',
  'log.segment.delete.delay.ms': '1000',
}
