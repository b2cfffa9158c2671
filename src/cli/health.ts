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
import { KafkaClient } from './kafka-client.ts'
import { loadConfig } from './load-config.ts'
import type { ConfigOptions } from './load-config.ts'

export interface HealthOptions extends ConfigOptions {
  readonly bootstrapServer?: string
  readonly timeout: number
}

const apiVersions = {
  apiKey: ApiKey.ApiVersions,
  apiVersion: 3,
  request: apiVersionsRequest,
  response: apiVersionsResponse,
} as const

const metadata = {
  apiKey: ApiKey.Metadata,
  apiVersion: 9,
  request: metadataRequest,
  response: metadataResponse,
} as const

/** `samsa health`: what a client does first. Throws when the broker does not answer as it should. */
export async function health(options: HealthOptions): Promise<void> {
  const address = addressOf(options)
  const startMs = performance.now()
  const where = `${address.host}:${address.port}`
  let found: MetadataResponse
  try {
    found = await askForMetadata(address, options.timeout)
  } catch (error) {
    throw new SamsaError('SAMSA_LISTEN', `${where} is not healthy`, error)
  }
  const leaderless = found.topics.flatMap((topic) => topic.partitions.filter(({ leaderId }) => leaderId < 0))
  const tookMs = Math.round(performance.now() - startMs)
  process.stdout.write(
    `${where} is healthy: cluster ${printable(found.clusterId ?? 'without id')}, ${found.brokers.length} broker(s), ` +
      `${found.topics.length} topic(s), ${leaderless.length} partition(s) without leader, ${tookMs} ms\n`,
  )
}

async function askForMetadata(address: Address, timeoutMs: number): Promise<MetadataResponse> {
  const client = await KafkaClient.connect(address, timeoutMs)
  try {
    const versions = await client.send(apiVersions, {
      clientSoftwareName: 'samsa-health',
      clientSoftwareVersion: '1',
    })
    if (versions.errorCode !== ErrorCode.NONE)
      throw new Error(`ApiVersions failed with error ${versions.errorCode}`)
    const range = versions.apiKeys.find(({ apiKey }) => apiKey === ApiKey.Metadata)
    if (
      range === undefined ||
      range.minVersion > metadata.apiVersion ||
      range.maxVersion < metadata.apiVersion
    ) {
      throw new Error(`Metadata v${metadata.apiVersion} is not served`)
    }
    const found = await client.send(metadata, { topics: null, allowAutoTopicCreation: false })
    if (found.brokers.length === 0) throw new Error('the cluster has no brokers')
    return found
  } finally {
    client.close()
  }
}

/** The address given, or the first listener of the configuration, seen from this machine. */
function addressOf(options: HealthOptions): Address {
  if (options.bootstrapServer !== undefined) {
    const first = options.bootstrapServer.split(',')[0]?.trim() ?? ''
    const address = parseHostPort('--bootstrap-server', first, '127.0.0.1:9092')
    if (address !== null)
      return { host: address.host === '' ? '127.0.0.1' : address.host, port: address.port }
  }
  const endpoint = loadConfig(options, process.env).config.endpoints[0]
  const host = endpoint?.host ?? ''
  return {
    host: host === '' || host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host,
    port: endpoint?.port ?? 9092,
  }
}
