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
