import type { Api, Peer, RequestContext } from '../api/requests/handler.ts'
import { heldBytesOf } from '../broker/answer-budget.ts'
import type { AnswerBudget, AnswerWaiter } from '../broker/answer-budget.ts'
import type { Broker } from '../broker/broker.ts'
import { releasePieces } from '../log/read/read-buffers.ts'
import type { ReadPiece } from '../log/read/read-buffers.ts'
import type { Address, LogFields } from '../ports.ts'
import { BYTES_PER_PRODUCE_BYTE } from './answer-sizes.ts'
import type { ArenaChunk, FrameArena } from './frame-arena.ts'
import { ELEMENT_BYTES } from './long-requests.ts'
import type { LongRequests } from './long-requests.ts'
import type { MemoryBudget } from './memory-budget.ts'

/** What connections like its own have in common. */
interface SharedBySlots {
  readonly apis: ReadonlyMap<number, Api>
  readonly arena: FrameArena
  readonly answers: AnswerBudget
  readonly longRequests: LongRequests
}

/** What a slot needs of the connection it belongs to. */
export interface SlotOwner {
  readonly broker: Broker
  readonly shared: SharedBySlots
  readonly listenerName: string
  readonly peer: Peer | null
  readonly clientAddress: Address
  readonly clientIsLocal: boolean
  readonly advertised: Address
  holdOthers(slot: RequestSlot): void
  becomesPeer(peer: Peer): void
  /** So much more is reserved for a request. */
  takesBytes(bytes: number): void
  /** So much of what was reserved for a request is not there any more. */
  letsBytesGo(bytes: number): void
  completed(slot: RequestSlot, response: unknown): void
  refused(slot: RequestSlot, reason: string): void
  requestFailed(slot: RequestSlot, error: unknown): void
}

/** One request from its arrival to its answer, in the order of arrival. It is also what its handler sees of it. */
export class RequestSlot implements RequestContext, AnswerWaiter {
  readonly api: Api
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string | null
  /** Bytes reserved from the memory budget until the answer is written, and no log holds a batch. */
  heldBytes: number
  readonly startedMs: number
  readonly #owner: SlotOwner
  /** Others of its connection begin when it is answered. */
  isAlone = false
  longestWaitMs = Infinity
  /** Those whose memory counts. */
  #elements = 0
  #answered = false
  #gone = false
  /** Where the request's bytes lie, when that can be used again. */
  chunk: ArenaChunk | null = null
  /** The handler said that nobody holds the request's bytes. */
  bytesDone = false
  /** Batches that logs hold. */
  #keptBatches = 0
  /** Set when it has ended: what its bytes go back to when logs let them go. */
  #endsWith: MemoryBudget | null = null
  #abandoned: (() => void) | null = null
  /** The answer's frame, null when there is nothing to send; undefined until there is an answer. */
  chunks: readonly ReadPiece[] | null | undefined
  /** What the handler attached, as it came, until it is in the answer that is written. */
  #attached: (readonly ReadPiece[])[] | null = null
  /** Taken from the budget of answers until the answer is written: what is attached, and what is expected. */
  #answerBytes = 0
  /** Taken from the budget of long requests until the answer is written. */
  #decodedBytes = 0
  /** Asks again, when it stands in the line of long requests. */
  #askAgain: (() => void) | null = null

  constructor(
    owner: SlotOwner,
    request: { api: Api; apiVersion: number; correlationId: number; clientId: string | null },
    frameBytes: number,
    startedMs: number,
  ) {
    this.#owner = owner
    this.api = request.api
    this.apiVersion = request.apiVersion
    this.correlationId = request.correlationId
    this.clientId = request.clientId
    this.heldBytes = frameBytes
    this.startedMs = startedMs
  }

  get broker(): Broker {
    return this.#owner.broker
  }

  get apis(): ReadonlyMap<number, Api> {
    return this.#owner.shared.apis
  }

  get clientAddress(): Address {
    return this.#owner.clientAddress
  }

  get clientIsLocal(): boolean {
    return this.#owner.clientIsLocal
  }

  get advertised(): Address {
    return this.#owner.advertised
  }

  get answers(): AnswerBudget {
    return this.#owner.shared.answers
  }

  get listenerName(): string {
    return this.#owner.listenerName
  }

  get peer(): Peer | null {
    return this.#owner.peer
  }

  becomePeer(peer: Peer): void {
    // Brokers have other budgets.
    this.#giveAnswerBytes()
    this.#owner.becomesPeer(peer)
  }

  get abandoned(): boolean {
    return this.#gone
  }

  holdOthers(): void {
    if (!this.#answered && !this.#gone) this.#owner.holdOthers(this)
  }

  parks(keptBytes = 0): void {
    if (this.#answered || this.#gone) return
    this.decoded(0)
    this.giveBack(this.#owner.shared.arena)
    const bytes = Math.max(0, this.heldBytes - keptBytes)
    this.heldBytes -= bytes
    this.#owner.letsBytesGo(bytes)
  }

  whenAbandoned(run: () => void): void {
    this.#abandoned = run
  }

  /** The connection closed. */
  abandon(): void {
    this.#gone = true
    if (!this.#answered) this.#leave()
    this.#askAgain = null
    this.#owner.shared.longRequests.leave(this)
    const attached = this.#attached
    this.#attached = null
    for (const pieces of attached ?? []) releasePieces(pieces)
    this.#giveAnswerBytes()
  }

  #leave(): void {
    try {
      this.#abandoned?.()
    } catch (error) {
      this.#owner.requestFailed(this, error)
    }
  }

  /** Its answer will take about this much. */
  expect(bytes: number): void {
    this.#answerBytes += bytes
    this.answers.take(bytes)
  }

  #giveAnswerBytes(): void {
    if (this.#answerBytes > 0) this.answers.give(this.#answerBytes)
    this.#answerBytes = 0
    this.decoded(0)
  }

  /** Decoded, it will take about this much. */
  expectDecoded(bytes: number): void {
    this.#decodedBytes = bytes
    if (bytes > 0) this.#owner.shared.longRequests.take(bytes)
  }

  /**
   * It has many elements. Of a Produce this shows that it is large for the number of its partitions, not for
   * its records: what it grows to is not in the budget yet. Calls `goOn` when there is room for that.
   */
  growsLong(goOn: () => void): void {
    const bytes = this.#decodedBytes > 0 ? 0 : this.heldBytes * BYTES_PER_PRODUCE_BYTE
    if (!this.#admitted(bytes, () => this.growsLong(goOn))) return
    if (bytes > 0) this.expectDecoded(bytes)
    goOn()
  }

  standsFor(elements: () => number, goOn: () => void): void {
    const count = elements()
    if (count > this.#elements) {
      // What it has in that line it gives back, or two of these could wait for each other.
      this.decoded(0)
      const bytes = count * ELEMENT_BYTES
      const askAgain = this.guard(() => this.standsFor(elements, goOn))
      if (!this.#admitted(bytes, askAgain)) return
      this.expectDecoded(bytes)
      this.holds(count)
    }
    goOn()
  }

  /** It keeps the memory of so many until it is answered; others may need that. */
  holds(elements: number): void {
    const bytes = (elements - this.#elements) * ELEMENT_BYTES
    this.#elements = elements
    this.longestWaitMs = this.#owner.shared.longRequests.longestWaitMs
    this.heldBytes += bytes
    this.#owner.takesBytes(bytes)
  }

  /** False: it stands in the line of long requests, and asks again when its turn comes. */
  #admitted(bytes: number, askAgain: () => void): boolean {
    const isAdmitted = this.#owner.shared.longRequests.admits(bytes)
    this.#askAgain = isAdmitted ? null : askAgain
    if (!isAdmitted) this.#owner.shared.longRequests.wait(this)
    return isAdmitted
  }

  answersAvailable(): void {
    this.#askAgain?.()
  }

  /** It takes this much, or as much as was expected. */
  decoded(bytes: number): void {
    const excessBytes = this.#decodedBytes - bytes
    if (excessBytes <= 0) return
    this.#decodedBytes = bytes
    this.#owner.shared.longRequests.give(excessBytes)
  }

  attach(pieces: readonly ReadPiece[]): void {
    if (pieces.length === 0) return
    if (this.#gone) {
      releasePieces(pieces)
      return
    }
    this.expect(heldBytesOf(pieces))
    if (this.#attached === null) this.#attached = [pieces]
    else this.#attached.push(pieces)
  }

  /** The answer is written: its pieces belong to the connection. */
  sent(): void {
    this.#attached = null
    this.#giveAnswerBytes()
  }

  releaseBytes(): void {
    this.bytesDone = true
  }

  /** It is over, or waits without them: where its bytes lie others follow, when nobody holds them. */
  giveBack(arena: FrameArena): void {
    if (this.chunk !== null && this.bytesDone) arena.giveBack(this.chunk)
    this.chunk = null
  }

  keepBytes(): void {
    this.#keptBatches += 1
  }

  letBytesGo(): void {
    this.#keptBatches -= 1
    if (this.#keptBatches > 0 || this.#endsWith === null) return
    this.#endsWith.release(this.heldBytes)
    this.#endsWith = null
  }

  /**
   * It is answered, or its connection is gone: its bytes go back to the budget as soon as no log holds them. Returns how
   * many these are.
   */
  end(budget: MemoryBudget): number {
    if (this.#keptBatches === 0) budget.release(this.heldBytes)
    else this.#endsWith = budget
    return this.heldBytes
  }

  respond(response: unknown): void {
    try {
      if (this.#answered) throw new Error(`${this.api.name} answered twice`)
      this.#answered = true
      this.#owner.completed(this, response)
    } catch (error) {
      this.fail(error)
    }
  }

  refuse(reason: string): void {
    if (this.#answered) return
    this.#answered = true
    this.#owner.refused(this, reason)
  }

  fail(error: unknown): void {
    this.#owner.requestFailed(this, error)
    this.#answered = true
  }

  guard<Args extends readonly unknown[]>(run: (...args: Args) => void): (...args: Args) => void {
    return (...args) => {
      try {
        run(...args)
      } catch (error) {
        this.fail(error)
      }
    }
  }
}

/** For errors that come up outside of any request: the one before may tell more. */
export function lastBegun(slots: readonly RequestSlot[]): LogFields {
  const slot = slots.at(-1)
  return slot === undefined
    ? {}
    : { lastApi: slot.api.name, lastVersion: slot.apiVersion, clientId: slot.clientId }
}
