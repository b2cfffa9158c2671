import { ErrorCode, errorName } from '../../protocol/errors.ts'
import { brokerHelloRequest, brokerHelloResponse } from '../../protocol/messages/1002-broker-hello.ts'
import type { BrokerHelloRequest } from '../../protocol/messages/1002-broker-hello.ts'
import type { BrokerLink } from './broker-link.ts'
import { LinkError } from './link-error.ts'

const HELLO = { request: brokerHelloRequest, response: brokerHelloResponse, version: 0 } as const

/**
 * Says who opened the connection, before anything else on it. Rejects with an 'unreachable' LinkError, the connection closed:
 * nothing else was asked.
 */
export async function sayHello(link: BrokerLink, who: BrokerHelloRequest): Promise<void> {
  try {
    const { errorCode } = await link.send(HELLO, who)
    if (errorCode !== ErrorCode.NONE)
      throw new LinkError('closed', `it does not take this broker for one: ${errorName(errorCode)}`)
  } catch (error) {
    link.close()
    if (error instanceof LinkError) throw new LinkError('unreachable', error.message, { cause: error })
    throw error
  }
}
