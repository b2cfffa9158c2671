import process from 'node:process'
import { EMBEDDED_FILES, METADATA_CONFIRMED } from '../core/metadata-files.ts'
import { SamsaError } from '../core/samsa-error.ts'
import { LogManager } from '../log/manager/log-manager.ts'
import { syncDirectory } from '../log/files/disk-calls.ts'
import { copyTree } from '../metadata/layout/copy-tree.ts'
import type { World } from '../ports.ts'
import { logManagerOptions } from '../server/log-manager-options.ts'
import { metadataDirectory, rememberElsewhere } from '../server/metadata-directory.ts'
import { noMetrics } from '../system/figures/no-metrics.ts'
import { keptAlive } from '../system/kept-alive.ts'
import { openEnsemble } from '../system/metadata-stores.ts'
import { openEmbeddedStore } from '../system/store/embedded-store.ts'
import { engineOptionsOf, startSystemWorld } from '../system/system-world.ts'
import { loadConfig } from './load-config.ts'
import type { ConfigOptions } from './load-config.ts'

/** Where what was moved stays, for whoever wants it back. */
const MOVED = '.moved'
/** Lines on long work. */
const TOLD_NODES = 10_000

/**
 * `samsa move-metadata`: the topics and configurations of a broker that ran alone go into the ensemble of `zookeeper.connect`,
 * where it is the first broker of a cluster. May be called again when it was interrupted. Throws what keeps it from being done.
 */
export function moveMetadata(options: ConfigOptions): Promise<void> {
  return keptAlive(move(options))
}

async function move(options: ConfigOptions): Promise<void> {
  const { config } = loadConfig(options, process.env)
  const connect = config['zookeeper.connect']
  if (connect === null)
    throw new SamsaError(
      'SAMSA_CONFIG',
      'zookeeper.connect: set it to the ensemble that is to keep the metadata',
    )
  const { world, close } = await startSystemWorld({ metrics: noMetrics }, engineOptionsOf(config))
  const logs = await LogManager.open(
    world,
    logManagerOptions(config, () => {}),
  )
  try {
    const directory = metadataDirectory(world.disk, logs, config['log.dirs'][0]!)
    if (!EMBEDDED_FILES.some((name) => world.disk.exists(`${directory}/${name}`)))
      throw new SamsaError(
        'SAMSA_METADATA_STORE',
        `log.dirs: ${directory} has no ${EMBEDDED_FILES.join(' and no ')}: no broker that keeps its metadata itself ran here`,
      )
    const from = await openEmbeddedStore(world, directory)
    const to = await openEnsemble(world, config)
    let nodes
    try {
      nodes = await copyTree(from, to, (count) => {
        if (count % TOLD_NODES === 0) process.stderr.write(`samsa: ${count} nodes copied\n`)
      })
    } finally {
      await Promise.all([from.close(), to.close()])
    }
    await setAside(world, directory, connect)
    process.stdout.write(
      `${nodes} nodes moved to ${connect}. Start the broker with this zookeeper.connect; other brokers join it with the same one and a broker.id and log.dirs of their own\n`,
    )
  } finally {
    await logs.close(false)
    close()
  }
}

async function setAside(world: World, directory: string, connect: string): Promise<void> {
  await rememberElsewhere(world.disk, directory, connect)
  for (const name of [...EMBEDDED_FILES, METADATA_CONFIRMED]) {
    const path = `${directory}/${name}`
    if (world.disk.exists(path)) world.disk.rename(path, `${path}${MOVED}`)
  }
  await syncDirectory(world.disk, directory)
}
