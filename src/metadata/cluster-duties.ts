import type { ErrorCode } from '../../protocol/errors.ts'
import type { MetadataChange, MetadataPollRequest } from '../../protocol/messages/1000-metadata-poll.ts'
import type { Proposal, ProposalAnswer, ReplicaReport } from '../core/controller/controller-types.ts'
import type { Address } from '../ports.ts'

export interface PollAnswer {
  readonly errorCode: ErrorCode
  readonly controllerEpoch: number
  readonly full: boolean
  readonly changes: readonly MetadataChange[]
}

/** One answer for each proposal, unless all are refused. */
export interface ProposalAnswers {
  readonly errorCode: ErrorCode
  readonly answers: readonly ProposalAnswer[]
}

export interface ElectionResult {
  readonly topic: string
  readonly partition: number
  readonly errorCode: ErrorCode
  readonly errorMessage: string | null
}

/** What a broker of a cluster asks of others, and they of it. Nothing here throws or rejects. */
export interface ClusterDuties {
  // ------------------------------------------------------------------------------------- what this broker wants

  /** Asks the controller for other ISRs: one error code per proposal. The new states come as metadata. */
  proposeIsrs(proposals: readonly Proposal[]): Promise<readonly ErrorCode[]>
  /** Replicas here that may lack what they had: their logs were damaged, or their directory died. */
  reportDamaged(partitions: readonly { readonly topicId: string; readonly index: number }[]): void
  /** Where other brokers reach this one for replication; null when nobody knows. */
  addressOf(brokerId: number): Address | null
  /** A broker is registered under this id and epoch: who says so knows what only brokers know. */
  isRegistered(brokerId: number, brokerEpoch: number): Promise<boolean>
  /** The process has this epoch, or had it: a leadership given to it under that is its own. */
  isOwnEpoch(brokerEpoch: number): boolean
  /** Resolves when the controller counts on this broker. */
  whenServing(): Promise<void>
  /** Has others lead what this broker leads, before it stops. Waits no longer than is worth it. */
  leave(): Promise<void>

  // --------------------------------------------------------------------- as the controller; NOT_CONTROLLER otherwise

  /** Answered when there is news, or after `maxWaitMs`. Calling the result takes the question back. */
  poll(request: MetadataPollRequest, answer: (response: PollAnswer) => void): () => void
  alterPartitions(
    sender: number,
    brokerEpoch: number,
    proposals: readonly Proposal[],
  ): Promise<ProposalAnswers>
  /** What the sender found out about its replicas. An error code. */
  replicasReported(sender: number, brokerEpoch: number, report: ReplicaReport): Promise<ErrorCode>
  /** Answered when no partition counts on the broker any more. */
  controlledShutdown(brokerId: number, brokerEpoch: number): Promise<ErrorCode>
  /** `partitions` null: all that need one. */
  electLeaders(
    type: 'preferred' | 'unclean',
    partitions: readonly { readonly topic: string; readonly index: number }[] | null,
  ): Promise<readonly ElectionResult[] | ErrorCode>
}
