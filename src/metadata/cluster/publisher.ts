import { ErrorCode } from '../../../protocol/errors.ts'
import type { MetadataChange, MetadataPollRequest } from '../../../protocol/messages/1000-metadata-poll.ts'
import type { ImageRecord } from '../../core/controller/controller-types.ts'
import type { Clock, Timer } from '../../ports.ts'
import type { PollAnswer } from '../cluster-duties.ts'
import type { RegisteredBroker } from '../layout/znodes.ts'

type Values = ReadonlyMap<string, string>

/** What the records of the core leave out. */
export interface Details {
  /** Undefined: it was not registered since this controller began. */
  broker(id: number): RegisteredBroker | undefined
  overrides(topicId: string): Values
}

interface Parked {
  readonly sequence: number
  readonly answer: (response: PollAnswer) => void
  readonly timer: Timer
}

interface Applied {
  readonly sequence: number
  readonly goOn: () => void
}

/** With the sequence as it is made here. */
type Change = MetadataChange & { readonly sequence: number }
type WireBroker = MetadataChange['brokers'][number]
type WireTopic = MetadataChange['topics'][number]
type WirePartition = MetadataChange['partitions'][number]
type WireConfig = MetadataChange['configs'][number]

/** Of a partition of which nothing is certain. */
const NO_STATE = {
  leader: -1,
  leaderEpoch: 0,
  leaderBrokerEpoch: -1,
  controllerEpoch: -1,
  // Whatever there is when it is repaired, is newer.
  partitionEpoch: -1,
  isr: [],
  elr: [],
  lastKnownElr: [],
  leaderRecoveryState: 0,
  minIsr: 1,
}

/** Changes that are kept for brokers that are behind; further back they get all there is. */
const KEPT_CHANGES = 512
/** And no more elements than these: one change may be of very many partitions. */
const KEPT_ELEMENTS = 20_000
const MAX_WAIT_MS = 5_000

/**
 * What the controller has told the brokers, in order, and how far each of them has carried it out. A broker asks for what
 * comes behind what it knows, so nothing is told twice or out of order, and a connection that breaks costs nothing.
 */
export class Publisher {
  readonly #clock: Clock
  readonly #controllerEpoch: number
  readonly #details: Details
  readonly #brokers = new Map<number, WireBroker>()
  readonly #topics = new Map<string, WireTopic>()
  readonly #partitions = new Map<string, Map<number, WirePartition>>()
  readonly #configs = new Map<number, WireConfig>()
  readonly #damagedTopics: string[] = []
  #kept: Change[] = []
  #keptElements = 0
  #sequence = 0
  /** A broker has one, as a rule: where it asks on a second connection, nobody may read the answers of the first. */
  readonly #parked = new Set<Parked>()
  /** By broker: what it has carried out, and in which life. */
  readonly #applied = new Map<number, { readonly epoch: number; readonly sequence: number }>()
  #waiting: Applied[] = []

  constructor(clock: Clock, controllerEpoch: number, details: Details) {
    this.#clock = clock
    this.#controllerEpoch = controllerEpoch
    this.#details = details
  }

  get sequence(): number {
    return this.#sequence
  }

  /** What the core wants known, under the sequence it gave it. */
  publish(sequence: number, records: readonly ImageRecord[]): void {
    const topicsGone: string[] = []
    const brokers = new Map<number, WireBroker>()
    const topics = new Map<string, WireTopic>()
    const partitions = new Map<string, WirePartition>()
    const configs = new Map<number, WireConfig>()
    for (const record of records) {
      switch (record.kind) {
        case 'broker': {
          const broker = this.#brokerOf(record.broker)
          brokers.set(broker.id, broker)
          break
        }
        case 'topic': {
          const { name, topicId } = record
          topics.set(topicId, { name, topicId, overrides: valuesOf(this.#details.overrides(topicId)) })
          break
        }
        case 'topic-gone':
          topicsGone.push(record.topicId)
          break
        case 'config':
          configs.set(record.brokerId, { brokerId: record.brokerId, values: valuesOf(record.values) })
          break
        case 'partition': {
          const { topicId, index, assignment, state } = record
          const damaged = false
          partitions.set(`${topicId}/${index}`, { topicId, index, ...assignment, ...state, damaged })
          break
        }
        case 'partition-damaged': {
          const { topicId, index, assignment } = record
          const damaged = true
          partitions.set(`${topicId}/${index}`, { topicId, index, ...assignment, ...NO_STATE, damaged })
          break
        }
        case 'topic-damaged':
          this.#damagedTopics.push(record.name)
          break
      }
    }
    this.#tell({
      sequence,
      topicsGone,
      damagedTopics: [],
      brokers: [...brokers.values()],
      topics: [...topics.values()],
      partitions: [...partitions.values()],
      configs: [...configs.values()],
    })
  }

  /** Calling the result takes the question back. */
  poll(request: MetadataPollRequest, answer: (response: PollAnswer) => void): () => void {
    const { brokerId, brokerEpoch, maxWaitMs } = request
    const isOurs = request.controllerEpoch === this.#controllerEpoch && request.sequence <= this.#sequence
    const sequence = isOurs ? request.sequence : -1
    const carriedOut = Math.min(sequence, request.carriedOut)
    this.#applied.set(brokerId, { epoch: brokerEpoch, sequence: carriedOut })
    this.#settle()
    if (sequence < this.#sequence) {
      answer(this.#newsSince(sequence))
      return () => undefined
    }
    const waitMs = Math.max(0, Math.min(maxWaitMs, MAX_WAIT_MS))
    const timer = this.#clock.after(waitMs, () => {
      this.#parked.delete(parked)
      answer(this.#newsSince(sequence))
    })
    const parked: Parked = { sequence, answer, timer }
    this.#parked.add(parked)
    return () => this.#unpark(parked)
  }

  /** Resolves when all brokers that serve have carried out what was told up to now, or after `upToMs`. */
  async carriedOut(upToMs: number): Promise<void> {
    const sequence = this.#sequence
    if (this.#isCarriedOut(sequence)) return
    await new Promise<void>((resolve) => {
      const waiting: Applied = {
        sequence,
        goOn: () => {
          timer.cancel()
          resolve()
        },
      }
      const timer = this.#clock.after(upToMs, () => {
        this.#waiting = this.#waiting.filter((each) => each !== waiting)
        resolve()
      })
      this.#waiting.push(waiting)
    })
  }

  /** Nobody is answered by this controller any more. */
  close(): void {
    for (const parked of this.#parked) {
      this.#unpark(parked)
      parked.answer({ errorCode: ErrorCode.NOT_CONTROLLER, controllerEpoch: -1, full: false, changes: [] })
    }
    for (const { goOn } of this.#waiting.splice(0)) goOn()
  }

  #unpark(parked: Parked): void {
    parked.timer.cancel()
    this.#parked.delete(parked)
  }

  #tell(change: Change): void {
    this.#remember(change)
    this.#sequence = change.sequence
    this.#kept.push(change)
    this.#keptElements += elementsOf(change)
    while (this.#kept.length > KEPT_CHANGES || (this.#keptElements > KEPT_ELEMENTS && this.#kept.length > 1))
      this.#keptElements -= elementsOf(this.#kept.shift()!)
    // Some ask again at once, where the broker is in here.
    const waiting = [...this.#parked]
    for (const parked of waiting) {
      this.#unpark(parked)
      parked.answer(this.#newsSince(parked.sequence))
    }
    this.#settle()
  }

  #remember({ topicsGone, brokers, topics, partitions, configs }: Change): void {
    for (const config of configs) this.#configs.set(config.brokerId, config)
    for (const topicId of topicsGone) {
      this.#topics.delete(topicId)
      this.#partitions.delete(topicId)
    }
    for (const broker of brokers) this.#brokers.set(broker.id, broker)
    for (const topic of topics) this.#topics.set(topic.topicId, topic)
    for (const partition of partitions) {
      const { topicId, index } = partition
      if (!this.#topics.has(topicId)) continue
      let ofTopic = this.#partitions.get(topicId)
      if (ofTopic === undefined) this.#partitions.set(topicId, (ofTopic = new Map()))
      ofTopic.set(index, partition)
    }
  }

  #newsSince(sequence: number): PollAnswer {
    const controllerEpoch = this.#controllerEpoch
    const first = this.#kept[0]?.sequence ?? Infinity
    const isKnown = sequence >= 0 && (sequence === this.#sequence || sequence >= first - 1)
    const changes = isKnown ? this.#kept.filter((change) => change.sequence > sequence) : [this.#everything()]
    return { errorCode: ErrorCode.NONE, controllerEpoch, full: !isKnown, changes }
  }

  #everything(): Change {
    return {
      sequence: this.#sequence,
      topicsGone: [],
      damagedTopics: this.#damagedTopics,
      brokers: [...this.#brokers.values()],
      topics: [...this.#topics.values()],
      partitions: [...this.#partitions.values()].flatMap((ofTopic) => [...ofTopic.values()]),
      configs: [...this.#configs.values()],
    }
  }

  #brokerOf(view: { id: number; epoch: number; fenced: boolean; shuttingDown: boolean }): WireBroker {
    const registered = this.#details.broker(view.id)
    const endpoints = [...(registered?.endpoints ?? [])].map(([name, address]) => ({ name, ...address }))
    return { ...view, rack: registered?.rack ?? null, endpoints }
  }

  #settle(): void {
    if (this.#waiting.length === 0) return
    const left: Applied[] = []
    for (const waiting of this.#waiting)
      if (this.#isCarriedOut(waiting.sequence)) waiting.goOn()
      else left.push(waiting)
    this.#waiting = left
  }

  #isCarriedOut(sequence: number): boolean {
    for (const { id, epoch, fenced } of this.#brokers.values()) {
      const applied = this.#applied.get(id)
      const isBehind = applied === undefined || applied.epoch !== epoch || applied.sequence < sequence
      if (!fenced && isBehind) return false
    }
    return true
  }
}

function elementsOf({ topicsGone, brokers, topics, partitions }: MetadataChange): number {
  return topicsGone.length + brokers.length + topics.length + partitions.length
}

function valuesOf(values: Values): { name: string; value: string }[] {
  return [...values].map(([name, value]) => ({ name, value }))
}
