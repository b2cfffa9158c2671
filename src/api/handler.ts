import type { Steps } from '../../protocol/compile.ts'
import type { Decoded, Encodable, MessageSchema } from '../../protocol/schema.ts'
import type { AnswerBudget } from '../broker/answer-budget.ts'
import type { Broker } from '../broker/broker.ts'
import type { ReadPiece } from '../log/read/read-buffers.ts'
import type { Address } from '../ports.ts'

/** What a handler knows about the request besides its body. One per request, so an asynchronous handler may keep it. */
export interface RequestContext {
  readonly broker: Broker
  /** Everything served, by key: what ApiVersions lists. */
  readonly apis: ReadonlyMap<number, Api>
  readonly apiVersion: number
  readonly clientId: string | null
  /** The client's IP address and port. */
  readonly clientAddress: Address
  /** It connected from the address it connected to: it runs on this machine. */
  readonly clientIsLocal: boolean
  /** Where clients of this listener find this broker: `advertised.listeners`, else the address they connected to. */
  readonly advertised: Address
  readonly listenerName: string
  /** What large answers may hold. */
  readonly answers: AnswerBudget
  /** The client is gone: nobody will take the answer. */
  readonly abandoned: boolean
  /** `run` is called when the client is gone before it was answered: what waits for something stops waiting. */
  whenAbandoned(run: () => void): void
  /** These pieces will be in the answer. When it is never sent, they are released. */
  attach(pieces: readonly ReadPiece[]): void
  /**
   * No part of the broker holds views of the request any more, or will look at them: when the answer leaves, the
   * memory is used for another request. Not saying so is always safe.
   */
  releaseBytes(): void
  /** The protocol has no other answer than to close the connection; `reason` goes to the log. */
  refuse(reason: string): void
  /** The handler cannot answer (an unexpected exception): logs why and closes the connection. */
  fail(error: unknown): void
}

/** Call it exactly once, now or later. `null` sends nothing at all (Produce with acks=0). */
export type Respond<Response> = (response: Response | null) => void

/**
 * One API key: the versions served and the function that answers. `handle` must not throw for anything a client
 * can send; an exception closes the connection. Buffers in the request are views of its frame, which belongs to
 * the request: keep them as long as needed, but copy small pieces of which many are kept.
 */
export interface Api {
  readonly key: number
  readonly name: string
  readonly minVersion: number
  readonly maxVersion: number
  readonly request: MessageSchema
  readonly response: MessageSchema
  /**
   * A request may begin while earlier requests of the same connection, all of them pipelined too, still wait for
   * their answers. Others begin when every earlier request of the connection is answered, as in Kafka.
   */
  readonly pipelined: boolean
  readonly handle: (request: unknown, context: RequestContext, respond: Respond<unknown>) => void
}

export interface ApiDefinition<Request extends MessageSchema, Response extends MessageSchema> {
  readonly request: Request
  readonly response: Response
  readonly versions: readonly [min: number, max: number]
  readonly pipelined?: boolean
  readonly handle: (
    request: Decoded<Request>,
    context: RequestContext,
    respond: Respond<Encodable<Response>>,
  ) => void
}

export function defineApi<Request extends MessageSchema, Response extends MessageSchema>(
  definition: ApiDefinition<Request, Response>,
): Api {
  const { request, response, versions, handle } = definition
  return {
    key: request.key,
    name: request.name,
    minVersion: versions[0],
    maxVersion: versions[1],
    request,
    response,
    pipelined: definition.pipelined ?? false,
    // The table pairs each request schema with its handler, so the body decoded by that schema has the handler's type.
    handle: (body, context, respond) => handle(body as Decoded<Request>, context, respond),
  }
}

/**
 * For handlers whose work grows with what is asked for, or with what there is: a generator that yields after each
 * element. Others get their turn in between; a client that is gone ends it.
 */
export function inSteps<Request, Response>(
  respondTo: (request: Request, context: RequestContext) => Steps<Response>,
): (request: Request, context: RequestContext, respond: Respond<Response>) => void {
  return (request, context, respond) => {
    context.broker.slices.finish(respondTo(request, context), {
      get gone() {
        return context.abandoned
      },
      done: respond,
      failed: (error) => context.fail(error),
    })
  }
}

/** For handlers off the hot path: a function that returns its response or a promise of it. */
export function answer<Request, Response>(
  respondTo: (request: Request, context: RequestContext) => Response | Promise<Response>,
): (request: Request, context: RequestContext, respond: Respond<Response>) => void {
  return (request, context, respond) => {
    const response = respondTo(request, context)
    if (response instanceof Promise) {
      response.then(respond, (error: unknown) => context.fail(error))
    } else {
      respond(response)
    }
  }
}
