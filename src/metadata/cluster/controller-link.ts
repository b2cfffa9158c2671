import type { Decoded, Encodable, MessageSchema } from '../../../protocol/schema.ts'
import type { Address, World } from '../../ports.ts'
import { BrokerLink } from '../../wire/broker-link.ts'
import type { Exchange } from '../../wire/broker-link.ts'
import { sayHello } from '../../wire/hello.ts'
import { LinkError } from '../../wire/link-error.ts'

export interface ControllerLinkParts {
  readonly world: Pick<World, 'clock' | 'network' | 'random'>
  readonly clusterId: () => string
  readonly brokerId: number
  /** Now. */
  readonly brokerEpoch: () => number
  /** Where brokers reach this one; null: nobody knows. */
  readonly addressOf: (brokerId: number) => Promise<Address | null>
  readonly requestTimeoutMs: number
}

/** All there is of a cluster of very many partitions. */
const MAX_RESPONSE_BYTES = 256 << 20
/** Between attempts to reach a controller that cannot be reached. */
const FIRST_REST_MS = 50
const MAX_REST_MS = 1_000

/** This broker's connection to the controller, whoever that is. What is asked while there is none waits for one. */
export class ControllerLink {
  readonly #parts: ControllerLinkParts
  /** -1: none is known. */
  #controllerId = -1
  #address: Address | null = null
  #link: BrokerLink | null = null
  #making: Promise<BrokerLink> | null = null
  /** Dropped so often: what was being made before is not wanted any more. */
  #drops = 0
  #restMs = FIRST_REST_MS
  #closed = false
  #wakes: (() => void)[] = []

  constructor(parts: ControllerLinkParts) {
    this.#parts = parts
  }

  /** -1: none is known. */
  get controllerId(): number {
    return this.#controllerId
  }

  /** Where it was looked for last; null: nobody knows. */
  get address(): Address | null {
    return this.#address
  }

  /** Another broker (-1: none that is known) is to be asked from now on. */
  follow(controllerId: number): void {
    if (controllerId === this.#controllerId) return
    this.#controllerId = controllerId
    this.drop()
    this.#restMs = FIRST_REST_MS
    this.wake()
  }

  /** What waits for an answer fails; what is asked next gets a new connection. */
  drop(): void {
    this.#link?.close()
    this.#link = null
    this.#making = null
    this.#drops += 1
  }

  close(): void {
    this.#closed = true
    this.drop()
    this.wake()
  }

  /** Resolves after some time, or when another controller is known. */
  rest(): Promise<void> {
    const random = this.#parts.world.random.uint32() / 2 ** 32
    const delayMs = this.#restMs * (0.5 + random)
    this.#restMs = Math.min(MAX_REST_MS, this.#restMs * 2)
    return this.#sleep(delayMs)
  }

  /** Resolves when something happened to the controller, or was said to have. */
  untilWoken(): Promise<void> {
    return this.#closed ? Promise.resolve() : new Promise((resolve) => this.#wakes.push(resolve))
  }

  /** Rejects with a LinkError: 'refused' and 'unreachable' say that nobody was asked. Waits for a controller up to `upToMs`. */
  async ask<Request extends MessageSchema, Response extends MessageSchema>(
    exchange: Exchange<Request, Response>,
    body: Encodable<Request>,
    upToMs: number,
  ): Promise<Decoded<Response>> {
    const { clock } = this.#parts.world
    const deadlineMs = clock.monotonicMs() + upToMs
    for (;;) {
      try {
        const link = await this.#open()
        const answer = await link.send(exchange, body)
        this.#restMs = FIRST_REST_MS
        return answer
      } catch (error) {
        if (!(error instanceof LinkError)) throw error
        this.#lost()
        const wasNotAsked = error.failure === 'refused' || error.failure === 'unreachable'
        if (!wasNotAsked || this.#closed || clock.monotonicMs() >= deadlineMs) throw error
      }
      await this.rest()
    }
  }

  #lost(): void {
    if (this.#link === null || this.#link.failure === null) return
    this.#link = null
    this.#making = null
  }

  #open(): Promise<BrokerLink> {
    if (this.#link !== null && this.#link.failure === null) return Promise.resolve(this.#link)
    if (this.#closed || this.#controllerId === -1)
      return Promise.reject(new LinkError('unreachable', 'no controller is known'))
    if (this.#making !== null) return this.#making
    const making = this.#make(this.#controllerId).catch((error: unknown) => {
      if (this.#making === making) this.#making = null
      throw error
    })
    return (this.#making = making)
  }

  async #make(controllerId: number): Promise<BrokerLink> {
    const { world, addressOf, clusterId, brokerId, brokerEpoch, requestTimeoutMs } = this.#parts
    const drops = this.#drops
    const address = await addressOf(controllerId)
    this.#address = address
    if (address === null || controllerId !== this.#controllerId)
      throw new LinkError('unreachable', `nobody knows where controller ${controllerId} is`)
    const link = new BrokerLink(world, {
      address,
      clientId: `broker-${brokerId}`,
      requestTimeoutMs,
      maxResponseBytes: MAX_RESPONSE_BYTES,
    })
    await sayHello(link, { clusterId: clusterId(), brokerId, brokerEpoch: brokerEpoch() })
    if (drops !== this.#drops) {
      link.close()
      throw new LinkError('unreachable', 'another controller was elected, or this broker has another epoch')
    }
    this.#link = link
    this.#making = null
    return link
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#parts.world.clock.after(delayMs, () => {
        this.#wakes = this.#wakes.filter((each) => each !== wake)
        resolve()
      })
      const wake = (): void => {
        timer.cancel()
        resolve()
      }
      this.#wakes.push(wake)
    })
  }

  /** Ends what rests. */
  wake(): void {
    for (const wake of this.#wakes.splice(0)) wake()
  }
}
