import assert from 'node:assert/strict'
import { decoderFor, encoderFor } from '../../protocol/compile.ts'
import { Reader } from '../../protocol/reader.ts'
import type { Decoded, Encodable, MessageSchema } from '../../protocol/schema.ts'
import { Writer } from '../../protocol/writer.ts'
import type { Api, RequestContext } from '../../src/api/requests/handler.ts'
import { AnswerBudget } from '../../src/broker/answer-budget.ts'
import type { Broker } from '../../src/broker/broker.ts'
import { Slices } from '../../src/broker/slices.ts'
import type { OneNodeMetadata } from '../../src/metadata/one-node.ts'
import type { Clock } from '../../src/ports.ts'
import { brokerConfig, openMetadata } from '../metadata/metadata-harness.ts'
import type { RecordingListener } from '../metadata/metadata-harness.ts'
import { SimWorld } from '../simulator/sim-world.ts'

/** Handlers of the admin APIs over real metadata; only the broker around it is left out. */
export class AdminHarness {
  readonly metadata: OneNodeMetadata
  readonly listener: RecordingListener
  readonly #broker: Broker

  constructor(metadata: OneNodeMetadata, listener: RecordingListener, clock: Clock) {
    this.metadata = metadata
    this.listener = listener
    const broker = {
      metadata,
      clock,
      slices: new Slices(clock),
      get config() {
        return metadata.config
      },
      autoCreateTopic: (topic: string) =>
        metadata.config['auto.create.topics.enable'] ? metadata.autoCreateTopic(topic) : null,
    }
    this.#broker = broker as unknown as Broker
  }

  /** Request and response pass through their bytes, so what a version cannot carry is lost or fails as on the wire. */
  async call<Request extends MessageSchema, Response extends MessageSchema>(
    api: Api,
    version: number,
    schemas: readonly [Request, Response],
    body: Encodable<Request>,
  ): Promise<Decoded<Response>> {
    const [requestSchema, responseSchema] = schemas
    const request = roundTrip(requestSchema, version, body)
    const response = await new Promise<unknown>((resolve, reject) => {
      const context: RequestContext = {
        broker: this.#broker,
        apis: new Map([[api.key, api]]),
        apiVersion: version,
        clientId: 'test',
        clientAddress: { host: '10.0.0.9', port: 50_000 },
        advertised: { host: 'reached.example', port: 9092 },
        listenerName: 'PLAINTEXT',
        attach: () => assert.fail('no answer of these APIs has pieces'),
        releaseBytes: () => undefined,
        peer: null,
        becomePeer: () => undefined,
        clientIsLocal: true,
        answers: new AnswerBudget(Infinity, this.#broker.clock),
        abandoned: false,
        longestWaitMs: Infinity,
        standsFor: (_elements, goOn) => goOn(),
        holdOthers: () => {},
        parks: () => {},
        keepBytes: () => {},
        letBytesGo: () => {},
        whenAbandoned: () => {},
        guard: (run) => run,
        refuse: (reason) => reject(new Error(reason)),
        fail: reject,
      }
      api.handle(request, context, resolve)
    })
    return roundTrip(responseSchema, version, response as Encodable<Response>)
  }
}

function roundTrip<Schema extends MessageSchema>(
  schema: Schema,
  version: number,
  value: Encodable<Schema>,
): Decoded<Schema> {
  const writer = new Writer()
  encoderFor(schema, version)(writer, value)
  const reader = new Reader(writer.finishBuffer())
  const decoded = decoderFor(schema, version)(reader)
  reader.expectEnd()
  return decoded
}

export function versionsOf(api: Api): number[] {
  return Array.from({ length: api.maxVersion - api.minVersion + 1 }, (_, index) => api.minVersion + index)
}

/** Runs `body` with fresh metadata in a simulated world. */
export async function withAdmin(
  body: (admin: AdminHarness) => Promise<void>,
  config: Record<string, string> = {},
): Promise<void> {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const process = sim.start()
    const { metadata, listener } = await openMetadata(process, brokerConfig(config))
    await body(new AdminHarness(metadata, listener, process.world.clock))
  })
}
