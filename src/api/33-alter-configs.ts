import { alterConfigsRequest, alterConfigsResponse } from '../../protocol/messages/33-alter-configs.ts'
import { alterEach } from './config-resources.ts'
import { answer, defineApi } from './handler.ts'

/**
 * AlterConfigs, versions 0-2.
 *
 * Behavior: the values given become the whole configuration of a topic, or the whole set of dynamic values of this
 * broker or (empty name) of all brokers; what is not given falls back to its default. Durable and in force when
 * the answer leaves.
 *
 * Version notes: v2 flexible. IncrementalAlterConfigs replaces this (KIP-339).
 *
 * Not implemented: other resource types answer INVALID_REQUEST; alter.config.policy.
 */
export const alterConfigs = defineApi({
  request: alterConfigsRequest,
  response: alterConfigsResponse,
  versions: [0, 2],
  handle: answer(async (request, { broker }) => ({
    responses: await alterEach(request.resources, (resource, target) =>
      broker.metadata.replaceConfigs(target, resource.configs, request.validateOnly),
    ),
  })),
})
