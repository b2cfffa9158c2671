/** What a scenario works with: connections to one broker, names of its own, and the answers as they came. */
import { setTimeout as sleep } from 'node:timers/promises'
import { writeRequestHeader } from '../../protocol/frame.ts'
import { ApiKey } from '../../protocol/keys.ts'
import { ProtocolError } from '../../protocol/protocol-error.ts'
import { Writer } from '../../protocol/writer.ts'
import { RawClient } from '../support/raw-client.ts'
import { batch } from './batches.ts'
import type { GivenBatch, GivenRecord } from './batches.ts'
import { probe } from './probe.ts'
import { schemaOf } from './schemas.ts'
import type { ApiName } from './schemas.ts'
import { readMessage, writeMessage } from './wire.ts'
import type { Body, Given, Shown, Struct } from './wire.ts'

export type Answer = Struct | 'closed' | 'no answer' | `no answer: ${string}` | `not the message: ${string}`

export interface Step {
  readonly ask: string
  answer: Answer
}

/** A step that was just played; what is left out has done its service then. */
export interface PlayedStep extends Step {
  readonly without?: readonly string[] | undefined
}

export interface AskOptions {
  /** Which connection; each name is one. */
  readonly on?: string
  /** Instead of the body that the schema writes. */
  readonly rawBody?: Buffer
  /** Fields of the answer that other scenarios compare. */
  readonly without?: readonly string[]
}

/** A broker that takes longer has no answer. */
const DEADLINE_MS = 20_000
/** Apache Kafka applies what it acknowledged a little later. */
const PATIENCE_MS = 5_000
const POLL_MS = 5

export class Session {
  readonly steps: PlayedStep[] = []
  readonly #port: number
  /** What all names of this scenario begin with. */
  readonly prefix: string
  readonly #connections = new Map<string, Promise<RawClient>>()

  constructor(port: number, prefix: string) {
    this.#port = port
    this.prefix = prefix
  }

  /** A name for a topic, a group, or whatever else lives longer than a connection. */
  name(short: string): string {
    return this.prefix + short
  }

  /** Sends a request; its answer is compared. Steps are in the order in which they were asked. */
  async ask(api: ApiName, version: number, body: Body = {}, options: AskOptions = {}): Promise<Struct> {
    const step: PlayedStep = { ask: `${api} ${version}`, answer: 'no answer', without: options.without }
    this.steps.push(step)
    step.answer = await this.#answerTo(api, version, body, options)
    return typeof step.answer === 'string' ? {} : step.answer
  }

  /** As `ask`, again and again until the answer is as wanted or patience ends; the last one is compared. */
  async askUntil(
    wanted: (answer: Struct) => boolean,
    api: ApiName,
    version: number,
    body: Body,
  ): Promise<Struct> {
    const step: Step = { ask: `${api} ${version}`, answer: 'no answer' }
    this.steps.push(step)
    for (const until = Date.now() + PATIENCE_MS; ; await sleep(POLL_MS)) {
      step.answer = await this.#answerTo(api, version, body, {})
      const answer = typeof step.answer === 'string' ? {} : step.answer
      if (wanted(answer) || Date.now() > until) return answer
    }
  }

  /** For what is not the point of the scenario: nothing is compared, and a closed connection ends it. */
  async quietly(api: ApiName, version: number, body: Body, options: AskOptions = {}): Promise<Struct> {
    const answer = await this.#answerTo(api, version, body, options)
    if (typeof answer === 'string') throw new Error(`${api} ${version}: ${answer}`)
    return answer
  }

  /** The bytes behind the size of a frame, as they are, on a connection of their own. */
  async askFrame(what: string, frame: Buffer): Promise<void> {
    const step: Step = { ask: what, answer: 'no answer' }
    this.steps.push(step)
    step.answer = { connection: await probe(this.#port, frame) }
  }

  /** A request of which no answer is expected, on a connection of its own. */
  async tell(api: ApiName, version: number, body: Body): Promise<void> {
    const writer = new Writer()
    writeRequestHeader(writer, {
      apiKey: ApiKey[api],
      apiVersion: version,
      correlationId: 1,
      clientId: 'raw',
    })
    writeMessage(writer, schemaOf(api, 'request'), version, body)
    await this.askFrame(`${api} ${version}, untold`, writer.finishBuffer())
  }

  async #answerTo(api: ApiName, version: number, body: Body, options: AskOptions): Promise<Answer> {
    const connection = options.on ?? 'main'
    const client = await this.#connection(connection)
    const request = schemaOf(api, 'request')
    const answered = client
      .exchange(ApiKey[api], version, (writer) =>
        options.rawBody === undefined
          ? writeMessage(writer, request, version, body)
          : writer.raw(options.rawBody),
      )
      .then(
        (reader): Answer => {
          try {
            return readMessage(reader, schemaOf(api, 'response'), version)
          } catch (error) {
            if (error instanceof ProtocolError) return `not the message: ${error.message}`
            throw error
          }
        },
        (error: unknown): Answer => {
          if (!client.closed) throw error
          this.#connections.delete(connection)
          return 'closed'
        },
      )
    const ended = new AbortController()
    const late = sleep(DEADLINE_MS, 'no answer' as const, { signal: ended.signal }).catch(
      () => 'no answer' as const,
    )
    const answer = await Promise.race([answered, late])
    ended.abort()
    return answer
  }

  #connection(name: string): Promise<RawClient> {
    let connection = this.#connections.get(name)
    if (connection === undefined) {
      connection = RawClient.connect(this.#port)
      this.#connections.set(name, connection)
    }
    return connection
  }

  /** Ends one connection, as a client that goes away. */
  async hangUp(name: string): Promise<void> {
    ;(await this.#connection(name)).close()
    this.#connections.delete(name)
  }

  async close(): Promise<void> {
    for (const connection of this.#connections.values()) (await connection).close()
  }

  // -------------------------------------------------------------------------------------------- what most begin with

  /** Makes a topic and waits until its partitions work. Its whole name. */
  async topic(
    short = 't',
    {
      partitions = 1,
      configs = {},
    }: { partitions?: number; configs?: Readonly<Record<string, string>> } = {},
  ): Promise<string> {
    const name = this.name(short)
    const created = await this.quietly('CreateTopics', 5, {
      topics: [
        {
          name,
          numPartitions: partitions,
          replicationFactor: 1,
          configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
        },
      ],
      timeoutMs: 10_000,
    })
    const errorCode = dig(created, 'topics', 0, 'errorCode')
    if (errorCode !== 0) throw new Error(`topic ${short}: error ${JSON.stringify(errorCode)}`)
    await this.untilServed(name, partitions)
    return name
  }

  /** Until every partition answers as its leader. */
  async untilServed(name: string, partitions: number): Promise<void> {
    const topics = [
      { name, partitions: indexes(partitions).map((i) => ({ partitionIndex: i, timestamp: -1 })) },
    ]
    await this.#until(`topic ${name} is served`, async () => {
      const answer = await this.quietly('ListOffsets', 5, { replicaId: -1, topics })
      return list(answer, 'topics', 0, 'partitions').every((each) => dig(each, 'errorCode') === 0)
    })
    await this.#until(`topic ${name} is known`, async () => {
      const answer = await this.quietly('Metadata', 4, { topics: [{ name }], allowAutoTopicCreation: false })
      return list(answer, 'topics').every((each) => dig(each, 'errorCode') === 0)
    })
  }

  /** Deletes a topic and waits until nobody knows it. */
  async deleteTopic(name: string): Promise<void> {
    await this.quietly('DeleteTopics', 3, { topicNames: [name], timeoutMs: 10_000 })
    await this.#until(`topic ${name} is gone`, async () => {
      const body = { replicaId: -1, topics: [{ name, partitions: [{ partitionIndex: 0, timestamp: -1 }] }] }
      return dig(await this.quietly('ListOffsets', 5, body), 'topics', 0, 'partitions', 0, 'errorCode') === 3
    })
    await this.#until(`topic ${name} is unknown`, async () => {
      const answer = await this.quietly('Metadata', 4, { topics: [{ name }], allowAutoTopicCreation: false })
      return dig(answer, 'topics', 0, 'errorCode') === 3
    })
  }

  async #until(what: string, reached: () => Promise<boolean>): Promise<void> {
    for (const until = Date.now() + PATIENCE_MS; !(await reached()); await sleep(POLL_MS))
      if (Date.now() > until) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`)
  }

  async topicId(name: string): Promise<string> {
    const answer = await this.quietly('Metadata', 12, { topics: [{ name }] })
    return text(answer, 'topics', 0, 'topicId')
  }

  /** Appends batches, each in a request of its own, and expects that it may. */
  async produce(
    topic: string,
    ...batches: readonly (GivenBatch | readonly (string | GivenRecord)[])[]
  ): Promise<void> {
    for (const given of batches) {
      const answer = await this.quietly('Produce', 8, produceBody(topic, batch(given)))
      const errorCode = dig(answer, 'responses', 0, 'partitionResponses', 0, 'errorCode')
      if (errorCode !== 0) throw new Error(`produce to ${topic}: error ${JSON.stringify(errorCode)}`)
    }
  }

  /** A producer's id and epoch, fresh. */
  async producer(): Promise<{ producerId: number; producerEpoch: number }> {
    const answer = await this.quietly('InitProducerId', 1, {
      transactionalId: null,
      transactionTimeoutMs: 60_000,
    })
    return {
      producerId: Number(dig(answer, 'producerId')),
      producerEpoch: Number(dig(answer, 'producerEpoch')),
    }
  }
}

/** One partition's records. */
export function produceBody(topic: string, records: Buffer | null, { acks = -1, index = 0 } = {}): Body {
  return { acks, timeoutMs: 10_000, topicData: [{ name: topic, partitionData: [{ index, records }] }] }
}

export function indexes(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}

/** What lies at a path of an answer; undefined where it ends before. */
export function dig(from: Shown | undefined, ...path: readonly (string | number)[]): Shown | undefined {
  let at: Shown | undefined = from
  for (const part of path) {
    if (typeof at !== 'object' || at === null) return undefined
    at = Array.isArray(at) ? at[Number(part)] : at[part]
  }
  return at
}

export function text(from: Shown | undefined, ...path: readonly (string | number)[]): string {
  const found = dig(from, ...path)
  if (typeof found !== 'string') throw new Error(`no text at ${path.join('.')}: ${JSON.stringify(from)}`)
  return found
}

export function list(from: Shown | undefined, ...path: readonly (string | number)[]): Shown[] {
  const found = dig(from, ...path)
  return Array.isArray(found) ? found : []
}

export type { Given }
