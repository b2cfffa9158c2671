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
  stop(): Promise<void>
}

/** A kind of cluster: three brokers that keep three replicas. */
export interface ClusterTarget {
  readonly name: string
  readonly description: string
  /** As long as its brokers may need to see that one of them is gone. */
  readonly patienceMs: number
  start(): Promise<Cluster>
}

/** What both kinds are told beyond what they ship with. */
export const CLUSTER_SETTINGS: Readonly<Record<string, string>> = {
  'default.replication.factor': '3',
  'min.insync.replicas': '2',
  'offsets.topic.replication.factor': '3',
  'log.segment.delete.delay.ms': '1000',
}
