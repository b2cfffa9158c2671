import type { ConfigChange, ConfigResource } from '../changes/config-change.ts'
import type { AlterMode } from '../changes/config-plan.ts'
import type { CreateTopicResult } from '../changes/topic-changes.ts'
import type { NewTopic } from '../changes/topic-plan.ts'
import type { ClusterDuties } from '../cluster-duties.ts'
import type { Outcome } from '../layout/outcome.ts'
import type { Metadata } from '../metadata.ts'

/** What clients want changed: the controller makes it so, every other broker asks the controller. */
export interface WantedChanges
  extends Pick<Metadata, 'createPartitions' | 'deleteTopic'>, Pick<ClusterDuties, 'electLeaders'> {
  /** One result per topic, in order. */
  createTopics(topics: readonly NewTopic[], validateOnly: boolean): Promise<CreateTopicResult[]>
  alterConfigs(
    resource: ConfigResource,
    changes: readonly ConfigChange[],
    mode: AlterMode,
    validateOnly: boolean,
  ): Promise<Outcome>
}
