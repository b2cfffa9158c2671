import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { SamsaError } from '../../core/samsa-error.ts'

/**
 * Refuses a broker whose parts belong to different clusters. `ofDirectories`: null when they are new. Throws SAMSA_CONFIG or
 * SAMSA_METADATA_STORE.
 */
export function checkClusterId(config: BrokerConfig, ofDirectories: string | null, ofStore: string): void {
  const configured = config['cluster.id']
  const connect = config['zookeeper.connect']
  const store = connect === null ? 'the metadata' : `the metadata in zookeeper.connect=${connect}`
  const logs = `log.dirs=${config['log.dirs'].join(',')}: meta.properties`
  if (configured !== null && configured !== (ofDirectories ?? ofStore))
    throw new SamsaError(
      'SAMSA_CONFIG',
      ofDirectories === null
        ? `cluster.id=${configured}: ${store} is that of cluster ${ofStore}`
        : `cluster.id=${configured}: ${logs} says cluster ${ofDirectories}`,
    )
  if (ofDirectories !== null && ofDirectories !== ofStore)
    throw new SamsaError(
      'SAMSA_METADATA_STORE',
      `${logs} says cluster ${ofDirectories}, and ${store} is that of cluster ${ofStore}`,
    )
}
