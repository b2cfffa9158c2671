import type { CloseReason } from '../ports.ts'

/**
 * Why a link gave no answer. 'refused', 'unreachable': the request was never sent. All others: nobody knows whether it was
 * carried out. 'nonsense': what came back was no answer to what was asked.
 */
export type LinkFailure = 'refused' | 'unreachable' | 'closed' | 'timeout' | 'nonsense'

export class LinkError extends Error {
  readonly failure: LinkFailure

  constructor(failure: LinkFailure, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'LinkError'
    this.failure = failure
  }
}

export function linkErrorOf(reason: CloseReason): LinkError {
  switch (reason) {
    case 'refused':
      return new LinkError('refused', 'connection refused')
    case 'unreachable':
      return new LinkError('unreachable', 'cannot be reached')
    case 'reset':
      return new LinkError('closed', 'the broker reset the connection')
    case 'destroyed':
      return new LinkError('closed', 'the connection was given up')
    case 'ended':
      return new LinkError('closed', 'the broker closed the connection')
  }
}
