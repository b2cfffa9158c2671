import process from 'node:process'
import { ErrorCode } from '../../protocol/errors.ts'
import { ApiKey } from '../../protocol/keys.ts'
import { metadataRequest, metadataResponse } from '../../protocol/messages/03-metadata.ts'
import type { MetadataResponse } from '../../protocol/messages/03-metadata.ts'
import { apiVersionsRequest, apiVersionsResponse } from '../../protocol/messages/18-api-versions.ts'
import { parseHostPort } from '../core/config/listeners.ts'
import { printable } from '../core/printable.ts'
import { SamsaError } from '../core/samsa-error.ts'
import type { Address } from '../ports.ts'
import { formatAddress, fromHere } from '../server/client-addresses.ts'
import { NetSockets } from '../system/network/net-sockets.ts'
import { SystemClock } from '../system/system-clock.ts'
import { Turn } from '../system/turn.ts'
import { BrokerLink } from '../wire/broker-link.ts'
import { reportFailure } from './failure.ts'
import { loadConfig } from './load-config.ts'
import type { ConfigOptions } from './load-config.ts'

/** Of all topics and partitions of a large cluster. */
const MAX_RESPONSE_BYTES = 64 << 20

export interface HealthOptions extends ConfigOptions {
  readonly bootstrapServer?: string
  readonly timeout: number
}

const apiVersions = { request: apiVersionsRequest, response: apiVersionsResponse, version: 3 } as const
const metadata = { request: metadataRequest, response: metadataResponse, version: 9 } as const

/** `samsa health`: what a client does first. Throws when no broker answers as it should. */
export async function health(argument: string | undefined, options: HealthOptions): Promise<void> {
  const addresses = addressesOf(argument, options)
  // As clients do with the servers they know: the first that answers will do.
  for (const [i, address] of addresses.entries()) {
    const where = formatAddress(address)
    const startMs = performance.now()
    try {
      report(where, await askForMetadata(address, options.timeout), performance.now() - startMs)
      return
    } catch (error) {
      const failure = new SamsaError('SAMSA_LISTEN', `${where} is not healthy`, error)
      if (i === addresses.length - 1) throw failure
      reportFailure(failure)
    }
  }
}

function report(where: string, found: MetadataResponse, tookMs: number): void {
  const leaderless = found.topics.flatMap((topic) => topic.partitions.filter(({ leaderId }) => leaderId < 0))
  process.stdout.write(
    `${where} is healthy: cluster ${printable(found.clusterId ?? 'without id')}, ${found.brokers.length} broker(s), ` +
      `${found.topics.length} topic(s), ${leaderless.length} partition(s) without leader, ${Math.round(tookMs)} ms\n`,
  )
}

async function askForMetadata(address: Address, timeoutMs: number): Promise<MetadataResponse> {
  const turn = new Turn()
  const link = new BrokerLink(
    { clock: new SystemClock(turn), network: new NetSockets(turn) },
    { address, clientId: 'samsa', requestTimeoutMs: timeoutMs, maxResponseBytes: MAX_RESPONSE_BYTES },
  )
  try {
    const versions = await link.send(apiVersions, {
      clientSoftwareName: 'samsa-health',
      clientSoftwareVersion: '1',
    })
    if (versions.errorCode !== ErrorCode.NONE)
      throw new Error(`ApiVersions failed with error ${versions.errorCode}`)
    const range = versions.apiKeys.find(({ apiKey }) => apiKey === ApiKey.Metadata)
    if (range === undefined || range.minVersion > metadata.version || range.maxVersion < metadata.version) {
      throw new Error(`Metadata v${metadata.version} is not served`)
    }
    const found = await link.send(metadata, { topics: null, allowAutoTopicCreation: false })
    if (found.brokers.length === 0) throw new Error('the cluster has no brokers')
    return found
  } finally {
    link.close()
  }
}

/** What was given, or the first listener of the configuration, seen from this machine. */
function addressesOf(argument: string | undefined, options: HealthOptions): Address[] {
  const { bootstrapServer } = options
  if (argument !== undefined && bootstrapServer !== undefined)
    throw new SamsaError('SAMSA_CONFIG', 'health: give the address once, as samsa health host:port')
  if (argument !== undefined) return argument.split(',').map((each) => addressIn('health', each))
  if (bootstrapServer !== undefined)
    return bootstrapServer.split(',').map((each) => addressIn('--bootstrap-server', each))
  const endpoint = loadConfig(options, process.env).config.endpoints[0]
  return [fromHere({ host: endpoint?.host ?? '', port: endpoint?.port ?? 9092 })]
}

function addressIn(name: string, text: string): Address {
  const address = parseHostPort(name, text.trim(), '127.0.0.1:9092')
  // An empty text is what a variable leaves that is not set.
  if (address === null || address.port === 0)
    throw new SamsaError('SAMSA_CONFIG', `${name}: must be given host:port, for example 127.0.0.1:9092`)
  return fromHere(address)
}
