import { SamsaError } from '../samsa-error.ts'
import { wrongSetting } from './secrets.ts'

/** Where a ZooKeeper ensemble is. */
export interface ZooKeeperAddress {
  /** `host:port` of each server; IPv6 addresses without brackets, as the client library wants them. */
  readonly servers: readonly string[]
  /** The node that stands for the root; empty for the root itself. */
  readonly chroot: string
}

const KEY = 'zookeeper.connect'
const ALLOWED = 'must be host:port[,host:port...][/chroot], for example zk1:2181,zk2:2181,zk3:2181/kafka'
/** As in ZooKeeper's own clients. */
const DEFAULT_PORT = 2181
const SERVER = /^(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([^:/[\]\s]+))(?::([0-9]{1,5}))?$/

/** Reads `zookeeper.connect`; null when there is none. Throws SAMSA_CONFIG. */
export function parseZooKeeperConnect(text: string | null): ZooKeeperAddress | null {
  if (text === null || text === '') return null
  const slash = text.indexOf('/')
  const list = slash === -1 ? text : text.slice(0, slash)
  const path = slash === -1 ? '' : text.slice(slash)
  const servers = list.split(',').map((each) => serverOf(each.trim(), text))
  return { servers, chroot: chrootOf(path, text) }
}

function fail(text: string): never {
  throw new SamsaError('SAMSA_CONFIG', wrongSetting(KEY, text, '', ALLOWED))
}

function serverOf(server: string, text: string): string {
  const match = SERVER.exec(server)
  const port = Number(match?.[3] ?? DEFAULT_PORT)
  if (match === null || port === 0 || port > 65_535) return fail(text)
  return `${match[1] ?? match[2]!}:${port}`
}

function chrootOf(path: string, text: string): string {
  if (path === '' || path === '/') return ''
  const names = path.slice(1).split('/')
  const isFine = names.every(
    (name) => name !== '' && name !== '.' && name !== '..' && !/[\s\p{C},]/u.test(name),
  )
  return isFine ? path : fail(text)
}
