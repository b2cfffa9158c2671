import fs from 'node:fs'
import path from 'node:path'
import { parseBrokerConfig } from '../core/config/broker-config.ts'
import type { BrokerConfig, ConfigLayer, ConfigProfile } from '../core/config/broker-config.ts'
import { configFromEnvironment, parseProperties } from '../core/config/config-input.ts'
import { SamsaError } from '../core/samsa-error.ts'

export interface ConfigOptions {
  /** A properties file that all else wins over, as if its values were the built-in defaults. */
  readonly defaults?: string
  /** A server.properties file. */
  readonly config?: string
  /** Keys and values of `--set`, in order. */
  readonly set?: readonly (readonly [string, string])[]
  /** `--io`, as if by `--set samsa.io`. */
  readonly io?: string
}

export interface LoadedConfig {
  readonly config: BrokerConfig
  /** Sentences for the log. */
  readonly warnings: readonly string[]
}

export type Environment = Readonly<Record<string, string | undefined>>

/** Where a broker keeps its data when nobody says otherwise. */
const DEFAULT_DATA_DIR = './samsa-data'

/**
 * The configuration of a broker: defaults, then the file, the environment, and `--set`, each winning over those
 * before it. Throws SAMSA_CONFIG. Relative directories are taken from the working directory.
 */
export function loadConfig(
  options: ConfigOptions,
  environment: Environment,
  profile: ConfigProfile = 'server',
  defaultDataDir: string = DEFAULT_DATA_DIR,
): LoadedConfig {
  const layers: ConfigLayer[] = []
  const add = (origin: string, values: Map<string, string>): void => {
    if (values.size > 0) layers.push({ source: 'STATIC_BROKER_CONFIG', origin, values })
  }
  if (options.config !== undefined) add(options.config, readProperties('--config', options.config))
  add('environment', fromEnvironment(environment))
  add('--set', new Map(options.set ?? []))
  if (options.io !== undefined) add('--io', new Map([['samsa.io', options.io]]))
  deriveListeners(layers)
  if (options.defaults !== undefined) {
    const values = readProperties('--defaults', options.defaults)
    layers.unshift({ source: 'STATIC_BROKER_CONFIG', origin: options.defaults, values })
  }
  if (!isSet(layers, 'log.dirs') && !isSet(layers, 'log.dir')) {
    layers.unshift(layerOf('default', 'log.dirs', defaultDataDir))
  }
  return parseBrokerConfig(layers.map(withAbsoluteDirs), profile)
}

function readProperties(option: string, file: string): Map<string, string> {
  try {
    return parseProperties(fs.readFileSync(file, 'utf8'))
  } catch (error) {
    throw new SamsaError('SAMSA_CONFIG', `${option} ${file} cannot be read`, error)
  }
}

/** As Kafka's image maps them; CLUSTER_ID is the one name of its own that it has. */
function fromEnvironment(environment: Environment): Map<string, string> {
  const values = configFromEnvironment(Object.entries(environment))
  const clusterId = environment['CLUSTER_ID']
  if (clusterId !== undefined && clusterId !== '') values.set('cluster.id', clusterId)
  return values
}

/** Kafka's image: with only advertised listeners given, the same names and ports are opened on every interface. */
function deriveListeners(layers: ConfigLayer[]): void {
  if (isSet(layers, 'listeners')) return
  const advertised = layers.findLast((layer) => layer.values.has('advertised.listeners'))?.values
  const text = advertised?.get('advertised.listeners')?.trim()
  if (text === undefined || text === '') return
  const listeners = text.replace(/:\/\/(?:\[[^\]]*\]|[^:,]*):/g, '://0.0.0.0:')
  layers.unshift(layerOf('from advertised.listeners', 'listeners', listeners))
}

function withAbsoluteDirs(layer: ConfigLayer): ConfigLayer {
  const values = new Map(layer.values)
  for (const key of ['log.dirs', 'log.dir']) {
    const dirs = values.get(key)
    if (dirs !== undefined) values.set(key, dirs.split(',').map(absolute).join(','))
  }
  return { ...layer, values }
}

function absolute(dir: string): string {
  return dir.trim() === '' ? '' : path.resolve(dir.trim())
}

function isSet(layers: readonly ConfigLayer[], key: string): boolean {
  return layers.some((layer) => layer.values.has(key))
}

function layerOf(origin: string, key: string, value: string): ConfigLayer {
  return { source: 'STATIC_BROKER_CONFIG', origin, values: new Map([[key, value]]) }
}
