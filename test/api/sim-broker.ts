import type { Decoded, Encodable, MessageSchema } from '../../protocol/schema.ts'
import { parseBrokerConfig } from '../../src/core/config/broker-config.ts'
import type { NewTopic } from '../../src/core/options/broker-options.ts'
import { startBroker } from '../../src/server/start-broker.ts'
import type { RunningBroker } from '../../src/server/start-broker.ts'
import { openEmbeddedStore } from '../../src/system/store/embedded-store.ts'
import { SimClient } from '../simulator/sim-client.ts'
import { SimWorld } from '../simulator/sim-world.ts'
import type { SimProcess } from '../simulator/sim-machine.ts'

const PORT = 9092

/** A whole broker in the simulator, and a client of it: requests go through the bytes of their version. */
export class SimBroker {
  readonly sim: SimWorld
  readonly process: SimProcess
  readonly running: RunningBroker
  readonly client: SimClient

  private constructor(sim: SimWorld, process: SimProcess, running: RunningBroker) {
    this.sim = sim
    this.process = process
    this.running = running
    this.client = this.connect()
  }

  static async start(sim: SimWorld, properties: Readonly<Record<string, string>>): Promise<SimBroker> {
    const process = sim.start()
    const values = new Map([
      ['listeners', `PLAINTEXT://127.0.0.1:${PORT}`],
      ['log.dirs', '/data'],
      ['offsets.topic.num.partitions', '2'],
      ...Object.entries(properties),
    ])
    const { config } = parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', origin: 'test', values }])
    const running = await startBroker(process.world, config, (path) => openEmbeddedStore(process.world, path))
    return new SimBroker(sim, process, running)
  }

  connect(): SimClient {
    const client = SimClient.connect(this.sim, PORT)
    if (client === null) throw new Error('nobody listens')
    return client
  }

  send<Request extends MessageSchema, Response extends MessageSchema>(
    [request, response]: readonly [Request, Response],
    version: number,
    body: Encodable<Request>,
  ): Promise<Decoded<Response>> {
    return this.client.send({ request, response, version }, body)
  }

  createTopics(...topics: NewTopic[]): Promise<unknown> {
    return this.running.createTopics(topics)
  }

  stop(): Promise<unknown> {
    return this.running.stop()
  }
}

/** Runs the body with a broker of these properties, and stops it. */
export async function withSimBroker(
  body: (broker: SimBroker) => Promise<void>,
  properties: Readonly<Record<string, string>> = {},
): Promise<void> {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const broker = await SimBroker.start(sim, properties)
    await body(broker)
    await broker.stop()
  })
}
