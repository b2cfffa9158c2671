import type { ErrorCode } from '../../../protocol/errors.ts'
import type { ConfigChange, ConfigResource } from '../changes/config-change.ts'
import type { AlterMode } from '../changes/config-plan.ts'
import type { CreateTopicResult } from '../changes/topic-changes.ts'
import type { NewTopic } from '../changes/topic-plan.ts'
import type { ElectionResult } from '../cluster-duties.ts'
import type { Outcome } from '../layout/outcome.ts'

/** What clients want changed: the controller makes it so, every other broker asks the controller. */
export interface WantedChanges {
  /** One result per topic, in order. */
  createTopics(topics: readonly NewTopic[], validateOnly: boolean): Promise<CreateTopicResult[]>
  createPartitions(
    name: string,
    count: number,
    assignments: readonly (readonly number[])[] | null,
    validateOnly: boolean,
  ): Promise<Outcome>
  deleteTopic(name: string): Promise<Outcome>
  alterConfigs(
    resource: ConfigResource,
    changes: readonly ConfigChange[],
    mode: AlterMode,
    validateOnly: boolean,
  ): Promise<Outcome>
  /** `partitions` null: all that need an election. */
  electLeaders(
    type: 'preferred' | 'unclean',
    partitions: readonly { readonly topic: string; readonly index: number }[] | null,
  ): Promise<readonly ElectionResult[] | ErrorCode>
}
