import { SamsaError } from '../samsa-error.ts'
import { splitList } from './definition.ts'
import { wrongSetting } from './secrets.ts'

/** One listener of the broker. */
export interface ListenerEndpoint {
  /** Upper case, as in `listeners`. */
  readonly name: string
  /** Empty: every interface. IPv6 addresses carry no brackets. */
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  readonly protocol: 'PLAINTEXT'
  /** What clients are told. Null: the address they reached; an empty host: the host they reached, with this port. */
  readonly advertised: AdvertisedAddress | null
}

export interface AdvertisedAddress {
  readonly host: string
  readonly port: number
}

/** The keys listeners are made of, as they were set. */
export interface ListenerSettings {
  readonly listeners: readonly string[]
  readonly advertisedListeners: readonly string[]
  readonly protocolMap: readonly string[]
  readonly interBrokerListenerName: string | null
  /** Listeners of Kafka's controller quorum: named in many compose files, not opened here. */
  readonly controllerListenerNames: readonly string[]
}

interface NamedAddress {
  readonly name: string
  readonly host: string
  readonly port: number
}

const LISTENER = /^([A-Za-z0-9_-]+):\/\/(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([^:/[\]\s]*)):([0-9]{1,5})$/

function fail(key: string, value: string, allowed: string): never {
  throw new SamsaError('SAMSA_CONFIG', wrongSetting(key, value, '', allowed))
}

function parseAddress(key: string, text: string): NamedAddress {
  const match = LISTENER.exec(text)
  const port = Number(match?.[4])
  if (match === null || port > 65_535)
    return fail(
      key,
      text,
      'must be NAME://host:port with a port from 0 to 65535, for example PLAINTEXT://127.0.0.1:9092',
    )
  return { name: match[1]!.toUpperCase(), host: match[2] ?? match[3] ?? '', port }
}

function parseProtocolMap(entries: readonly string[]): Map<string, string> {
  const protocols = new Map<string, string>()
  for (const entry of entries) {
    const [name, protocol, ...rest] = entry.split(':').map((part) => part.trim().toUpperCase())
    if (!name || !protocol || rest.length > 0)
      fail('listener.security.protocol.map', entry, 'must be NAME:PROTOCOL, for example INTERNAL:PLAINTEXT')
    protocols.set(name, protocol)
  }
  return protocols
}

function protocolOf(name: string, protocols: ReadonlyMap<string, string>): 'PLAINTEXT' {
  const protocol = protocols.get(name)
  if (protocol === 'PLAINTEXT') return protocol
  if (protocol === undefined)
    return fail('listeners', name, 'has no protocol; add NAME:PLAINTEXT to listener.security.protocol.map')
  const allowed = 'must be PLAINTEXT; TLS and SASL do not work in this version'
  // By default every protocol is a name of its own.
  if (name === protocol) return fail('listeners', `${name}://`, allowed)
  return fail('listener.security.protocol.map', `${name}:${protocol}`, allowed)
}

function checkDistinct(addresses: readonly NamedAddress[]): void {
  const seen = new Set<string>()
  for (const { name, host, port } of addresses) {
    if (seen.has(name)) fail('listeners', name, 'every listener needs a name of its own')
    if (port !== 0 && seen.has(`${host}:${port}`))
      fail('listeners', `${name}://${host}:${port}`, 'another listener has the same address')
    seen.add(name).add(`${host}:${port}`)
  }
}

function checkAdvertised(address: NamedAddress, names: readonly string[]): void {
  const text = `${address.name}://${address.host}:${address.port}`
  if (!names.includes(address.name))
    fail('advertised.listeners', text, `must name a listener; there are ${names.join(', ')}`)
  if (address.host === '0.0.0.0' || address.host === '::')
    fail('advertised.listeners', text, 'must be an address that clients can connect to')
}

/** Throws SAMSA_CONFIG. `ignored` names the controller listeners that were left out. */
export function parseListeners(settings: ListenerSettings): {
  readonly endpoints: readonly ListenerEndpoint[]
  readonly ignored: readonly string[]
} {
  const protocols = parseProtocolMap(settings.protocolMap)
  const controllers = new Set(settings.controllerListenerNames.map((name) => name.toUpperCase()))
  const all = settings.listeners.map((text) => parseAddress('listeners', text))
  const ours = all.filter(({ name }) => !controllers.has(name))
  if (ours.length === 0)
    fail(
      'listeners',
      settings.listeners.join(','),
      'must hold a listener for clients, not only controller listeners',
    )
  checkDistinct(ours)
  const names = ours.map(({ name }) => name)
  const advertised = new Map<string, AdvertisedAddress>()
  for (const text of settings.advertisedListeners) {
    const address = parseAddress('advertised.listeners', text)
    if (controllers.has(address.name)) continue
    checkAdvertised(address, names)
    advertised.set(address.name, { host: address.host, port: address.port })
  }
  const interBroker = settings.interBrokerListenerName?.toUpperCase()
  if (interBroker !== undefined && !names.includes(interBroker))
    fail('inter.broker.listener.name', interBroker, `must name a listener; there are ${names.join(', ')}`)
  return {
    endpoints: ours.map(({ name, host, port }) => ({
      name,
      host,
      port,
      protocol: protocolOf(name, protocols),
      advertised: advertised.get(name) ?? null,
    })),
    ignored: all.filter(({ name }) => controllers.has(name)).map(({ name }) => name),
  }
}

const HOST_PORT = /^(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([^:/[\]\s]*)):([0-9]{1,5})$/

/** Reads `host:port`; null when empty. Throws SAMSA_CONFIG. */
export function parseHostPort(key: string, text: string, example: string): AdvertisedAddress | null {
  if (text === '') return null
  const match = HOST_PORT.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535)
    return fail(key, text, `must be host:port with a port from 0 to 65535, for example ${example}`)
  return { host: match[1] ?? match[2] ?? '', port }
}

/** Reads max.connections.per.ip.overrides: `address:count`. Throws SAMSA_CONFIG. */
export function parseConnectionOverrides(text: string): ReadonlyMap<string, number> {
  const overrides = new Map<string, number>()
  for (const entry of splitList(text)) {
    const colon = entry.lastIndexOf(':')
    const count = entry.slice(colon + 1)
    if (colon <= 0 || !/^[0-9]{1,9}$/.test(count))
      fail('max.connections.per.ip.overrides', entry, 'must be address:count, for example 10.0.0.7:500')
    overrides.set(entry.slice(0, colon).replace(/^\[|\]$/g, ''), Number(count))
  }
  return overrides
}
