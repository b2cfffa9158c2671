import assert from 'node:assert/strict'
import { decoderFor, encoderFor } from '../../protocol/compile.ts'
import { Reader } from '../../protocol/reader.ts'
import { Writer } from '../../protocol/writer.ts'
import type { MessageSchema } from '../../protocol/schema.ts'
import { GroupCoordinator } from '../../src/broker/groups/group-coordinator.ts'
import { AnswerBudget } from '../../src/broker/answer-budget.ts'
import type { Broker } from '../../src/broker/broker.ts'
import { Slices } from '../../src/broker/slices.ts'
import type { Address } from '../../src/ports.ts'
import type { Api } from '../../src/api/requests/handler.ts'
import {
  electedForAll,
  GROUP_SETTINGS,
  MemoryCoordinatorLog,
} from '../broker/groups/memory-coordinator-log.ts'
import { SimLogger } from '../simulator/sim-logger.ts'
import { SimMetrics } from '../simulator/sim-metrics.ts'
import { SimRandom } from '../simulator/sim-random.ts'
import { ManualClock } from '../support/manual-clock.ts'

export type Body = Record<string, unknown>

/** The group handlers over a coordinator in memory. Requests and responses go through the bytes of their version. */
export class GroupApis {
  readonly clock = new ManualClock()
  readonly log = new MemoryCoordinatorLog()
  readonly groups: GroupCoordinator
  readonly brokers = new Map([[7, { id: 7, endpoints: new Map<string, Address>() }]])
  readonly #leaders = Array.from({ length: this.log.partitionCount }, () => ({ leader: 7 }))
  readonly #broker: Broker

  private constructor() {
    const random = new SimRandom(1)
    const world = { clock: this.clock, random, logger: new SimLogger(), metrics: new SimMetrics() }
    this.groups = new GroupCoordinator(world, this.log, GROUP_SETTINGS)
    const topics = new Map([
      ['topic', { partitions: [{ leader: 7 }, { leader: 7 }] }],
      ['__consumer_offsets', { partitions: this.#leaders }],
    ])
    // What the handlers of groups use of a broker.
    this.#broker = {
      groups: this.groups,
      metadata: { nodeId: 7, topics, brokers: this.brokers },
      nodeId: 7,
      clock: this.clock,
      slices: new Slices(this.clock),
    } as unknown as Broker
  }

  static async start(): Promise<GroupApis> {
    const apis = new GroupApis()
    await electedForAll(apis.groups, apis.log)
    return apis
  }

  /** In the metadata. */
  led(groupIds: readonly string[], leader: number): void {
    for (const groupId of groupIds) this.#leaders[this.groups.partitionOf(groupId)] = { leader }
  }

  /** What is left out of `body` has its default. Responses appear in the returned list when they come. */
  send(api: Api, version: number, body: Body): Body[] {
    assert.ok(version >= api.minVersion && version <= api.maxVersion)
    const responses: Body[] = []
    api.handle(
      throughBytes(api.request, version, body),
      {
        broker: this.#broker,
        apiVersion: version,
        clientId: 'client',
        clientAddress: { host: '10.0.0.1', port: 1 },
        advertised: { host: 'broker.example', port: 9092 },
        listenerName: 'PLAINTEXT',
        attach: () => assert.fail('no answer of these APIs has pieces'),
        releaseBytes: () => undefined,
        peer: null,
        becomePeer: () => undefined,
        clientIsLocal: true,
        answers: new AnswerBudget(Infinity, this.#broker.clock),
        apis: new Map(),
        abandoned: false,
        longestWaitMs: Infinity,
        standsFor: (_elements, goOn) => goOn(),
        holdOthers: () => {},
        parks: () => {},
        keepBytes: () => {},
        letBytesGo: () => {},
        whenAbandoned: () => {},
        guard: (run) => run,
        refuse: () => assert.fail('refused'),
        fail: (error) => assert.fail(error instanceof Error ? error : String(error)),
      },
      (response) => {
        assert.equal(responses.length, 0, 'answered once')
        responses.push(throughBytes(api.response, version, response))
      },
    )
    return responses
  }

  async call(api: Api, version: number, body: Body): Promise<Body> {
    const responses = this.send(api, version, body)
    for (let i = 0; i < 1_000 && responses.length === 0; i++) await Promise.resolve()
    assert.equal(responses.length, 1, 'answered')
    return responses[0]!
  }
}

function throughBytes(schema: MessageSchema, version: number, value: unknown): Body {
  const writer = new Writer(128)
  encoderFor(schema, version)(writer, value as never)
  const reader = new Reader(writer.finishBuffer())
  const decoded = decoderFor(schema, version)(reader)
  reader.expectEnd()
  return decoded
}

/** Every version an API serves. */
export function versionsOf(api: Api): number[] {
  return Array.from({ length: api.maxVersion - api.minVersion + 1 }, (_, i) => api.minVersion + i)
}
