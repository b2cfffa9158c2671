import type { BrokerConfig } from '../../core/config/broker-config.ts'
import type { Address, World } from '../../ports.ts'
import { randomUuid } from '../layout/uuid.ts'
import { encodeBroker } from '../layout/znodes.ts'

const EVERY_INTERFACE: ReadonlySet<string> = new Set(['', '0.0.0.0', '::'])

/**
 * What this broker says of itself in the metadata store, for those who look there: where it listens, above all. What a
 * configured port of 0 became is known once the listeners are open.
 */
export class Registration {
  readonly #world: Pick<World, 'clock' | 'random'>
  readonly #config: BrokerConfig
  readonly #hostName: string
  #ports: ReadonlyMap<string, number> = new Map()

  /** `hostName`: of this machine, for listeners on every interface. */
  constructor(world: Pick<World, 'clock' | 'random'>, config: BrokerConfig, hostName = '') {
    this.#world = world
    this.#config = config
    this.#hostName = hostName
  }

  /** By listener name. Whether that is not what was registered so far. */
  listensOn(addresses: ReadonlyMap<string, Address>): boolean {
    const before = this.#endpoints()
    this.#ports = new Map([...addresses].map(([name, { port }]) => [name, port]))
    return this.#endpoints().join() !== before.join()
  }

  /** With the time of this call. `lineage`: see BrokerRecord. */
  encoded(lineage: readonly number[] = []): Buffer {
    const { endpoints } = this.#config
    return encodeBroker({
      lineage,
      endpoints: this.#endpoints(),
      protocols: new Map(endpoints.map(({ name, protocol }) => [name, protocol])),
      rack: this.#config['broker.rack'],
      incarnation: randomUuid(this.#world.random),
      timestampMs: this.#world.clock.nowMs(),
    })
  }

  #endpoints(): string[] {
    return this.#config.endpoints.map(({ name, host, port, advertised }) => {
      const address = advertised ?? { host, port: this.#ports.get(name) ?? port }
      const reached = EVERY_INTERFACE.has(address.host) ? this.#hostName : address.host
      const shown = reached.includes(':') ? `[${reached}]` : reached
      return `${name}://${shown}:${address.port}`
    })
  }
}
