import type {
  CreateMode,
  MetadataStore,
  MetadataStoreErrorCode,
  NodeStat,
  SessionEvent,
  StoredNode,
  Watch,
} from '../../../ports.ts'
import { isLost } from './messages.ts'
import type { Call, End, FromSidecar, Reply, Stat } from './messages.ts'
import type { SidecarProcess } from './sidecar-process.ts'

/** The library breaks the connection when it is given thousands at once. */
const MAX_UNDER_WAY = 128
/** ZooKeeper's `jute.maxbuffer`, less what stands around the data of a request: servers hang up on larger ones. */
const MAX_NODE_BYTES = 1_048_575 - 1_024
const NOTHING = Buffer.alloc(0)

const OK = 0
const NO_NODE = -101

const CODES: ReadonlyMap<number, MetadataStoreErrorCode> = new Map([
  [-8, 'INVALID_PATH'],
  [-9, 'SESSION_EXPIRED'],
  [-112, 'SESSION_EXPIRED'],
  [-116, 'SESSION_EXPIRED'],
  [NO_NODE, 'NO_NODE'],
  [-103, 'BAD_VERSION'],
  [-108, 'NO_CHILDREN_FOR_EPHEMERALS'],
  [-110, 'NODE_EXISTS'],
  [-111, 'NOT_EMPTY'],
])

const ACCESS: ReadonlyMap<number, string> = new Map([
  [
    -102,
    'ZooKeeper does not allow it (NOAUTH): its ACL wants other credentials than samsa.zookeeper.credentials',
  ],
  [-114, 'ZooKeeper refuses the ACL (INVALIDACL): zookeeper.set.acl needs samsa.zookeeper.credentials'],
  [-115, 'ZooKeeper refuses samsa.zookeeper.credentials (AUTHFAILED)'],
])

/** What errors are to the rest of the broker, whose bundle is another one. */
export interface StoreErrors {
  readonly make: (code: MetadataStoreErrorCode, message: string) => Error
  /** Throws for what is no path. */
  readonly checkPath: (path: string) => void
}

export interface SessionObserver {
  disconnected(): void
  reconnected(): void
  ended(why: End): void
  /** From when a call was handed over until its answer came. */
  answered(latencyMs: number): void
}

interface WaitingCall {
  readonly call: Call
  readonly data: Buffer
  readonly watch: Watch | null
  readonly settle: (reply: Reply, data: Buffer) => void
  readonly fail: (error: Error) => void
  sentMs: number
}

/** One session on a ZooKeeper ensemble. Its handle lives in a process of its own; this is the broker's end of the pipe. */
export class ZooKeeperSession implements MetadataStore {
  readonly sessionTimeoutMs: number
  readonly #sidecar: SidecarProcess
  readonly #errors: StoreErrors
  readonly #observer: SessionObserver
  readonly #listeners: ((event: SessionEvent) => void)[] = []
  #nextId = 1
  /** Not handed over yet, in order; those before `#taken` have left. */
  #waiting: WaitingCall[] = []
  readonly #underWay = new Map<number, WaitingCall>()
  readonly #watches = new Map<number, Watch>()
  #over = false
  #closing: Promise<void> | null = null

  constructor(
    sidecar: SidecarProcess,
    sessionTimeoutMs: number,
    errors: StoreErrors,
    observer: SessionObserver,
  ) {
    this.#sidecar = sidecar
    this.sessionTimeoutMs = sessionTimeoutMs
    this.#errors = errors
    this.#observer = observer
    sidecar.onMessage = (message, data) => this.#take(message, data)
    sidecar.onExit = () => this.#end('expired')
  }

  async create(path: string, data: Buffer, mode: CreateMode = 'persistent'): Promise<string> {
    const { reply } = await this.#call('create', path, { data, mode })
    return reply.path ?? path
  }

  async get(path: string, watch?: Watch): Promise<StoredNode | null> {
    const { reply, data } = await this.#call('get', path, { watch, mayBeMissing: true })
    return reply.stat === undefined ? null : { data, stat: statOf(reply.stat) }
  }

  async set(path: string, data: Buffer, version: number): Promise<NodeStat> {
    const { reply } = await this.#call('set', path, { data, version })
    return statOf(reply.stat!)
  }

  async delete(path: string, version: number): Promise<void> {
    await this.#call('delete', path, { version })
  }

  async children(path: string, watch?: Watch): Promise<string[] | null> {
    const { reply } = await this.#call('children', path, { watch, mayBeMissing: true })
    return reply.children === undefined ? null : [...reply.children]
  }

  /** Of the process that holds the session. */
  get holderPid(): number | undefined {
    return this.#sidecar.pid
  }

  onSession(listener: (event: SessionEvent) => void): void {
    this.#listeners.push(listener)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (!this.#over) {
      this.#sidecar.send({ kind: 'close' })
      this.#stop()
    }
    await this.#sidecar.exited()
  }

  #call(
    operation: Call['operation'],
    path: string,
    parts: {
      readonly data?: Buffer
      readonly version?: number
      readonly mode?: CreateMode
      readonly watch?: Watch | undefined
      readonly mayBeMissing?: boolean
    },
  ): Promise<{ readonly reply: Reply; readonly data: Buffer }> {
    const { data = NOTHING, version = -1, mode = 'persistent', watch = null, mayBeMissing = false } = parts
    return new Promise((resolve, reject) => {
      this.#errors.checkPath(path)
      if (operation === 'delete' && path === '/')
        throw this.#errors.make('INVALID_PATH', 'the root cannot be deleted')
      if (data.length > MAX_NODE_BYTES - path.length)
        throw this.#errors.make(
          'STORAGE',
          `${path} is ${data.length} bytes; a node holds at most ${MAX_NODE_BYTES - path.length}`,
        )
      if (this.#over) throw this.#sessionOver()
      const id = this.#nextId++
      this.#waiting.push({
        call: { kind: 'call', id, operation, path, version, mode, watch: watch !== null },
        // It is sent in a later turn, perhaps, and belongs to the caller.
        data: data.length === 0 ? NOTHING : Buffer.from(data),
        watch,
        settle: (reply, bytes) => {
          if (reply.code === OK || (mayBeMissing && reply.code === NO_NODE)) resolve({ reply, data: bytes })
          else reject(this.#errorOf(reply.code, operation, path))
        },
        fail: reject,
        sentMs: 0,
      })
      this.#handOver()
    })
  }

  #handOver(): void {
    while (this.#waiting.length > 0 && this.#underWay.size < MAX_UNDER_WAY) {
      const next = this.#waiting.shift()!
      next.sentMs = performance.now()
      this.#underWay.set(next.call.id, next)
      // Before the answer: the watch may be told of a change first.
      if (next.watch !== null) this.#watches.set(next.call.id, next.watch)
      this.#sidecar.send(next.call, next.data)
    }
  }

  #take(message: FromSidecar, data: Buffer): void {
    if (this.#over) return
    switch (message.kind) {
      case 'reply':
        this.#answer(message, data)
        return
      case 'fired': {
        const watch = this.#watches.get(message.id)
        this.#watches.delete(message.id)
        watch?.()
        return
      }
      case 'connected':
        this.#observer.reconnected()
        this.#tell('connected')
        return
      case 'disconnected':
        this.#observer.disconnected()
        this.#tell('disconnected')
        return
      case 'ended':
        this.#end(message.why)
        return
      case 'refused':
    }
  }

  #answer(reply: Reply, data: Buffer): void {
    const waiting = this.#underWay.get(reply.id)
    if (waiting === undefined) return
    this.#underWay.delete(reply.id)
    this.#observer.answered(performance.now() - waiting.sentMs)
    const { operation } = waiting.call
    // A node may be missing and watched, its children may not.
    const isArmed = reply.code === OK || (operation === 'get' && reply.code === NO_NODE)
    if (waiting.watch !== null && !isArmed) this.#watches.delete(reply.id)
    waiting.settle(reply, data)
    this.#handOver()
  }

  /** The session is over, or its holder is gone, which comes to the same: nobody may go on with it. */
  #end(why: End): void {
    if (this.#over) return
    this.#stop()
    this.#observer.ended(why)
    this.#tell('expired')
  }

  #stop(): void {
    this.#over = true
    this.#watches.clear()
    const unanswered = [...this.#underWay.values(), ...this.#waiting]
    this.#underWay.clear()
    this.#waiting = []
    for (const { fail } of unanswered) fail(this.#sessionOver())
  }

  #tell(event: SessionEvent): void {
    for (const listener of this.#listeners) listener(event)
  }

  #sessionOver(): Error {
    return this.#errors.make('SESSION_EXPIRED', 'the session has ended')
  }

  #errorOf(code: number, operation: string, path: string): Error {
    const known = isLost(code) ? 'CONNECTION_LOSS' : CODES.get(code)
    if (known !== undefined) return this.#errors.make(known, `${operation} ${path}: ${known}`)
    const why = ACCESS.get(code) ?? `ZooKeeper answers ${code}`
    return this.#errors.make('STORAGE', `${operation} ${path}: ${why}`)
  }
}

function statOf({ czxid, version, ephemeral, own, removed }: Stat): NodeStat {
  return {
    createdTransaction: czxid,
    version,
    ephemeral,
    ownedByThisSession: own,
    removedChildren: removed,
  }
}
