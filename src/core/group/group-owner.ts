import { excerpt } from '../printable.ts'

/** Of a client id that tells clients apart; they may send 32 KiB of it. */
const MAX_CLIENT_ID_LENGTH = 100

/** Who made a group, as far as a broker without passwords can tell. */
export interface GroupOwner {
  readonly clientHost: string
  readonly clientId: string
  /** Tells connections apart; 0 when it is not known. */
  readonly clientPort: number
}

/** Kept with each group, so what clients send is cut, and copied: a cut alone would keep the whole of it. */
export function groupOwner(clientHost: string, clientId: string, clientPort: number): GroupOwner {
  if (clientId.length <= MAX_CLIENT_ID_LENGTH) return { clientHost, clientId, clientPort }
  return { clientHost, clientId: Buffer.from(excerpt(clientId, MAX_CLIENT_ID_LENGTH)).toString(), clientPort }
}
