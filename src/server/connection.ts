import { SIZE_BYTES } from '../../protocol/frame.ts'
import { ApiKey, apiName } from '../../protocol/keys.ts'
import { ProtocolError } from '../../protocol/protocol-error.ts'
import { Reader } from '../../protocol/reader.ts'
import type { Peer } from '../api/requests/handler.ts'
import type { AnswerWaiter } from '../broker/answer-budget.ts'
import type { Broker } from '../broker/broker.ts'
import type { ReadPiece } from '../log/read/read-buffers.ts'
import type { Address, CloseReason, Connection, LogFields, Logger, Receiver } from '../ports.ts'
import { decodedBytesOf } from './answer-sizes.ts'
import {
  decodeBody,
  decodeBodyInSteps,
  decodeHeader,
  describeFrame,
  encodeResponse,
  encodeResponseInSteps,
  encodeUnsupportedApiVersions,
  isLongAnswer,
  isLongRequest,
  isOutOfRange,
  isTooLarge,
  MAX_HELLO_BYTES,
} from './codec.ts'
import type { RequestHeader } from './codec.ts'
import type { ArenaChunk } from './frame-arena.ts'
import { FrameAssembler } from './frame-assembler.ts'
import { HeldBytes } from './held-bytes.ts'
import { ELEMENT_BYTES, LONG_REQUEST_WAIT_MS, MANY_ELEMENTS } from './long-requests.ts'
import type { BudgetWaiter } from './memory-budget.ts'
import { PAUSED_FOR_BUDGET, PAUSED_FOR_ORDER, Reading } from './reading.ts'
import { lastBegun, RequestSlot, type SlotOwner } from './request-slot.ts'
import { requestTimeoutMs, whoIs } from './server-shared.ts'
import type { ConnectionLimits, ServerShared } from './server-shared.ts'
import { UnreadAnswers } from './unread-answers.ts'

/** Requests of one connection begun in one turn; the rest waits for the next, so that others get their turn. */
const MAX_BEGUN_PER_TURN = 256
const API_KEY_END = SIZE_BYTES + 2
/** Held requests of a connection that is still read from. */
const READ_AHEAD_BYTES = 16 * 1024

/** The rest of a frame usually comes at once. */
const LINGERING_MS = 500

/**
 * One connection of a client, or of another broker: bytes to frames, frames to requests, answers back in the order of the requests.
 *
 * Produce requests are pipelined. Every other request begins when all earlier ones are answered, as in Kafka, where
 * a connection has one request in work at a time. What cannot begin yet is held as bytes and reading stops, so a
 * client that sends without reading costs a bounded amount of memory.
 */
export class ClientConnection implements Receiver, BudgetWaiter, AnswerWaiter, SlotOwner {
  readonly broker: Broker
  readonly listenerName: string
  readonly clientAddress: Address
  readonly clientIsLocal: boolean
  readonly advertised: Address
  peer: Peer | null = null
  /** Of clients, until it turns out that another broker is at the other end. */
  #shared: ServerShared
  #limits: ConnectionLimits
  readonly #onClosed: (reason: CloseReason) => void
  readonly #connection: Connection
  readonly #logger: Logger
  readonly #assembler: FrameAssembler
  /** Requests in work, oldest first. Invariant: answered slots at the head are written and removed at once. */
  readonly #slots: RequestSlot[] = []
  #unpipelined = 0
  readonly #held = new HeldBytes()
  readonly #reading: Reading
  #reservedBytes = 0
  /** Of these, what the budget had no room for. */
  refusedBytes = 0
  #begunThisTurn = 0
  #parsing = false
  #closed = false
  /** A frame could not be read. */
  #refused = false
  lastActiveMs: number
  /** When the first byte of an incomplete frame came; Infinity without one. */
  #partialSinceMs = Infinity
  #unread: UnreadAnswers
  /** Until the first request tells. */
  #isNew = true
  #saidHello = false

  get shared(): ServerShared {
    return this.#shared
  }

  constructor(
    shared: ServerShared,
    connection: Connection,
    listener: { readonly name: string; readonly advertised: Address },
    onClosed: (reason: CloseReason) => void,
  ) {
    this.#shared = shared
    this.#limits = shared.limits
    this.#onClosed = onClosed
    this.#connection = connection
    this.#reading = new Reading(connection)
    this.#assembler = new FrameAssembler(shared.arena)
    this.#unread = new UnreadAnswers(connection, shared.answers)
    this.#logger = shared.logger
    this.broker = shared.broker
    this.listenerName = listener.name
    this.clientAddress = connection.remote
    this.clientIsLocal = connection.remote.host === connection.local.host
    this.advertised = listener.advertised
    this.lastActiveMs = shared.clock.monotonicMs()
  }

  /** No request in work and none held back. */
  get idle(): boolean {
    return this.#slots.length === 0 && !this.#held.any
  }

  /**
   * Closes the connection when one of its deadlines has passed; called about once a second. `patienceMs`: how long a
   * client may read its answers more slowly than it should.
   */
  sweep(nowMs: number, patienceMs: number): void {
    this.#guarded(() => this.#sweep(nowMs, patienceMs))
  }

  #sweep(nowMs: number, patienceMs: number): void {
    const { unsentBytes } = this.#connection
    const { receivedBytes } = this.#assembler
    if (nowMs - this.#partialSinceMs > LINGERING_MS) this.#assembler.lingers()
    const slowForMs = this.#unread.slowForMs(nowMs, this.#limits.minReadRate)
    if (nowMs - this.#partialSinceMs > requestTimeoutMs(this.#shared, receivedBytes)) {
      this.abort('request did not arrive completely in time', { receivedBytes })
    } else if (slowForMs > patienceMs) {
      this.#shared.slowReaders.add(1)
      this.abort('client does not read its answers', { unsentBytes, seconds: Math.round(slowForMs / 1000) })
    } else if (
      this.#reading.isPausedFor(PAUSED_FOR_ORDER) &&
      nowMs - this.lastActiveMs > this.#limits.maxIdleMs
    ) {
      this.abort('requests wait behind one that is not answered')
    } else if (this.idle && unsentBytes === 0 && nowMs - this.lastActiveMs > this.#limits.maxIdleMs) {
      this.#logger.debug(whoIs(this), 'connection closed: idle')
      this.#connection.end()
    }
  }

  // ------------------------------------------------------------------------------------------------------ receiving

  bytes(slab: Buffer, start: number, end: number): void {
    try {
      this.#received(slab, start, end)
    } catch (error) {
      this.#contain(error)
    }
  }

  #received(slab: Buffer, start: number, end: number): void {
    if (this.#closed || this.#refused) return
    this.lastActiveMs = this.#shared.clock.monotonicMs()
    this.#reservedBytes += end - start
    if (!this.#shared.budget.reserve(end - start, this)) {
      this.refusedBytes += end - start
      if (!this.#mayGreet) {
        this.#reading.pause(PAUSED_FOR_BUDGET)
        this.#hold(slab, start, end, false)
        return
      }
    }
    if (this.#held.any) this.#hold(slab, start, end, false)
    else this.#parse(slab, start, end, false)
    if (this.#assembler.idle) this.#shared.budget.completed(this)
  }

  drained(): void {
    this.#guarded(() => {
      this.#unread.drained()
      this.#continue()
    })
  }

  closed(reason: CloseReason): void {
    if (this.#closed) return
    this.#closed = true
    this.#guarded(() => this.#letGo(reason))
  }

  #letGo(reason: CloseReason): void {
    this.#held.drop()
    this.#assembler.abandon()
    // What waits for one of these requests lets go of its memory, except for logs, which have taken the batches.
    for (const slot of this.#slots.splice(0)) {
      slot.abandon()
      this.#reservedBytes -= slot.end(this.#shared.budget)
    }
    this.#shared.budget.leave(this)
    this.#shared.budget.release(this.#reservedBytes)
    this.#reservedBytes = 0
    this.#shared.answers.leave(this)
    this.#shared.longRequests.leave(this)
    this.#unread.closed()
    this.#onClosed(reason)
  }

  /** Bytes of a request that has not arrived whole, when nothing else is in work. */
  get incompleteBytes(): number {
    const isIncomplete = !this.#assembler.idle || this.refusedBytes > 0
    return isIncomplete && this.#slots.length === 0 ? this.#reservedBytes : 0
  }

  budgetAvailable(): void {
    this.#guarded(() => {
      const wasRefused = this.refusedBytes > 0
      this.refusedBytes = 0
      this.#reading.resume(PAUSED_FOR_BUDGET, this.#closed)
      this.#continue()
      if (wasRefused && this.#assembler.idle) this.#shared.budget.completed(this)
    })
  }

  answersAvailable(): void {
    this.#guarded(() => this.#continue())
  }

  /** The network failed in what it did for this connection. */
  failed(error: unknown): void {
    this.#contain(error)
  }

  /** The memory budget is spent: no more bytes until there is room. */
  pauseForBudget(): void {
    if (!this.#closed && !this.#mayGreet && this.#shared.budget.wait(this))
      this.#reading.pause(PAUSED_FOR_BUDGET)
  }

  /** Closes the connection at once and says why. */
  abort(reason: string, fields: LogFields = {}): void {
    if (this.#closed) return
    this.#shared.refusals.warn({ ...whoIs(this), ...fields }, `connection closed: ${reason}`)
    this.dismiss()
  }

  /** As `abort`, without a word. */
  dismiss(by: 'destroy' | 'reset' = 'destroy'): void {
    if (this.#closed) return
    this.#connection[by]()
    this.closed('destroyed')
  }

  /** The broker stops: takes no more requests, answers those that it has, then closes. */
  end(): void {
    if (this.#closed) return
    if (this.#isNew && this.#slots.length === 0) return this.dismiss('reset')
    // What still arrives is dropped, and read: or the client's own end would not be seen.
    this.#refused = true
    this.#endWhenAnswered()
  }

  /** What follows a frame that is not a request makes no sense. Requests before it still get their answers. */
  #refuseFrame(reason: string, fields: LogFields): void {
    if (this.#slots.length === 0 && !this.#unread.any) {
      this.abort(reason, fields)
      return
    }
    this.#shared.refusals.warn(
      { ...whoIs(this), ...fields },
      `connection closes after its answers: ${reason}`,
    )
    this.#refused = true
    this.#reading.pause(PAUSED_FOR_ORDER)
    this.#endWhenAnswered()
  }

  #endWhenAnswered(): void {
    if (this.#refused && this.#slots.length === 0) this.#connection.end()
  }

  /**
   * Takes whole frames from [start, end). `owned`: the bytes stay where they are, so requests may be views of them;
   * a slab's bytes are copied, once, for the request that keeps them.
   */
  #parse(buffer: Buffer, start: number, end: number, owned: boolean): void {
    this.#parsing = true
    let at = start
    while (at < end && !this.#closed && !this.#refused) {
      if (this.#held.any) {
        this.#hold(buffer, at, end, owned)
        break
      }
      const frameEnd = end - at < API_KEY_END ? Infinity : at + SIZE_BYTES + buffer.readInt32BE(at)
      if (!this.#assembler.idle || frameEnd > end) {
        if (this.#assembler.idle) this.#partialSinceMs = this.#shared.clock.monotonicMs()
        at += this.#assembler.take(buffer, at, end)
        if (this.#assembledSizeAcceptable() && this.#assembler.complete) this.#beginAssembled()
        continue
      }
      const apiKey = buffer.readInt16BE(at + SIZE_BYTES)
      if (!this.#sizeAcceptable(frameEnd - at - SIZE_BYTES, apiKey)) break
      if (!this.#mayBegin(apiKey, frameEnd - at)) {
        this.#hold(buffer, at, end, owned)
        break
      }
      this.#shared.budget.completed(this)
      if (owned) this.#begin(buffer, at, frameEnd, null)
      else this.#beginCopy(buffer, at, frameEnd, apiKey)
      at = frameEnd
    }
    this.#parsing = false
  }

  #beginAssembled(): void {
    const { chunk } = this.#assembler
    const frame = this.#assembler.release()
    this.#partialSinceMs = Infinity
    this.#shared.budget.completed(this)
    if (this.#mayBegin(frame.readInt16BE(SIZE_BYTES), frame.length)) {
      this.#begin(frame, 0, frame.length, chunk)
    } else {
      // It may wait for long, and would keep all of the chunk.
      this.#held.keep(chunk === null ? frame : Buffer.from(frame))
      if (chunk !== null) this.#shared.arena.giveBack(chunk)
      this.#stopAhead()
    }
  }

  #beginCopy(slab: Buffer, start: number, end: number, apiKey: number): void {
    const length = end - start
    const { arena } = this.#shared
    const shared = apiKey === ApiKey.Produce
    const frame = shared ? arena.take(length) : Buffer.allocUnsafe(length)
    slab.copy(frame, 0, start, end)
    this.#begin(frame, 0, length, shared ? arena.taken : null)
  }

  #assembledSizeAcceptable(): boolean {
    const { claimedBytes, receivedBytes } = this.#assembler
    if (claimedBytes === null) return true
    const apiKey = receivedBytes >= API_KEY_END ? this.#assembler.peek().readInt16BE(SIZE_BYTES) : null
    return this.#sizeAcceptable(claimedBytes, apiKey)
  }

  #sizeAcceptable(sizeBytes: number, apiKey: number | null): boolean {
    const { maxRequestBytes: maxBytes } = this.#limits
    if (isOutOfRange(sizeBytes, maxBytes)) {
      this.abort('size of the request out of range', { sizeBytes, maxBytes })
      return false
    }
    if (apiKey !== null && isTooLarge(sizeBytes, apiKey)) {
      this.#refuseFrame('request too large for its API', { sizeBytes, api: apiName(apiKey) })
      return false
    }
    return apiKey === null || !this.#isNew || this.#isWelcome(apiKey)
  }

  // ------------------------------------------------------------------------------------------------- requests begin

  /** It may be another broker, which is not kept waiting because clients have all the memory. */
  get #mayGreet(): boolean {
    return this.#isNew && this.#reservedBytes <= MAX_HELLO_BYTES && this.#shared.gate.takesPeers
  }

  /** The first request tells who is there. False: nobody who is let in, and the connection is closed. */
  #isWelcome(apiKey: number): boolean {
    const { gate } = this.#shared
    if (apiKey === ApiKey.BrokerHello && !this.#saidHello && gate.takesPeers) return true
    if (!gate.asClient(this)) return false
    this.#isNew = false
    return true
  }

  /** Called while its hello is answered: what that holds moves to the budgets of brokers with all else. */
  becomesPeer(peer: Peer): void {
    const { budget, answers, longRequests, gate, forPeers } = this.#shared
    if (forPeers === null || this.#closed) return
    const shared = forPeers.of(peer.brokerId)
    this.#isNew = false
    this.peer = peer
    this.#shared = shared
    this.#limits = shared.limits
    this.#unread = new UnreadAnswers(this.#connection, shared.answers)
    const isAdmitted = shared.budget.reserve(this.#reservedBytes, this)
    budget.leave(this)
    budget.release(this.#reservedBytes)
    answers.leave(this)
    longRequests.leave(this)
    this.refusedBytes = isAdmitted ? 0 : this.#reservedBytes
    if (isAdmitted) this.#reading.resume(PAUSED_FOR_BUDGET, this.#closed)
    else this.#reading.pause(PAUSED_FOR_BUDGET)
    gate.asPeer(this, peer.brokerId)
    this.#logger.debug({ ...whoIs(this), ...peer }, 'a broker connected')
  }

  #mayBegin(apiKey: number, frameBytes: number): boolean {
    if (this.#isNew) return true
    if (this.#begunThisTurn >= MAX_BEGUN_PER_TURN) return false
    if (this.#connection.unsentBytes > this.#limits.maxUnsentBytes) return false
    if (this.#slots.length > 0) {
      const pipelined = this.#shared.apis.get(apiKey)?.pipelined ?? false
      if (!pipelined || this.#unpipelined > 0 || this.#slots.length >= this.#limits.maxInFlight) return false
    }
    const { answers, answerSizes, longRequests } = this.#shared
    if (!answers.admits(this.#unread.any, answerSizes.expectedBytes(apiKey, frameBytes))) {
      answers.wait(this, this.#unread.any)
      return false
    }
    const decodedBytes = decodedBytesOf(apiKey, frameBytes)
    if (longRequests.admits(decodedBytes)) return true
    longRequests.wait(this)
    return false
  }

  /** [start, end) is one frame with its size prefix, in memory that belongs to the request from here on. */
  #begin(frame: Buffer, start: number, end: number, chunk: ArenaChunk | null): void {
    const isLong = isLongRequest(end - start)
    const reader = isLong ? new Reader(frame) : this.#shared.reader
    let request
    let body: unknown = null
    try {
      const apis = this.#isNew ? this.#shared.apisOfNewcomers : this.#shared.apis
      this.#saidHello ||= this.#isNew
      request = decodeHeader(apis, reader, frame, start + SIZE_BYTES, end)
      if (!isLong && request.isKnownVersion) body = decodeBody(request, reader)
    } catch (error) {
      if (error instanceof ProtocolError) this.#refuseFrame(error.message, describeFrame(frame, start))
      else this.#contain(error, describeFrame(frame, start))
      return
    }
    if (this.#begunThisTurn++ === 0) {
      this.#shared.clock.atEndOfTurn('reply', this.#turnEnds)
    }
    const slot = new RequestSlot(this, request, end - start, this.#shared.clock.monotonicMs())
    slot.chunk = chunk
    if (isLong || this.#shared.budget.isSpent) slot.longestWaitMs = LONG_REQUEST_WAIT_MS
    slot.expect(this.#shared.answerSizes.expectedBytes(slot.api.key, end - start))
    slot.expectDecoded(decodedBytesOf(slot.api.key, end - start))
    this.#slots.push(slot)
    if (!request.isKnownVersion) {
      this.#waitFor(slot)
      this.#finish(slot, encodeUnsupportedApiVersions(this.#shared.writer, slot.api, slot.correlationId))
    } else if (isLong) {
      this.#decodeInSlices(slot, request, reader, frame.subarray(start))
    } else {
      this.#handle(slot, body, reader.elements)
    }
  }

  /** Nothing else begins meanwhile: what is behind this request could overtake it. */
  #decodeInSlices(slot: RequestSlot, request: RequestHeader, reader: Reader, frame: Buffer): void {
    this.#waitFor(slot)
    let isOnLoop = true
    this.#shared.broker.slices.finish(decodeBodyInSteps(request, reader), {
      gone: () => this.#closed,
      long: (goOn) => slot.growsLong(goOn),
      done: slot.guard((body) => {
        this.#waitFor(slot, false)
        slot.decoded(reader.elements > MANY_ELEMENTS ? reader.elements * ELEMENT_BYTES : 0)
        this.#handle(slot, body, reader.elements)
        if (!isOnLoop) this.#continue()
      }),
      failed: slot.guard((error) => {
        if (!(error instanceof ProtocolError)) throw error
        this.#slots.pop()?.abandon()
        this.#refuseFrame(error.message, describeFrame(frame, 0))
      }),
    })
    isOnLoop = false
  }

  #handle(slot: RequestSlot, body: unknown, elements: number): void {
    if (!slot.api.pipelined || elements > MANY_ELEMENTS) this.#waitFor(slot)
    if (elements > MANY_ELEMENTS) slot.holds(elements)
    try {
      slot.api.handle(body, slot, (response) => slot.respond(response))
    } catch (error) {
      slot.fail(error)
    }
  }

  holdOthers(slot: RequestSlot): void {
    this.#waitFor(slot)
  }

  takesBytes(bytes: number): void {
    this.#reservedBytes += bytes
    this.#shared.budget.take(bytes)
  }

  letsBytesGo(bytes: number): void {
    this.#reservedBytes -= bytes
    this.#shared.budget.release(bytes)
  }

  /** Whether others begin only when this request is answered. */
  #waitFor(slot: RequestSlot, waits = true): void {
    if (slot.isAlone === waits) return
    slot.isAlone = waits
    this.#unpipelined += waits ? 1 : -1
  }

  readonly #turnEnds = (): void => {
    const more = this.#begunThisTurn >= MAX_BEGUN_PER_TURN
    this.#begunThisTurn = 0
    // Held requests go on in the next turn, after the other connections had theirs.
    if (more) this.#shared.clock.after(0, () => this.#guarded(() => this.#continue()))
  }

  // --------------------------------------------------------------------------------------------------- answers leave

  completed(slot: RequestSlot, response: unknown): void {
    if (this.#closed) return slot.giveBack(this.#shared.arena)
    this.#shared.requestMetrics.observe(slot, this.#shared.clock.monotonicMs() - slot.startedMs)
    if (response === null) {
      this.#finish(slot, null)
      return
    }
    if (isLongAnswer(slot.api, response)) {
      this.#encodeInSlices(slot, response)
      return
    }
    this.#finish(slot, encodeResponse(this.#shared.writer, slot, response))
  }

  #encodeInSlices(slot: RequestSlot, response: unknown): void {
    this.#shared.broker.slices.finish(encodeResponseInSteps(slot, response), {
      gone: () => this.#closed,
      done: slot.guard((chunks) => this.#finish(slot, chunks)),
      failed: (error) => slot.fail(error),
    })
  }

  refused(slot: RequestSlot, reason: string): void {
    this.abort(reason, { api: slot.api.name, version: slot.apiVersion, clientId: slot.clientId })
  }

  requestFailed(slot: RequestSlot, error: unknown): void {
    const { api, apiVersion, clientId } = slot
    this.#contain(error, { api: api.name, version: apiVersion, clientId })
  }

  // ------------------------------------------------------------------------------------------------------ containment

  /** Whatever goes wrong in the work for this client ends its connection. `what`: the request, where there is one. */
  #contain(error: unknown, what: LogFields = lastBegun(this.#slots)): void {
    this.#shared.containment.report(error, { ...whoIs(this), ...what })
    this.dismiss()
  }

  /** For the ways in from outside. */
  #guarded(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.#contain(error)
    }
  }

  #finish(slot: RequestSlot, chunks: readonly ReadPiece[] | null): void {
    slot.chunks = chunks
    while (this.#slots.length > 0) {
      const head = this.#slots[0]!
      if (head.chunks === undefined) break
      this.#slots.shift()
      head.giveBack(this.#shared.arena)
      this.#waitFor(head, false)
      this.#reservedBytes -= head.end(this.#shared.budget)
      if (head.chunks !== null) {
        head.sent()
        this.#shared.answerSizes.observe(head.api.key, this.#unread.write(head.chunks))
      }
    }
    this.lastActiveMs = this.#shared.clock.monotonicMs()
    if (this.#refused) this.#endWhenAnswered()
    else this.#continue()
  }

  // ------------------------------------------------------------------------------------------------- held back bytes

  #hold(buffer: Buffer, start: number, end: number, owned: boolean): void {
    this.#held.hold(buffer, start, end, owned)
    this.#stopAhead()
  }

  #stopAhead(): void {
    // Who does not read does not see that the client has left either: a few requests ahead do not stop the reading.
    // What waits for nothing but the next turn begins, though: who wants no answer may leave at once.
    if (this.#held.length > READ_AHEAD_BYTES || this.#begunThisTurn >= MAX_BEGUN_PER_TURN)
      this.#reading.pause(PAUSED_FOR_ORDER)
  }

  /** Begins as many held requests as may begin now. */
  #continue(): void {
    if (this.#parsing || this.#closed || !this.#held.any) return
    if (this.#reading.isPausedFor(PAUSED_FOR_BUDGET)) return
    const held = this.#held.take()
    this.#parse(held, 0, held.length, true)
    if (!this.#held.any) this.#reading.resume(PAUSED_FOR_ORDER, this.#closed)
  }
}
