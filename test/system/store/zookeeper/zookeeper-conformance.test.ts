import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

import type { MetadataStore } from '../../../../src/ports.ts'
import type { ZooKeeperSession } from '../../../../src/system/store/zookeeper/zookeeper-session.ts'
import { storeConformance } from '../../../metadata/store-conformance.ts'
import { fetchHint, skipMissing } from '../../../support/requirements.ts'
import {
  startZooKeeper,
  zookeeperClient,
  zookeeperJars,
  zookeeperVersions,
} from '../../../support/zookeeper.ts'
import { openSession } from './zookeeper-harness.ts'

const client = await zookeeperClient()

for (const version of zookeeperVersions) {
  const jars = await zookeeperJars(version)
  if (jars === null || client === null) {
    describe(`ZooKeeper ${version}`, () => {
      it('keeps the contract of the metadata store', (t) => {
        skipMissing(t, `ZooKeeper ${version} and the npm package zookeeper: ${fetchHint}`)
      })
    })
    continue
  }
  storeConformance(`ZooKeeper ${version}`, async () => {
    const server = await startZooKeeper(jars)
    const open = new Set<MetadataStore>()
    return {
      connect: async () => {
        const session = await openSession(client, server.address)
        open.add(session)
        session.onSession((event) => event === 'expired' && open.delete(session))
        return session
      },
      // Its holder stands still, so the server hears nothing of it.
      expire: async (session) => {
        const { holderPid, sessionTimeoutMs } = session as ZooKeeperSession
        process.kill(holderPid!, 'SIGSTOP')
        await sleep(sessionTimeoutMs * 1.5)
        process.kill(holderPid!, 'SIGCONT')
      },
      // The server keeps its sessions over a restart; the goodbyes come after it.
      crash: async () => {
        for (const session of open) if (await isOver(session)) open.delete(session)
        await server.kill()
        const back = [...open].map((session) => connected(session))
        await server.start()
        await Promise.all(back)
        await Promise.all([...open].map((session) => session.close()))
      },
      dispose: async () => {
        await Promise.all([...open].map((session) => session.close()))
        await server[Symbol.asyncDispose]()
      },
    }
  })
}

/** It was closed by a test. */
function isOver(session: MetadataStore): Promise<boolean> {
  return session.get('/').then(
    () => false,
    () => true,
  )
}

function connected(session: MetadataStore): Promise<void> {
  return new Promise((resolve) => {
    session.onSession((event) => {
      if (event !== 'disconnected') resolve()
    })
  })
}
