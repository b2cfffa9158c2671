import type { Logger } from '../../ports.ts'
import type { KeyedQueue } from '../image/keyed-queue.ts'
import { failureOutcome } from '../layout/outcome.ts'
import type { Outcome } from '../layout/outcome.ts'
import type { ConfigResource } from './config-change.ts'
import { topicKey } from './topic-changes.ts'

/** One change of a configuration after the other: those of a topic among its other changes. What fails is told. */
export function alterInTurn(
  queue: KeyedQueue,
  logger: Logger,
  resource: ConfigResource,
  alter: () => Promise<Outcome>,
): Promise<Outcome> {
  const work = async (): Promise<Outcome> => {
    try {
      return await alter()
    } catch (error) {
      logger.error({ error, resource }, 'a configuration could not be changed')
      return failureOutcome(error)
    }
  }
  return queue.run(resource.kind === 'topic' ? topicKey(resource.name) : 'brokers', work)
}
