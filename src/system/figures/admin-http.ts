import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Address } from '../../ports.ts'
import { DiskFailure, toDiskFailure } from '../disk-failure.ts'

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
}

export interface AdminHttp {
  readonly address: Address
  close(): Promise<void>
}

interface Answer {
  readonly status: number
  readonly contentType: string
  readonly body: string
}

/** `/metrics`, `/health/live` and `/health/ready` for GET and HEAD. Rejects when the address cannot be had. */
export function startAdminHttp(address: Address, sources: AdminSources): Promise<AdminHttp> {
  const server = http.createServer({ requestTimeout: 10_000, headersTimeout: 5000 }, (request, response) => {
    answer(request.method ?? '', request.url ?? '', sources).then(
      ({ status, contentType, body }) => {
        response.writeHead(status, { 'content-type': contentType, 'cache-control': 'no-store' })
        response.end(request.method === 'HEAD' ? '' : body)
      },
      () => {
        response.writeHead(500, { 'content-type': 'text/plain; charset=utf-8' })
        response.end('the figures could not be collected\n')
      },
    )
    request.resume()
  })
  server.maxConnections = 100
  server.keepAliveTimeout = 5000
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
      resolve({ address: { host: bound.address, port: bound.port }, close: () => closeServer(server) })
    })
  })
}

async function answer(method: string, url: string, sources: AdminSources): Promise<Answer> {
  if (method !== 'GET' && method !== 'HEAD') return text(405, 'only GET and HEAD\n')
  switch (url.split('?', 1)[0]) {
    case '/metrics':
      return { status: 200, contentType: sources.metricsContentType, body: await sources.metrics() }
    case '/health/live':
      return health(sources.live())
    case '/health/ready':
      return health(sources.ready())
    default:
      return text(404, 'there are /metrics, /health/live and /health/ready\n')
  }
}

function health(state: Health): Answer {
  const body = JSON.stringify({ status: state.healthy ? 'ok' : 'unavailable', reasons: state.reasons })
  return { status: state.healthy ? 200 : 503, contentType: 'application/json', body: `${body}\n` }
}

function text(status: number, body: string): Answer {
  return { status, contentType: 'text/plain; charset=utf-8', body }
}

function isAddressInfo(address: AddressInfo | string | null): address is AddressInfo {
  return address !== null && typeof address !== 'string'
}

function closeServer(server: http.Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
