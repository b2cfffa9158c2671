/** The entry of a bundle that is loaded with `zookeeper.connect` only. */
import type { Counter, Logger, MetadataStore, Metrics, Summary } from '../../../ports.ts'
import { describeProblem } from './client-problem.ts'
import type { End, FromSidecar, SessionSettings } from './messages.ts'
import { SidecarProcess } from './sidecar-process.ts'
import { ZooKeeperSession } from './zookeeper-session.ts'
import type { StoreErrors } from './zookeeper-session.ts'

export interface ZooKeeperOptions {
  /** `zookeeper.connect` as it was given. */
  readonly shown: string
  /** Servers, each with a port and without brackets. */
  readonly servers: readonly string[]
  /** Empty, or begins with a slash. */
  readonly chroot: string
  readonly sessionTimeoutMs: number
  readonly connectionTimeoutMs: number
  readonly module: string
  readonly credentials: string | null
  readonly secure: boolean
}

export interface Surroundings {
  /** The program of the process that holds a session. */
  readonly sidecarFile: string
  readonly logger: Logger
  readonly metrics: Metrics
  readonly errors: StoreErrors
  /** Why there is no session: the package is the trouble, or what keeps the metadata. */
  readonly refusal: (code: 'SAMSA_ZOOKEEPER_CLIENT' | 'SAMSA_METADATA_STORE', message: string) => Error
}

/** As Kafka's metric calls them, as far as they are known here. */
type SessionState = 'CONNECTING' | 'CONNECTED' | 'CLOSED'

const SESSION = 'kafka_server_sessionexpirelistener'

const END_REASONS: Readonly<Record<End, string>> = {
  expired: 'ZooKeeper, or the process that held it, ended it',
  unauthenticated: 'ZooKeeper refused samsa.zookeeper.credentials',
  silence: 'the event loop of this broker stood still for two thirds of its timeout',
  closed: 'it was closed',
}

/** Sessions on one ensemble, one after the other. */
export class ZooKeeperStores {
  readonly #options: ZooKeeperOptions
  readonly #surroundings: Surroundings
  readonly #latency: Summary
  readonly #disconnects: Counter
  readonly #connects: Counter
  readonly #expirations: Counter
  readonly #refusedLogins: Counter
  #state: SessionState = 'CONNECTING'

  constructor(options: ZooKeeperOptions, surroundings: Surroundings) {
    this.#options = options
    this.#surroundings = surroundings
    const { metrics } = surroundings
    this.#latency = metrics.summary(
      'kafka_server_zookeeperclientmetrics_zookeeperrequestlatencyms',
      'Milliseconds from a request to ZooKeeper until its answer.',
    )
    const count = (name: string, help: string): Counter => metrics.counter(`${SESSION}_${name}_total`, help)
    this.#disconnects = count('zookeeperdisconnects', 'How often the connection to ZooKeeper was lost.')
    this.#connects = count('zookeepersyncconnects', 'How often there was a connection to ZooKeeper.')
    this.#expirations = count(
      'zookeeperexpires',
      'Sessions with ZooKeeper that ended before they were closed.',
    )
    this.#refusedLogins = count('zookeeperauthfailures', 'How often ZooKeeper refused the credentials.')
    metrics.gauge(`${SESSION}_sessionstate`, 'State of the session with ZooKeeper, as a label.', () => [
      { labels: { state: this.#state }, value: 1 },
    ])
  }

  /** A new session. Rejects with what `refusal` makes when there is none to be had. */
  async open(): Promise<MetadataStore> {
    const { shown, sessionTimeoutMs, chroot } = this.#options
    const { logger, errors, sidecarFile } = this.#surroundings
    const begunMs = performance.now()
    logger.info({ servers: shown, sessionTimeoutMs }, 'connecting to ZooKeeper')
    this.#state = 'CONNECTING'
    const sidecar = new SidecarProcess(sidecarFile, this.#settings())
    const { session, timeoutMs } = await this.#connected(sidecar)
    const ms = Math.round(performance.now() - begunMs)
    const id = `0x${session}`
    this.#state = 'CONNECTED'
    this.#connects.add(1)
    logger.info({ servers: shown, session: id, timeoutMs, ms }, 'connected to ZooKeeper')
    this.#tellTimeout(timeoutMs)
    sidecar.keepAlive(timeoutMs)
    const store = new ZooKeeperSession(sidecar, timeoutMs, errors, this.#observerOf(id))
    if (chroot !== '') await this.#checkChroot(store)
    return store
  }

  #settings(): SessionSettings {
    const { servers, chroot, sessionTimeoutMs, module, credentials, secure } = this.#options
    return { connect: servers.join(',') + chroot, sessionTimeoutMs, module, credentials, secure }
  }

  #connected(sidecar: SidecarProcess): Promise<{ readonly session: string; readonly timeoutMs: number }> {
    const { shown, connectionTimeoutMs, sessionTimeoutMs } = this.#options
    const { refusal } = this.#surroundings
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        clearTimeout(timer)
        sidecar.onMessage = sidecar.onExit = () => undefined
        sidecar.kill()
        this.#state = 'CLOSED'
        reject(error)
      }
      const why =
        connectionTimeoutMs === sessionTimeoutMs
          ? ', which is zookeeper.session.timeout.ms where it is not set'
          : ''
      const timer = setTimeout(
        () =>
          fail(
            refusal(
              'SAMSA_METADATA_STORE',
              `zookeeper.connect=${shown}: no server answered within zookeeper.connection.timeout.ms=${connectionTimeoutMs}${why}`,
            ),
          ),
        connectionTimeoutMs,
      )
      sidecar.onMessage = (message) => {
        if (message.kind === 'connected') {
          clearTimeout(timer)
          resolve(message)
        } else if (message.kind === 'refused' || message.kind === 'ended') fail(this.#whyNot(message))
      }
      sidecar.onExit = () =>
        fail(
          refusal(
            'SAMSA_METADATA_STORE',
            `zookeeper.connect=${shown}: the process that should hold the session ended: ${sidecar.printed.trim()}`,
          ),
        )
    })
  }

  #whyNot(message: FromSidecar & { readonly kind: 'refused' | 'ended' }): Error {
    const { shown, module } = this.#options
    const { refusal, sidecarFile } = this.#surroundings
    if (message.kind === 'ended') {
      if (message.why === 'unauthenticated') this.#refusedLogins.add(1)
      return refusal(
        'SAMSA_METADATA_STORE',
        `zookeeper.connect=${shown}: no session: ${END_REASONS[message.why]}`,
      )
    }
    if (message.problem === 'unresolved')
      return refusal('SAMSA_METADATA_STORE', `zookeeper.connect=${shown}: none of the names has an address`)
    return refusal(
      'SAMSA_ZOOKEEPER_CLIENT',
      describeProblem(message.problem, message.detail, module, sidecarFile),
    )
  }

  /** Servers have the last word about the timeout, within the bounds of theirs. */
  #tellTimeout(timeoutMs: number): void {
    const { sessionTimeoutMs } = this.#options
    if (timeoutMs === sessionTimeoutMs) return
    const bound = timeoutMs > sessionTimeoutMs ? 'at least' : 'at most'
    this.#surroundings.logger.warn(
      { timeoutMs },
      `zookeeper.session.timeout.ms=${sessionTimeoutMs}: the servers give sessions of ${bound} ${timeoutMs} ms (minSessionTimeout, maxSessionTimeout, tickTime)`,
    )
  }

  async #checkChroot(store: MetadataStore): Promise<void> {
    const { shown, chroot, servers } = this.#options
    let root: unknown
    try {
      root = await store.get('/')
    } catch (error) {
      await store.close()
      throw error
    }
    if (root !== null) return
    await store.close()
    throw this.#surroundings.refusal(
      'SAMSA_METADATA_STORE',
      `zookeeper.connect=${shown}: there is no ${chroot} in this ensemble. Make it first: zkCli.sh -server ${servers[0]} create ${chroot}`,
    )
  }

  #observerOf(session: string) {
    const { logger } = this.#surroundings
    let lostMs = 0
    return {
      answered: (latencyMs: number): void => this.#latency.observe(latencyMs),
      disconnected: (): void => {
        lostMs = performance.now()
        this.#state = 'CONNECTING'
        this.#disconnects.add(1)
        logger.warn(
          { session },
          'lost the connection to ZooKeeper: until it is back topics and configurations cannot change, records go on',
        )
      },
      reconnected: (): void => {
        this.#state = 'CONNECTED'
        this.#connects.add(1)
        logger.info(
          { session, afterMs: Math.round(performance.now() - lostMs) },
          'connected to ZooKeeper again, in the same session',
        )
      },
      ended: (why: End): void => {
        this.#state = 'CLOSED'
        this.#expirations.add(1)
        if (why === 'unauthenticated') this.#refusedLogins.add(1)
        logger.error({ session }, `the ZooKeeper session expired: ${END_REASONS[why]}`)
      },
    }
  }
}
