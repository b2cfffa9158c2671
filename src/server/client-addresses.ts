import type { Address } from '../ports.ts'

/** `host:port` for clients on this machine: a listener on every interface is reached by the loopback. */
export function clientAddresses(addresses: ReadonlyMap<string, Address>): string[] {
  return [...addresses.values()].map(({ host, port }) => {
    const isEvery = host === '' || host === '0.0.0.0' || host === '::'
    return formatAddress({ host: isEvery ? '127.0.0.1' : host, port })
  })
}

/** With the brackets that tell the port from an IPv6 address. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
