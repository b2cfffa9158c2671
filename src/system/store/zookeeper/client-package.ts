/** What is used of the npm package `zookeeper`, which is found when it is asked for. */
import { createRequire } from 'node:module'
import { codeOf, messageOf } from '../../../core/is-error.ts'
import type { Problem } from './messages.ts'

/** Answered later, or a code that is not 0 at once: then the callback is never called. */
type Answered = number

export interface ClientStat {
  readonly czxid: number
  readonly version: number
  /** Hexadecimal; `0` for a node that is not ephemeral. */
  readonly ephemeralOwner: string
  readonly createdInThisSession: boolean
  /** How often children came or went. */
  readonly cversion: number
  readonly numChildren: number
}

export interface ClientAcl {
  readonly perms: number
  readonly scheme: string
  readonly auth: string
}

type Watcher = (type: number, state: number, path: string) => void

export interface ZooKeeperClient {
  /** 0 before `init`, and after one that failed. */
  readonly state: number
  readonly timeout: number
  readonly client_id: string
  on(event: 'connect' | 'connecting', listener: () => void): void
  on(event: 'close', listener: (client: ZooKeeperClient, code: number) => void): void
  init(options: Readonly<Record<string, unknown>>): void
  close(): void
  add_auth(scheme: string, auth: string, done: (code: number) => void): Answered
  a_create(
    path: string,
    data: Buffer,
    flags: number,
    done: (code: number, error: string, path: string) => void,
  ): Answered
  a_set_acl(path: string, version: number, acl: readonly ClientAcl[], done: (code: number) => void): Answered
  aw_exists(path: string, watch: Watcher, done: (code: number) => void): Answered
  a_get(
    path: string,
    watch: boolean,
    done: (code: number, error: string, stat: ClientStat | null, data: Buffer | null) => void,
  ): Answered
  a_set(
    path: string,
    data: Buffer,
    version: number,
    done: (code: number, error: string, stat: ClientStat | null) => void,
  ): Answered
  a_delete_(path: string, version: number, done: (code: number) => void): Answered
  a_get_children(
    path: string,
    watch: boolean,
    done: (code: number, error: string, children: readonly string[] | null) => void,
  ): Answered
  aw_get_children(
    path: string,
    watch: Watcher,
    done: (code: number, error: string, children: readonly string[] | null) => void,
  ): Answered
  a_sync(path: string, done: (code: number) => void): Answered
}

export type ClientClass = new (options: Readonly<Record<string, unknown>>) => ZooKeeperClient

export interface MissingClient {
  readonly problem: Problem
  readonly detail: string
}

/** `name`: of the package, or its path. */
export function loadClient(name: string): ClientClass | MissingClient {
  const require = createRequire(import.meta.url)
  try {
    require.resolve(name)
  } catch (error) {
    return { problem: 'missing', detail: messageOf(error) }
  }
  try {
    const loaded: unknown = require(name)
    if (typeof loaded === 'function') return loaded as ClientClass
    return { problem: 'broken', detail: `${name} is another package` }
  } catch (error) {
    return { problem: problemOf(error), detail: messageOf(error) }
  }
}

function problemOf(error: unknown): Problem {
  const text = messageOf(error)
  if (/No native build was found/.test(text)) return 'unbuilt'
  if (/did not self-register|NODE_MODULE_VERSION|different Node\.js version/.test(text)) return 'foreign'
  // A binary for another processor, or against a library that is not there.
  return codeOf(error) === 'ERR_DLOPEN_FAILED' ? 'foreign' : 'broken'
}
