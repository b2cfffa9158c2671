import type { Address } from '../ports.ts'

/** `host:port` of each listener, for clients on this machine. */
export function clientAddresses(addresses: ReadonlyMap<string, Address>): string[] {
  return [...addresses.values()].map((address) => formatAddress(fromHere(address)))
}

/** A listener on every interface is reached by the loopback. */
export function fromHere({ host, port }: Address): Address {
  return { host: host === '' || host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host, port }
}

/** With the brackets that tell the port from an IPv6 address. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
