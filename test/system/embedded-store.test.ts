import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'

import type { Logger, MetadataStore, World } from '../../src/ports.ts'
import { DiskThreads } from '../../src/system/disk-threads.ts'
import { EmbeddedStore } from '../../src/system/embedded-store.ts'
import { SystemClock } from '../../src/system/system-clock.ts'
import { Turn } from '../../src/system/turn.ts'
import { storeConformance } from '../metadata/store-conformance.ts'

const quiet: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => quiet,
}

function realWorld(): Pick<World, 'clock' | 'disk' | 'logger'> {
  const turn = new Turn()
  return { clock: new SystemClock(turn), disk: new DiskThreads(turn), logger: quiet }
}

storeConformance('the embedded store on a real disk', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'samsa-store-'))
  const world = realWorld()
  let store = await EmbeddedStore.open(world, directory, { snapshotAfterBytes: 4096 })
  const expirations = new Map<MetadataStore, () => Promise<void>>()
  return {
    connect: () => {
      const session = store.connect()
      expirations.set(session, () => session.expire())
      return Promise.resolve(session)
    },
    expire: (session) => expirations.get(session)!(),
    crash: async () => {
      store = await EmbeddedStore.open(world, directory, { snapshotAfterBytes: 4096 })
    },
    dispose: async () => {
      await store.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
})

describe('the embedded store', () => {
  it('leaves nothing in the log directory that Kafka would take for a partition', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'samsa-store-'))
    try {
      const store = await EmbeddedStore.open(realWorld(), directory, { snapshotAfterBytes: 64 })
      const session = store.connect()
      for (let index = 0; index < 10; index++) await session.create(`/n${index}`, Buffer.alloc(32))
      await store.close()
      const entries = await readdir(directory, { withFileTypes: true })
      assert.deepEqual(entries.map(({ name }) => name).sort(), [
        'samsa-metadata.log',
        'samsa-metadata.snapshot',
      ])
      assert.ok(entries.every((entry) => entry.isFile()))
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
})
