import { isIP } from 'node:net'

/** What of a request's head the endpoint looks at. */
export interface RequestHead {
  readonly method: string
  /** Without the query. */
  readonly path: string
  /** Without the port, in lower case; null in requests of HTTP/1.0 that name none. */
  readonly host: string | null
}

const REQUEST_LINE = /^([A-Z]{1,16}) (\S+) HTTP\/1\.([01])$/
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/
const ABSOLUTE = /^http:\/\/([^/?#]*)(.*)$/i
const AUTHORITY = /^(?:\[([0-9A-Fa-f:.%]+)\]|([^:/@[\]\s]+))(?::[0-9]{1,5})?$/

/** Where the head ends, behind its empty line; -1 when it is not all there. */
export function headEnd(received: Buffer): number {
  const at = received.indexOf('\r\n\r\n')
  return at < 0 ? -1 : at + 4
}

/** Null for what is no head of a request in HTTP/1.0 or 1.1. */
export function parseHead(head: Buffer): RequestHead | null {
  const [first = '', ...lines] = head.toString('latin1').trimEnd().split('\r\n')
  const request = REQUEST_LINE.exec(first)
  if (request === null) return null
  const hosts: string[] = []
  for (const line of lines) {
    const header = HEADER.exec(line)
    if (header === null) return null
    if (header[1]!.toLowerCase() === 'host') hosts.push(header[2]!)
  }
  // RFC 9112: exactly one in 1.1, and what an absolute target names wins.
  if (hosts.length > 1 || (hosts.length === 0 && request[3] === '1')) return null
  const absolute = ABSOLUTE.exec(request[2]!)
  const target = absolute === null ? request[2]! : absolute[2]!
  const authority = absolute === null ? hosts[0] : absolute[1]!
  const host = authority === undefined ? null : hostOf(authority)
  if (authority !== undefined && host === null) return null
  return { method: request[1]!, path: target.split(/[?#]/, 1)[0]!, host }
}

function hostOf(authority: string): string | null {
  const match = AUTHORITY.exec(authority)
  return match === null ? null : canonicalHost(match[1] ?? match[2]!)
}

function canonicalHost(host: string): string {
  return host.toLowerCase().replace(/\.$/, '')
}

/**
 * Whether a request may name this host. A page in somebody's browser can have any name point to this machine (DNS
 * rebinding), and the browser then shows it what it gets; an address it cannot forge.
 */
export function createHostCheck(names: readonly string[]): (host: string | null) => boolean {
  const allowed = new Set(['localhost', ...names.map(canonicalHost)])
  const any = allowed.has('*')
  return (host) => host === null || any || allowed.has(host) || isIP(host) !== 0
}
