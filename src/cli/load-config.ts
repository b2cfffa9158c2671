import fs from 'node:fs'
import path from 'node:path'
import { parseBrokerConfig } from '../core/config/broker-config.ts'
import type { BrokerConfig, ConfigLayer } from '../core/config/broker-config.ts'
import { configFromEnvironment, parseProperties } from '../core/config/config-input.ts'
import { clusterDefaults, placeKeyProblem } from '../core/options/cluster-options.ts'
import type { ConfigProfile } from '../core/options/config-profile.ts'
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

/** What says where a broker lives and who reaches it. */
const PLACE_KEYS: ReadonlySet<string> = new Set([
  'advertised.listeners',
  'controller.listener.names',
  'inter.broker.listener.name',
  'listener.security.protocol.map',
  'listeners',
  'log.dir',
  'log.dirs',
  'metadata.log.dir',
  'samsa.admin.listener',
  'samsa.zookeeper.credentials',
  'zookeeper.connect',
])

/**
 * The configuration of a broker that lives as long as a command: of everything around it only `--set` can move it from
 * its directory and the loopback. Surroundings with KAFKA_LOG_DIRS or a server.properties describe another broker,
 * and that one's data and ports must not be touched by a test.
 */
export function loadTemporaryConfig(
  options: ConfigOptions,
  environment: Environment,
  dataDir: string,
): LoadedConfig {
  return load(options, environment, { profile: 'embedded', dataDir, places: 'only --set' })
}

/** The same for one of several brokers: not even `--set` moves it. */
export function loadMemberConfig(
  options: ConfigOptions,
  environment: Environment,
  member: MemberPlace,
): LoadedConfig {
  for (const [key] of options.set ?? []) {
    const problem = placeKeyProblem(key)
    if (problem !== null) throw new SamsaError('SAMSA_CONFIG', `--set ${key}: ${problem}`)
  }
  const { dataDir } = member
  return load(options, environment, { profile: 'embedded', dataDir, places: 'only --set', member })
}

interface MemberPlace {
  readonly id: number
  readonly port: number
  readonly dataDir: string
  /** How many there are. */
  readonly brokers: number
}

interface Surroundings {
  readonly profile: ConfigProfile
  /** Where the data lies when nobody says otherwise. */
  readonly dataDir: string
  /** Who may say where the broker lives. */
  readonly places: 'anybody' | 'only --set'
  /** It is one of several in this process. */
  readonly member?: MemberPlace
}

/**
 * The configuration of a broker: defaults, then the file, the environment, and `--set`, each winning over those
 * before it. Throws SAMSA_CONFIG. Relative directories are taken from the working directory.
 */
export function loadConfig(options: ConfigOptions, environment: Environment): LoadedConfig {
  return load(options, environment, { profile: 'server', dataDir: DEFAULT_DATA_DIR, places: 'anybody' })
}

function load(options: ConfigOptions, environment: Environment, surroundings: Surroundings): LoadedConfig {
  const layers: ConfigLayer[] = []
  const warnings: string[] = []
  const add = (origin: string, values: Map<string, string>): void => {
    if (values.size > 0) layers.push({ source: 'STATIC_BROKER_CONFIG', origin, values })
  }
  const addSurroundings = (origin: string, values: Map<string, string>): void => {
    if (surroundings.places === 'only --set') warnings.push(...withoutPlaces(origin, values))
    add(origin, values)
  }
  if (options.config !== undefined)
    addSurroundings(options.config, readProperties('--config', options.config))
  addSurroundings('environment', fromEnvironment(environment))
  add('--set', new Map(options.set ?? []))
  if (options.io !== undefined) add('--io', new Map([['samsa.io', options.io]]))
  deriveListeners(layers)
  if (options.defaults !== undefined) {
    const values = readProperties('--defaults', options.defaults)
    if (surroundings.places === 'only --set') withoutPlaces(options.defaults, values)
    layers.unshift({ source: 'STATIC_BROKER_CONFIG', origin: options.defaults, values })
  }
  if (!isSet(layers, 'log.dirs') && !isSet(layers, 'log.dir')) {
    layers.unshift(layerOf('default', 'log.dirs', surroundings.dataDir))
  }
  const { member } = surroundings
  if (member !== undefined) {
    const values = clusterDefaults(member.brokers)
    layers.unshift({ source: 'STATIC_BROKER_CONFIG', origin: 'default', values })
    add('--brokers', memberPlace(member))
  }
  const isAlone = member === undefined
  const parsed = parseBrokerConfig(layers.map(withAbsoluteDirs), surroundings.profile, isAlone)
  return { config: parsed.config, warnings: [...warnings, ...parsed.warnings] }
}

function memberPlace({ id, port }: MemberPlace): Map<string, string> {
  return new Map([
    ['broker.id', String(id)],
    ['listeners', `PLAINTEXT://127.0.0.1:${port}`],
  ])
}

/** Takes them out; a sentence for the log when there were some. */
function withoutPlaces(origin: string, values: Map<string, string>): string[] {
  const taken = [...values.keys()].filter((key) => PLACE_KEYS.has(key) && values.delete(key))
  if (taken.length === 0) return []
  return [`not used for a temporary broker (${origin}): ${taken.join(', ')}; --set wins`]
}

function readProperties(option: string, file: string): Map<string, string> {
  try {
    // Some editors begin a file with a mark that is no part of its first key.
    return parseProperties(fs.readFileSync(file, 'utf8').replace(/^\uFEFF/, ''))
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
  for (const key of ['log.dirs', 'log.dir', 'metadata.log.dir']) {
    const dirs = values.get(key)
    if (dirs !== undefined) values.set(key, dirs.split(',').map(absolute).join(','))
  }
  return { ...layer, values }
}

function absolute(dir: string): string {
  if (dir.trim() === '') return ''
  const resolved = path.resolve(dir.trim())
  // The folder we are in brought it along.
  if (resolved.includes(','))
    throw new SamsaError('SAMSA_CONFIG', `log.dirs: cannot use ${resolved}: commas stand between directories`)
  return resolved
}

function isSet(layers: readonly ConfigLayer[], key: string): boolean {
  return layers.some((layer) => layer.values.has(key))
}

function layerOf(origin: string, key: string, value: string): ConfigLayer {
  return { source: 'STATIC_BROKER_CONFIG', origin, values: new Map([[key, value]]) }
}
