import { codeOf } from './is-error.ts'
import { SamsaError } from './samsa-error.ts'

interface Place {
  readonly host: string
  readonly port: number
}

/** A port that cannot be opened. `who` wanted it, `setting` and an address choose another one. */
export function listenFailure(who: string, place: Place, setting: string, error: unknown): SamsaError {
  const where = `${who} cannot listen on ${addressOf(place) || '*'}:${place.port}`
  return new SamsaError('SAMSA_LISTEN', `${where}: ${reasonOf(codeOf(error), place, setting)}`, error)
}

function reasonOf(code: string, place: Place, setting: string): string {
  switch (code) {
    case 'EADDRINUSE':
      return `the port is in use. Stop what uses it, or choose another one, for example ${setting}${addressOf(place)}:${neighbour(place.port)}`
    case 'EACCES':
      return 'not permitted. Ports below 1024 need privileges'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'there is no host of that name'
    case 'EADDRNOTAVAIL':
      return 'this machine does not have that address'
    default:
      return code
  }
}

function addressOf({ host }: Place): string {
  return host.includes(':') ? `[${host}]` : host
}

function neighbour(port: number): number {
  return port < 65_535 ? port + 1 : port - 1
}
