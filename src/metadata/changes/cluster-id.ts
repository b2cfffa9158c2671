import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { SamsaError } from '../../core/samsa-error.ts'

/**
 * Refuses a broker whose parts belong to different clusters. `ofDirectories`: null when they are new. Throws SAMSA_CONFIG or
 * SAMSA_METADATA_STORE.
 */
export function checkClusterId(config: BrokerConfig, ofDirectories: string | null, ofStore: string): void {
  const configured = config['cluster.id']
  if (configured !== null && configured !== (ofDirectories ?? ofStore))
    throw new SamsaError(
      'SAMSA_CONFIG',
      `cluster.id=${configured}: invalid, what lies here belongs to cluster ${ofDirectories ?? ofStore}`,
    )
  if (ofDirectories !== null && ofDirectories !== ofStore)
    throw new SamsaError(
      'SAMSA_METADATA_STORE',
      `the log directories belong to cluster ${ofDirectories}, the metadata to cluster ${ofStore}`,
    )
}
