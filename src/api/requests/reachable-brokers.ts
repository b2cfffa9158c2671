import type { BrokerImage } from '../../metadata/image/metadata-image.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { Address } from '../../ports.ts'
import type { RequestContext } from './handler.ts'

interface ReachableBroker {
  readonly id: number
  readonly host: string
  readonly port: number
  readonly rack: string | null
  readonly isFenced: boolean
}

/**
 * Where the client of this connection can reach a broker: this one as it did, others as their listener of the same name
 * tells. Undefined of a broker without such a listener.
 */
export function addressOf(
  { id, endpoints }: BrokerImage,
  { broker, advertised, listenerName }: RequestContext,
): Address | undefined {
  return id === broker.metadata.nodeId ? advertised : endpoints.get(listenerName)
}

/** The brokers that the client of this connection can reach. */
export function reachableBrokers(context: RequestContext, which: 'serving' | 'all'): ReachableBroker[] {
  const reachable: ReachableBroker[] = []
  for (const broker of context.broker.metadata.brokers.values()) {
    const { id, rack, fenced } = broker
    const address = fenced && which === 'serving' ? undefined : addressOf(broker, context)
    if (address === undefined) continue
    reachable.push({ id, host: address.host, port: address.port, rack, isFenced: fenced })
  }
  return reachable
}

/**
 * Whom clients shall ask for changes. Between two controllers that is this broker, as any would do: it carries on what it is
 * asked, when there is one again. Clients give up where there is none.
 */
export function controllerToAsk({ controllerId, nodeId }: Metadata): number {
  return controllerId === -1 ? nodeId : controllerId
}
