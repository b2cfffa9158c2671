import { alterConfigsRequest, alterConfigsResponse } from '../../protocol/messages/33-alter-configs.ts'
import { ALTERED_RESOURCES, alterResources } from './requests/alter-resources.ts'
import { answer, defineApi } from './requests/handler.ts'

/**
 * AlterConfigs, versions 0-2.
 *
 * Behavior: the values given become the whole configuration of a topic, or the whole set of dynamic values of this
 * broker or (empty name) of all brokers; what is not given falls back to its default. Durable and in force when
 * the answer leaves. A resource that appears twice fails; of more than 10,000 none is changed, and each answers
 * POLICY_VIOLATION.
 *
 * Version notes: v2 flexible. IncrementalAlterConfigs replaces this (KIP-339).
 *
 * Not implemented: other resource types answer INVALID_REQUEST; alter.config.policy.
 */
export const alterConfigs = defineApi({
  request: alterConfigsRequest,
  response: alterConfigsResponse,
  versions: [0, 2],
  arrays: ALTERED_RESOURCES,
  handle: answer(async (request, context, refusals) => ({
    responses: await alterResources(
      request.resources,
      refusals.of(request, 'resources'),
      context,
      (resource, target) =>
        context.broker.metadata.replaceConfigs(target, resource.configs, request.validateOnly),
    ),
  })),
})
