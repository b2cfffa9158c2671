import type { BrokerImage } from '../../metadata/image/metadata-image.ts'
import type { Address } from '../../ports.ts'
import type { RequestContext } from './handler.ts'

/** The brokers with the address the client of this connection can reach them at. */
export function reachableBrokers(
  context: RequestContext,
): { id: number; host: string; port: number; rack: string | null }[] {
  const { broker, advertised } = context
  return [...broker.metadata.brokers.values()].map(({ id, rack }) => ({
    id,
    host: advertised.host,
    port: advertised.port,
    rack,
  }))
}

/** Where the client of this connection reaches a broker; null: not by the listener that it uses. */
export function addressFor({ id, endpoints }: BrokerImage, context: RequestContext): Address | null {
  const own = id === context.broker.nodeId ? context.advertised : null
  return endpoints.get(context.listenerName) ?? own
}
