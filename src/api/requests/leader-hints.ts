import { ErrorCode } from '../../../protocol/errors.ts'
import { addressOf } from './reachable-brokers.ts'
import type { RequestContext } from './handler.ts'

export interface LeaderHint {
  readonly leaderId: number
  readonly leaderEpoch: number
}

interface NodeEndpoint {
  readonly nodeId: number
  readonly host: string
  readonly port: number
  readonly rack: string | null
}

const ANOTHER_LEADS: ReadonlySet<number> = new Set<ErrorCode>([
  ErrorCode.NOT_LEADER_OR_FOLLOWER,
  ErrorCode.FENCED_LEADER_EPOCH,
])

/** Spares clients a look at the metadata: one answer tells who leads the partitions that this broker does not (KIP-951). */
export class LeaderHints {
  /** The leaders that were named, each once. */
  readonly endpoints: NodeEndpoint[] = []
  readonly #context: RequestContext

  constructor(context: RequestContext) {
    this.#context = context
  }

  /** What to say beside an error of a partition; null: nothing. */
  of(topic: string | null, index: number, errorCode: number): LeaderHint | null {
    if (topic === null || !ANOTHER_LEADS.has(errorCode)) return null
    const { metadata } = this.#context.broker
    const image = metadata.topics.get(topic)?.partitions[index]
    // That this broker leads it has another reason: its log fails, or it begins to lead right now.
    if (image === undefined || image.leader === metadata.nodeId || !this.#names(image.leader)) return null
    return { leaderId: image.leader, leaderEpoch: image.leaderEpoch }
  }

  /** False: nobody leads it, or the client cannot reach who does. */
  #names(nodeId: number): boolean {
    if (this.endpoints.some((known) => known.nodeId === nodeId)) return true
    const broker = this.#context.broker.metadata.brokers.get(nodeId)
    const address = broker === undefined ? undefined : addressOf(broker, this.#context)
    if (broker === undefined || address === undefined) return false
    this.endpoints.push({ nodeId, host: address.host, port: address.port, rack: broker.rack })
    return true
  }
}
