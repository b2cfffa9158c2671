import { type Socket, connect } from 'node:net'
import {
  ByteReader,
  CORRELATION_AT,
  CREATE_TOPICS,
  DELETE_TOPICS,
  LIST_OFFSETS,
  METADATA,
  encodeBatch,
  encodeProduce,
  sealFrame,
  startRequest,
} from './wire.ts'
import { SeededRandom } from './random.ts'
import type { Endpoint } from './spec.ts'

export interface PartitionView {
  readonly error: number
  /** -1: none. */
  readonly leader: number
  /** How many there are. */
  readonly replicas: number
  readonly inSync: number
}

export interface ClusterView {
  readonly brokers: ReadonlyMap<number, Endpoint>
  readonly controller: number
  readonly partitions: readonly PartitionView[]
}

/** One request at a time over one connection: what surrounds a measurement, never the measurement itself. */
export class Client {
  readonly #socket: Socket
  #received = Buffer.alloc(0)
  #answer: ((frame: Buffer) => void) | null = null
  #refuse: ((error: Error) => void) | null = null
  #closed: Error | null = null
  #correlationId = 0

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#collect(chunk))
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => this.#fail(new Error('the broker closed the connection')))
  }

  static connect(endpoint: Endpoint): Promise<Client> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: endpoint.host, port: endpoint.port, noDelay: true })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new Client(socket))
      })
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  /** The whole answer frame, size included. */
  request(frame: Buffer, timeoutMs = 60_000): Promise<Buffer> {
    if (this.#closed !== null) return Promise.reject(this.#closed)
    frame.writeInt32BE(++this.#correlationId, CORRELATION_AT)
    return new Promise((resolve, reject) => {
      const deadline = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
      this.#answer = (answer) => {
        clearTimeout(deadline)
        resolve(answer)
      }
      this.#refuse = (error) => {
        clearTimeout(deadline)
        reject(error)
      }
      this.#socket.write(frame)
    })
  }

  /** Error code: 0 is created. `replicas`: how many of each partition, or which brokers have each, its leader first. */
  async createTopic(
    name: string,
    partitions: number,
    configs: Readonly<Record<string, string>>,
    replicas: number | readonly (readonly number[])[] = 1,
  ): Promise<number> {
    const writer = startRequest(CREATE_TOPICS).int32(1).string(name)
    if (typeof replicas === 'number') writer.int32(partitions).int16(replicas).int32(0)
    else {
      writer.int32(-1).int16(-1).int32(replicas.length)
      for (const [index, brokers] of replicas.entries()) {
        writer.int32(index).int32(brokers.length)
        for (const broker of brokers) writer.int32(broker)
      }
    }
    const entries = Object.entries(configs)
    writer.int32(entries.length)
    for (const [key, value] of entries) writer.string(key).string(value)
    writer.int32(60_000).int8(0)
    const reader = new ByteReader(await this.request(sealFrame(writer)), 8)
    reader.int32()
    if (reader.int32() !== 1) throw new Error('CreateTopics answered no topic')
    reader.string()
    return reader.int16()
  }

  /** Error code: 0 is deleted. */
  async deleteTopic(name: string): Promise<number> {
    const writer = startRequest(DELETE_TOPICS).int32(1).string(name).int32(60_000)
    const reader = new ByteReader(await this.request(sealFrame(writer)), 8)
    reader.int32()
    if (reader.int32() !== 1) throw new Error('DeleteTopics answered no topic')
    reader.string()
    return reader.int16()
  }

  /** How many partitions of the topic have a leader. */
  async partitionsWithLeader(name: string, allowAutoCreate = false): Promise<number> {
    const { partitions } = await this.metadata(name, allowAutoCreate)
    return partitions.filter(({ error, leader }) => leader >= 0 && error === 0).length
  }

  /** The brokers, and the partitions of the topic by their index; none when it is not there. */
  async metadata(name: string, allowAutoCreate = false, timeoutMs?: number): Promise<ClusterView> {
    const writer = startRequest(METADATA)
      .int32(1)
      .string(name)
      .int8(allowAutoCreate ? 1 : 0)
    const reader = new ByteReader(await this.request(sealFrame(writer), timeoutMs), 8)
    reader.int32()
    const brokers = new Map<number, Endpoint>()
    for (let left = reader.int32(); left > 0; left--) {
      const id = reader.int32()
      brokers.set(id, { host: reader.string()!, port: reader.int32() })
      reader.string()
    }
    reader.string()
    const controller = reader.int32()
    const partitions: PartitionView[] = []
    if (reader.int32() !== 1 || reader.int16() !== 0) return { brokers, controller, partitions }
    reader.string()
    reader.int8()
    for (let left = reader.int32(); left > 0; left--) {
      const error = reader.int16()
      const index = reader.int32()
      const leader = reader.int32()
      const replicas = reader.int32()
      reader.skip(replicas * 4)
      const inSync = reader.int32()
      reader.skip(inSync * 4)
      partitions[index] = { error, leader, replicas, inSync }
    }
    return { brokers, controller, partitions }
  }

  /** Produces one record. Error code. */
  async produceOne(topic: string): Promise<number> {
    const batch = encodeBatch({ records: 1, valueBytes: 100 }, new SeededRandom(1), Date.now())
    const reader = new ByteReader(await this.request(encodeProduce(topic, 1, batch)), 8)
    reader.int32()
    reader.string()
    reader.int32()
    reader.int32()
    return reader.int16()
  }

  /** The log end offset of partitions 0 to `partitions` - 1. */
  async endOffsets(topic: string, partitions: number): Promise<number[]> {
    const writer = startRequest(LIST_OFFSETS).int32(-1).int32(1).string(topic).int32(partitions)
    for (let i = 0; i < partitions; i++) writer.int32(i).int64(-1)
    const reader = new ByteReader(await this.request(sealFrame(writer)), 8)
    reader.int32()
    reader.string()
    const offsets = Array.from({ length: partitions }, () => 0)
    for (let count = reader.int32(); count > 0; count--) {
      const partition = reader.int32()
      const error = reader.int16()
      if (error !== 0) throw new Error(`ListOffsets answered error ${error} for partition ${partition}`)
      reader.int64()
      offsets[partition] = reader.int64()
    }
    return offsets
  }

  #collect(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk])
    if (this.#received.length < 4) return
    const bytes = 4 + this.#received.readInt32BE(0)
    if (this.#received.length < bytes) return
    const frame = this.#received.subarray(0, bytes)
    this.#received = this.#received.subarray(bytes)
    if (frame.readInt32BE(4) !== this.#correlationId) return
    const answer = this.#answer
    this.#answer = null
    this.#refuse = null
    answer?.(frame)
  }

  #fail(error: Error): void {
    this.#closed ??= error
    const refuse = this.#refuse
    this.#answer = null
    this.#refuse = null
    refuse?.(error)
  }
}
