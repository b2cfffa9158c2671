import type { Steps } from '../../../protocol/compile.ts'
import type { Decoded, Encodable, MessageSchema } from '../../../protocol/schema.ts'
import type { AnswerBudget } from '../../broker/answer-budget.ts'
import type { Broker } from '../../broker/broker.ts'
import type { RequestGuard } from '../../broker/request-guard.ts'
import type { ReadPiece } from '../../log/read/read-buffers.ts'
import type { Address } from '../../ports.ts'
import { admit, isPlain, letsAllPass, Refusals } from './array-rules.ts'
import type { AnyRules, ArrayRules } from './array-rules.ts'

/** The broker that opened a connection, as it says in its hello. */
export interface Peer {
  readonly brokerId: number
  readonly brokerEpoch: number
}

/** What a handler knows about the request besides its body. One per request, so an asynchronous handler may keep it. */
export interface RequestContext extends RequestGuard {
  readonly broker: Broker
  /** Another broker's connection, and not a client's. */
  readonly peer: Peer | null
  /** From here on the connection is another broker's. */
  becomePeer(peer: Peer): void
  /** Everything served on this connection, by key. */
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
  /** How long it may wait for what is not there yet: others need the memory that a request of very many elements keeps. */
  readonly longestWaitMs: number
  /**
   * It waits for what others send, as long as they like, and holds nothing of the request meanwhile: what was kept of it is
   * counted elsewhere, but for `keptBytes`. Its memory goes back to the budgets, or those others might never be read.
   */
  parks(keptBytes?: number): void
  /**
   * Answering takes the memory of so many elements, also where the request names few: others are remembered. It counts
   * from here on, in the line of long requests; `elements` is asked again when there is room.
   */
  standsFor(elements: () => number, goOn: () => void): void
  /** `run` is called when the client is gone before it was answered: what waits for something stops waiting. */
  whenAbandoned(run: () => void): void
  /** For pipelined APIs: requests behind this one begin when it is answered, because its work goes on in later turns. */
  holdOthers(): void
  /** These pieces will be in the answer. When it is never sent, they are released. */
  attach(pieces: readonly ReadPiece[]): void
  /**
   * No part of the broker holds views of the request any more, or will look at them: when the answer leaves, the
   * memory is used for another request. Not saying so is always safe.
   */
  releaseBytes(): void
  /**
   * A log holds a batch of the request until it has written it, which may be long after the answer, and when the client is
   * gone: the memory counts until `letBytesGo` was called as often.
   */
  keepBytes(): void
  letBytesGo(): void
  /** The protocol has no other answer than to close the connection; `reason` goes to the log. */
  refuse(reason: string): void
}

/** Call it exactly once, now or later; it never throws because of the answer. `null` sends nothing at all (Produce with acks=0). */
export type Respond<Response> = (response: Response | null) => void

/** Everybody; only other brokers; or who has not said yet that it is one. Clients are told of the first alone. */
export type Audience = 'everybody' | 'peers' | 'newcomers'

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
  readonly servedTo: Audience
  /** By the names of the request's arrays. */
  readonly arrays: AnyRules
  readonly handle: (request: unknown, context: RequestContext, respond: Respond<unknown>) => void
}

export interface ApiDefinition<Request extends MessageSchema, Response extends MessageSchema> {
  readonly request: Request
  readonly response: Response
  readonly versions: readonly [min: number, max: number]
  readonly pipelined?: boolean
  readonly servedTo?: Audience
  /** What each array of the request may ask for: enforced before `handle` sees it. */
  readonly arrays: ArrayRules<Decoded<Request>>
  readonly handle: (
    request: Decoded<Request>,
    context: RequestContext,
    respond: Respond<Encodable<Response>>,
    refusals: Refusals,
  ) => void
}

export function defineApi<Request extends MessageSchema, Response extends MessageSchema>(
  definition: ApiDefinition<Request, Response>,
): Api {
  const { request, response, versions, handle } = definition
  const arrays = definition.arrays as AnyRules
  // The table pairs each request schema with its handler, so the body decoded by that schema has the handler's type.
  const run = (body: unknown, context: RequestContext, respond: Respond<unknown>, refusals: Refusals): void =>
    handle(body as Decoded<Request>, context, respond, refusals)
  return {
    key: request.key,
    name: request.name,
    minVersion: versions[0],
    maxVersion: versions[1],
    request,
    response,
    pipelined: definition.pipelined ?? false,
    servedTo: definition.servedTo ?? 'everybody',
    arrays,
    handle: letsAllPass(arrays)
      ? (body, context, respond) => run(body, context, respond, NO_REFUSALS)
      : (body, context, respond) => {
          if (isPlain(arrays, body)) run(body, context, respond, NO_REFUSALS)
          else
            finishSteps(admit(arrays, body, context.broker), context, (refusals) =>
              run(body, context, respond, refusals),
            )
        },
  }
}

const NO_REFUSALS = new Refusals()

/** Goes on with the result when it is there, unless the client is gone by then. */
export function finishSteps<Result>(
  steps: Steps<Result>,
  context: RequestContext,
  done: (result: Result) => void,
): void {
  context.broker.slices.finish(steps, {
    gone: () => context.abandoned,
    done,
    failed: (error) => context.fail(error),
  })
}

/**
 * For handlers whose work grows with what is asked for, or with what there is: a generator that yields after each
 * element. Others get their turn in between; a client that is gone ends it.
 */
export function inSteps<Request, Response>(
  respondTo: (request: Request, context: RequestContext, refusals: Refusals) => Steps<Response>,
): (request: Request, context: RequestContext, respond: Respond<Response>, refusals: Refusals) => void {
  return (request, context, respond, refusals) =>
    finishSteps(respondTo(request, context, refusals), context, respond)
}

/** For handlers off the hot path: a function that returns its response or a promise of it. */
export function answer<Request, Response>(
  respondTo: (request: Request, context: RequestContext, refusals: Refusals) => Response | Promise<Response>,
): (request: Request, context: RequestContext, respond: Respond<Response>, refusals: Refusals) => void {
  return (request, context, respond, refusals) => {
    const response = respondTo(request, context, refusals)
    if (response instanceof Promise) {
      response.then(respond, (error: unknown) => context.fail(error))
    } else {
      respond(response)
    }
  }
}
