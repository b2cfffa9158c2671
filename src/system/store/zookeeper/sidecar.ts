import type { CreateMode } from '../../../ports.ts'
import { loadClient } from './client-package.ts'
import type { ClientAcl, ClientClass, ClientStat, ZooKeeperClient } from './client-package.ts'
import { isLost } from './messages.ts'
import type { Call, End, FromSidecar, Problem, Reply, SessionSettings, Stat, ToSidecar } from './messages.ts'

const OK = 0
const INVALID_STATE = -9
const NO_NODE = -101
const BAD_VERSION = -103
const AUTHENTICATION_FAILED_STATE = -113

const FLAGS: Readonly<Record<CreateMode, number>> = {
  persistent: 0,
  ephemeral: 1,
  sequential: 2,
  'ephemeral-sequential': 3,
}

/** As Kafka: all to whoever is logged in, and anybody may read. */
const OWN_ACL: readonly ClientAcl[] = [
  { perms: 31, scheme: 'auth', auth: '' },
  { perms: 1, scheme: 'world', auth: 'anyone' },
]

/** A first attempt that got nowhere is made anew: the library forgets one that was refused at once. */
const FIRST_ATTEMPT_MS = 2_000
/** Of its reads in a row that find only a part of an answer; the library's own limit ends sessions that read large nodes. */
const NO_LIMIT = 2_147_483_647

/** Where the answer of a call stands in the order of calls; null until it is there. */
interface Slot {
  answer: { readonly reply: Reply; readonly data: Buffer | null } | null
}

export interface SidecarEvents {
  tell(message: FromSidecar, data: Buffer | null): void
  /** Nothing more will be told. */
  ended(): void
}

/**
 * One ZooKeeper session, held for a broker by a process of its own. The client library reads one answer per turn of the
 * event loop, which the broker's turns are too long for; and as a thread of the broker it would take that with it when it
 * ends. The session lives as long as the broker does: it is closed when the pipe ends, when the broker's loop has not
 * turned for two thirds of the session timeout, or when told, and never followed by a second one.
 */
export class Sidecar {
  readonly #events: SidecarEvents
  #settings: SessionSettings | null = null
  #client: ZooKeeperClient | null = null
  #ended = false
  #wasConnected = false
  #sessionTimeoutMs = 0
  #heardMs = performance.now()
  #watchdog: NodeJS.Timeout | null = null
  #firstAttempt: NodeJS.Timeout | null = null
  /** The answer to a call was lost: a server that the session comes to next may not know yet what it did. */
  #behind = false
  readonly #slots: Slot[] = []
  /** What to do once a server has the session again. */
  #afterConnect: (() => void)[] = []

  constructor(events: SidecarEvents) {
    this.#events = events
  }

  handle(message: ToSidecar, data: Buffer): void {
    this.#heardMs = performance.now()
    if (this.#ended) return
    if (message.kind === 'open') this.#open(message.settings)
    else if (message.kind === 'close') this.end('closed')
    else if (message.kind === 'call') this.#call(message, data)
  }

  end(why: End): void {
    if (this.#ended) return
    this.#ended = true
    if (this.#watchdog !== null) clearInterval(this.#watchdog)
    if (this.#firstAttempt !== null) clearInterval(this.#firstAttempt)
    // Waits for the server's answer, and calls back for all that is under way.
    this.#client?.close()
    this.#events.tell({ kind: 'ended', why }, null)
    this.#events.ended()
  }

  #open(settings: SessionSettings): void {
    this.#settings = settings
    this.#watch(settings.sessionTimeoutMs)
    const found = loadClient(settings.module)
    if (typeof found !== 'function') {
      this.#refuse(found.problem, found.detail)
      return
    }
    this.#connect(found)
    if (this.#ended) return
    this.#firstAttempt = setInterval(() => {
      if (this.#wasConnected) clearInterval(this.#firstAttempt!)
      else this.#connect(found)
    }, FIRST_ATTEMPT_MS)
  }

  #refuse(problem: Problem, detail: string): void {
    this.#events.tell({ kind: 'refused', problem, detail }, null)
    this.end('closed')
  }

  #connect(Client: ClientClass): void {
    const settings = this.#settings!
    // One that never had a session.
    const before = this.#client
    const options = {
      connect: settings.connect,
      timeout: settings.sessionTimeoutMs,
      debug_level: 0,
      response_counter_limit: NO_LIMIT,
    }
    const client = new Client(options)
    this.#client = client
    before?.close()
    client.on('connect', () => this.#connected(client))
    client.on('connecting', () => {
      if (client === this.#client && this.#wasConnected) this.#events.tell({ kind: 'disconnected' }, null)
    })
    client.on('close', (_client, code) => {
      if (client === this.#client)
        this.end(code === AUTHENTICATION_FAILED_STATE ? 'unauthenticated' : 'expired')
    })
    client.init(options)
    if (client.state === 0) {
      this.#refuse('unresolved', settings.connect)
      return
    }
    if (settings.credentials !== null) client.add_auth('digest', settings.credentials, () => undefined)
  }

  #connected(client: ZooKeeperClient): void {
    if (client !== this.#client || this.#ended) return
    if (!this.#wasConnected) this.#watch(client.timeout)
    this.#wasConnected = true
    this.#sessionTimeoutMs = client.timeout
    this.#events.tell(
      { kind: 'connected', session: client.client_id, timeoutMs: this.#sessionTimeoutMs },
      null,
    )
    for (const run of this.#afterConnect.splice(0)) run()
  }

  /** Ends the session when the broker's loop stands still: what is registered must be able to serve. */
  #watch(sessionTimeoutMs: number): void {
    if (this.#watchdog !== null) clearInterval(this.#watchdog)
    const silenceMs = (sessionTimeoutMs * 2) / 3
    const isSilent = (): boolean => performance.now() - this.#heardMs > silenceMs
    this.#watchdog = setInterval(
      () => {
        if (!isSilent()) return
        // It may have been this process that stood still: then the pipe has something.
        setImmediate(() => setImmediate(() => isSilent() && this.end('silence')))
      },
      Math.max(10, sessionTimeoutMs / 24),
    )
  }

  #call(call: Call, data: Buffer): void {
    const slot: Slot = { answer: null }
    this.#slots.push(slot)
    const answer = (reply: Omit<Reply, 'kind' | 'id'>, bytes: Buffer | null = null): void => {
      if (slot.answer !== null) return
      if (isLost(reply.code)) this.#behind = true
      slot.answer = { reply: { kind: 'reply', id: call.id, ...reply }, data: bytes }
      this.#tellInOrder()
    }
    const client = this.#client
    if (client === null) {
      answer({ code: INVALID_STATE })
      return
    }
    // Of a call that is refused at once nobody hears again.
    const given = this.#give(client, call, data, answer)
    if (given !== OK) answer({ code: given })
  }

  #give(
    client: ZooKeeperClient,
    call: Call,
    data: Buffer,
    answer: (reply: Omit<Reply, 'kind' | 'id'>, bytes?: Buffer | null) => void,
  ): number {
    const { path, version } = call
    switch (call.operation) {
      case 'create':
        return this.#create(client, call, data, answer)
      case 'set':
        return client.a_set(path, data, version, (code, _error, stat) => answer(withStat(code, stat)))
      case 'delete':
        return client.a_delete_(path, version, (code) => answer({ code }))
      case 'get':
        return this.#get(client, call, answer)
      case 'children': {
        this.#catchUp(client)
        const done = (code: number, _error: string, children: readonly string[] | null): void =>
          answer(code === OK && children !== null ? { code, children } : { code })
        return call.watch
          ? client.aw_get_children(path, this.#watcherOf(call), done)
          : client.a_get_children(path, false, done)
      }
    }
  }

  #create(
    client: ZooKeeperClient,
    { path, mode }: Call,
    data: Buffer,
    answer: (reply: Omit<Reply, 'kind' | 'id'>) => void,
  ): number {
    const secure = this.#settings!.secure
    return client.a_create(path, data, FLAGS[mode], (code, _error, created) => {
      if (secure && code === OK)
        this.#secure(client, created, (acl) => answer(acl ?? { code, path: created }))
      else answer(code === OK ? { code, path: created } : { code })
      // It may have been made, and then it stands open.
      if (secure && isLost(code) && mode !== 'sequential' && mode !== 'ephemeral-sequential')
        this.#afterConnect.push(() => this.#secure(client, path, () => undefined))
    })
  }

  /** The library creates nodes that are open to all. Only those are changed of which nobody ever changed that. */
  #secure(client: ZooKeeperClient, path: string, done: (failed: { code: number } | null) => void): void {
    const given = client.a_set_acl(path, 0, OWN_ACL, (code) => {
      if (isLost(code)) this.#afterConnect.push(() => this.#secure(client, path, done))
      // Somebody deleted it, or was there before, and before the answer to the first attempt was lost.
      else done(code === OK || code === NO_NODE || code === BAD_VERSION ? null : { code })
    })
    if (given !== OK) done({ code: given })
  }

  /** A watch is armed for a node that is not there, too, which only `exists` does. */
  #get(
    client: ZooKeeperClient,
    call: Call,
    answer: (reply: Omit<Reply, 'kind' | 'id'>, bytes?: Buffer | null) => void,
  ): number {
    this.#catchUp(client)
    let armed: number = OK
    if (call.watch) {
      const given = client.aw_exists(call.path, this.#watcherOf(call), (code) => {
        armed = code === NO_NODE ? OK : code
      })
      if (given !== OK) return given
    }
    return client.a_get(call.path, false, (code, _error, stat, data) => {
      if (armed !== OK) answer({ code: armed })
      else answer(withStat(code, stat), code === OK ? data : null)
    })
  }

  #watcherOf(call: Call): (type: number) => void {
    let fired = false
    return (type) => {
      // Events of the session are told to all watches, which stay.
      if (type < 0 || fired) return
      fired = true
      this.#events.tell({ kind: 'fired', id: call.id }, null)
    }
  }

  /** What is read after an answer was lost is as new as what was lost. */
  #catchUp(client: ZooKeeperClient): void {
    if (!this.#behind) return
    client.a_sync('/', (code) => {
      if (code === OK) this.#behind = false
    })
  }

  #tellInOrder(): void {
    while (this.#slots.length > 0 && this.#slots[0]!.answer !== null) {
      const { reply, data } = this.#slots.shift()!.answer!
      this.#events.tell(reply, data)
    }
  }
}

function withStat(code: number, stat: ClientStat | null): { code: number; stat?: Stat } {
  if (code !== OK || stat === null) return { code }
  const { czxid, version, ephemeralOwner, createdInThisSession: own, cversion, numChildren } = stat
  const removed = (cversion - numChildren) / 2
  return { code, stat: { czxid, version, ephemeral: ephemeralOwner !== '0', own, removed } }
}
