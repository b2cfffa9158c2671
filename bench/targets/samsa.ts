import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { adopt, end, freePort } from '../../test/support/processes.ts'
import { Client } from '../load/client.ts'
import { nowUs } from '../load/clock.ts'
import type { Endpoint } from '../load/spec.ts'
import { removeScratch, removeScratchAtExit, scratchDirectory } from '../scratch.ts'
import { firstProduce } from './first-produce.ts'
import { MEASURING_SETTINGS, type RunningBroker, type Target, describeSettings } from './target.ts'

export interface SamsaOptions {
  readonly directory: string
  /** Beside others of its kind it needs a name of its own. */
  readonly name?: string
  readonly settings?: Readonly<Record<string, string>>
  readonly environment?: Readonly<Record<string, string>>
  /** Where `--cpu-prof` leaves its profiles, or null. */
  readonly profileDirectory: string | null
  /** The folder of another checkout that was built: its broker is measured, by this one's load. Without it, ours. */
  readonly checkout?: string
}

const ownCommandLine = fileURLToPath(new URL('../../src/cli/samsa.cjs', import.meta.url))

/** The broker of another checkout, such as the commit before. Throws when it was not built. */
export function samsaOf(checkout: string, directory: string): Target {
  const commandLine = commandLineOf(checkout)
  if (!existsSync(commandLine)) throw new Error(`${commandLine} is missing: build that checkout first`)
  return samsa({ directory, name: `samsa in ${basename(checkout)}`, profileDirectory: null, checkout })
}

export function commandLineOf(checkout: string | undefined): string {
  return checkout === undefined ? ownCommandLine : join(checkout, 'dist/src/cli/samsa.cjs')
}

/** Samsa as a user starts it from a shell, with its defaults. */
export function samsa(options: SamsaOptions): Target {
  return {
    name: options.name ?? 'samsa',
    description: `samsa start, ${describeSettings(options.settings)}, Node.js ${process.version}`,
    awakeMs: 50,
    withoutAddon:
      options.environment === undefined ? samsa({ ...options, environment: { SAMSA_NATIVE: 'off' } }) : null,
    start: async () => {
      const broker = await spawnBroker(options)
      await serving(broker.endpoint, broker.alive)
      return broker
    },
    measureStart: async () => {
      const startedUs = nowUs()
      const broker = await spawnBroker(options)
      try {
        return ((await firstProduce(broker.endpoint, 'first', 20_000)) - startedUs) / 1_000
      } finally {
        await broker.stop()
      }
    },
  }
}

interface SpawnedBroker extends RunningBroker {
  /** Throws with what the broker printed when it has ended. */
  readonly alive: () => Promise<void>
}

async function spawnBroker(options: SamsaOptions): Promise<SpawnedBroker> {
  const base = await scratchDirectory(options.directory, 'bench-samsa-')
  const port = await freePort()
  const dataDirectory = join(base, 'data')
  const logFile = join(base, 'samsa.log')
  const launch = (): Promise<ChildProcess> => launchProcess(options, { base, port, dataDirectory, logFile })
  let child = await launch()
  return {
    endpoint: { host: '127.0.0.1', port },
    get pid() {
      return child.pid ?? 0
    },
    dataDirectory,
    printed: () => readFile(logFile, 'utf8'),
    alive: async () => {
      if (child.exitCode === null && child.signalCode === null) return
      throw new Error(`samsa ended:\n${(await readFile(logFile, 'utf8')).slice(-4_000)}`)
    },
    kill: async () => {
      await end(child, 'SIGKILL')
    },
    restart: async () => {
      child = await launch()
    },
    stop: async () => {
      await end(child, 'SIGTERM', 60_000)
      await removeScratch(base)
    },
  }
}

interface Place {
  readonly base: string
  readonly port: number
  readonly dataDirectory: string
  readonly logFile: string
}

async function launchProcess(options: SamsaOptions, place: Place): Promise<ChildProcess> {
  const log = await open(place.logFile, 'a')
  const profiling =
    options.profileDirectory === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profileDirectory}`]
  const settings = [
    `listeners=PLAINTEXT://127.0.0.1:${place.port}`,
    `log.dirs=${place.dataDirectory}`,
    ...Object.entries({ ...MEASURING_SETTINGS, ...options.settings }).map(
      ([key, value]) => `${key}=${value}`,
    ),
  ]
  const child = adopt(
    spawn(
      process.execPath,
      [
        ...profiling,
        commandLineOf(options.checkout),
        'start',
        ...settings.flatMap((setting) => ['--set', setting]),
      ],
      {
        stdio: ['ignore', log.fd, log.fd],
        cwd: place.base,
        env: { ...process.env, ...options.environment },
      },
    ),
  )
  removeScratchAtExit()
  await log.close()
  return child
}

async function serving(endpoint: Endpoint, alive: () => Promise<void>): Promise<void> {
  for (let tries = 0; tries < 2_000; tries++) {
    await alive()
    try {
      const client = await Client.connect(endpoint)
      await client.partitionsWithLeader('none')
      client.close()
      return
    } catch {
      await sleep(10)
    }
  }
  throw new Error('samsa does not serve')
}
