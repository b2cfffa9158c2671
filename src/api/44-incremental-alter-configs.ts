import { ErrorCode } from '../../protocol/errors.ts'
import {
  incrementalAlterConfigsRequest,
  incrementalAlterConfigsResponse,
} from '../../protocol/messages/44-incremental-alter-configs.ts'
import type { ConfigChange } from '../metadata/changes/config-change.ts'
import { refused } from '../metadata/layout/outcome.ts'
import { ALTERED_RESOURCES, alterResources } from './requests/alter-resources.ts'
import { answer, defineApi } from './requests/handler.ts'

/** By their numbers on the wire. */
const OPERATIONS: readonly ConfigChange['operation'][] = ['set', 'delete', 'append', 'subtract']

/**
 * IncrementalAlterConfigs, versions 0-1.
 *
 * Behavior: SET, DELETE (back to the default), APPEND and SUBTRACT (lists only) on the overrides of a topic, or on
 * the dynamic values of this broker or (empty name) of all brokers. All changes of a resource happen or none.
 * Durable and in force when the answer leaves. A resource that appears twice fails; of more than 10,000 none is
 * changed, and each answers POLICY_VIOLATION.
 *
 * Version notes: v1 flexible (KIP-339).
 *
 * Not implemented: other resource types answer INVALID_REQUEST; alter.config.policy.
 */
export const incrementalAlterConfigs = defineApi({
  request: incrementalAlterConfigsRequest,
  response: incrementalAlterConfigsResponse,
  versions: [0, 1],
  arrays: ALTERED_RESOURCES,
  handle: answer(async (request, context, refusals) => ({
    responses: await alterResources(
      request.resources,
      refusals.of(request, 'resources'),
      context,
      async (resource, target) => {
        const changes: ConfigChange[] = []
        for (const { name, configOperation, value } of resource.configs) {
          const operation = OPERATIONS[configOperation]
          if (operation === undefined)
            return refused(
              ErrorCode.INVALID_REQUEST,
              `Unknown operation ${configOperation} for configuration ${name}.`,
            )
          changes.push({ name, operation, value })
        }
        return context.broker.metadata.incrementalAlterConfigs(target, changes, request.validateOnly)
      },
    ),
  })),
})
