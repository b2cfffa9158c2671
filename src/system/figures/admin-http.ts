import net from 'node:net'
import type { AddressInfo } from 'node:net'
import type { Address } from '../../ports.ts'
import { DiskFailure, toDiskFailure } from '../disk-failure.ts'
import { AdminConnection, textAnswer } from './admin-connection.ts'
import type { Answer } from './admin-connection.ts'
import { createHostCheck } from './http-head.ts'
import type { RequestHead } from './http-head.ts'
import { SharedAnswer } from './shared-answer.ts'

/** Slow ones of an address beyond these make room for its next one. */
const MAX_SLOW_PER_ADDRESS = 16
const MAX_CONNECTIONS = 256
/** Who asks more often gets what others got. */
const KEEP_METRICS_MS = 1_000

export interface Health {
  readonly healthy: boolean
  /** Why not; shown in the answer. */
  readonly reasons: readonly string[]
}

/** What the endpoint tells. Plain functions, so it knows nothing of brokers. */
export interface AdminSources {
  readonly metrics: () => Promise<string>
  readonly metricsContentType: string
  /** The process serves requests. False: restart it. */
  readonly live: () => Health
  /** The broker can be sent clients. False: keep them away for now. */
  readonly ready: () => Health
  /** Names by which this machine may be asked for figures, besides localhost and addresses. `*`: any. */
  readonly hosts: readonly string[]
}

export interface AdminHttp {
  readonly address: Address
  close(): Promise<void>
}

/**
 * `/metrics`, `/health/live` and `/health/ready` for GET and HEAD. Rejects when the address cannot be had.
 *
 * Whoever reaches the port may ask, and must not be able to keep others from it, least of all the probe that decides
 * whether the process lives: a connection is good for one request that has to come at once, figures are collected once
 * for all who ask within a second, and those who are slow make room for those who come.
 */
export function startAdminHttp(address: Address, sources: AdminSources): Promise<AdminHttp> {
  const open = new Set<AdminConnection>()
  const answering = createAnswering(sources)
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const connection = new AdminConnection(socket, answering)
    makeRoom(open, connection.remoteAddress)
    open.add(connection)
    socket.on('close', () => open.delete(connection))
  })
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(toDiskFailure(error)))
    server.listen({ host: address.host, port: address.port }, () => {
      server.removeAllListeners('error')
      server.on('error', () => {})
      const bound = server.address()
      if (!isAddressInfo(bound)) {
        reject(new DiskFailure('EADDRNOTAVAIL', 'no TCP address'))
        return
      }
      const close = (): Promise<void> => closeServer(server, open)
      resolve({ address: { host: bound.address, port: bound.port }, close })
    })
  })
}

/** Before one from this address is let in: the oldest slow one goes, when there are many, or the oldest of all. */
function makeRoom(open: Set<AdminConnection>, remoteAddress: string): void {
  const slow = [...open].filter((other) => other.remoteAddress === remoteAddress && other.isSlow)
  if (slow.length >= MAX_SLOW_PER_ADDRESS) give(open, slow[0])
  if (open.size >= MAX_CONNECTIONS) give(open, [...open].find(({ isSlow }) => isSlow) ?? [...open][0])
}

function give(open: Set<AdminConnection>, connection: AdminConnection | undefined): void {
  if (connection === undefined) return
  open.delete(connection)
  connection.destroy()
}

function createAnswering(sources: AdminSources): (request: RequestHead) => Promise<Answer> {
  const metrics = new SharedAnswer(async () => Buffer.from(await sources.metrics()), KEEP_METRICS_MS)
  const isAllowed = createHostCheck(sources.hosts)
  return async ({ method, path, host }) => {
    if (method !== 'GET' && method !== 'HEAD') return textAnswer(405, 'only GET and HEAD\n')
    switch (path) {
      case '/metrics':
        if (!isAllowed(host)) {
          return textAnswer(403, 'this host is not known here: samsa.admin.allowed.hosts names more\n')
        }
        return { status: 200, contentType: sources.metricsContentType, body: await metrics.get() }
      // Probes name hosts of their own, and what they get tells nobody anything.
      case '/health/live':
        return health(sources.live())
      case '/health/ready':
        return health(sources.ready())
      default:
        return textAnswer(404, 'there are /metrics, /health/live and /health/ready\n')
    }
  }
}

function health(state: Health): Answer {
  const body = JSON.stringify({ status: state.healthy ? 'ok' : 'unavailable', reasons: state.reasons })
  return { status: state.healthy ? 200 : 503, contentType: 'application/json', body: `${body}\n` }
}

function isAddressInfo(address: AddressInfo | string | null): address is AddressInfo {
  return address !== null && typeof address !== 'string'
}

function closeServer(server: net.Server, open: ReadonlySet<AdminConnection>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    for (const connection of open) connection.destroy()
  })
}
