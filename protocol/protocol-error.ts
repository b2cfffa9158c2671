/**
 * The bytes are not what the protocol says they are. Whoever reads from a peer answers this by closing the
 * connection; the message is for the log.
 */
export class ProtocolError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'ProtocolError'
  }
}
