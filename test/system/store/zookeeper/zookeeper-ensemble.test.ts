import assert from 'node:assert/strict'
import { it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

import { LastingStore } from '../../../../src/metadata/layout/lasting-store.ts'
import { SystemClock } from '../../../../src/system/system-clock.ts'
import { Turn } from '../../../../src/system/turn.ts'
import { fetchHint, skipMissing } from '../../../support/requirements.ts'
import { until } from '../../../support/until.ts'
import { isLeader, startEnsemble, zookeeperClient, zookeeperJars } from '../../../support/zookeeper.ts'
import type { ZooKeeperServer } from '../../../support/zookeeper.ts'
import { openSession } from './zookeeper-harness.ts'

it('of three servers any one may be killed: changes go on, each is carried out once', async (t) => {
  const client = await zookeeperClient()
  const jars = await zookeeperJars('3.9.5')
  if (client === null || jars === null) {
    skipMissing(t, `ZooKeeper 3.9.5 and the npm package zookeeper: ${fetchHint}`)
    return
  }
  const alive = setInterval(() => undefined, 1_000)
  const servers = await startEnsemble(jars)
  try {
    const address = servers.map((server) => server.address).join(',')
    const session = await openSession(client, address, { sessionTimeoutMs: 10_000 })
    const events: string[] = []
    session.onSession((event) => events.push(event))
    const store = new LastingStore(new SystemClock(new Turn()), session)
    await store.create('/e', Buffer.alloc(0), 'ephemeral')
    await store.create('/counter', Buffer.from('0'))

    let done = 0
    let longestGapMs = 0
    let isOver = false
    const writing = (async () => {
      for (let lastMs = performance.now(); !isOver;) {
        const stat = await store.set('/counter', Buffer.from(String(done + 1)), done)
        done += 1
        assert.equal(stat.version, done)
        // Read where the session is now: a server that lags must not show what was there before.
        assert.equal((await store.get('/counter'))?.data.toString(), String(done))
        longestGapMs = Math.max(longestGapMs, performance.now() - lastMs)
        lastMs = performance.now()
      }
    })()
    for (const victim of [await leaderOf(servers), servers[0]!, servers[1]!]) {
      await sleep(500)
      const before = done
      await victim.kill()
      await until(() => done >= before + 20)
      await victim.start()
    }
    isOver = true
    await writing
    t.diagnostic(`${done} changes, the longest gap ${Math.round(longestGapMs)} ms`)
    assert.equal((await store.get('/counter'))?.stat.version, done)
    assert.equal((await store.get('/e'))?.stat.ownedByThisSession, true)
    assert.ok(!events.includes('expired'))
    await store.close()
  } finally {
    clearInterval(alive)
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()))
  }
})

async function leaderOf(servers: readonly ZooKeeperServer[]): Promise<ZooKeeperServer> {
  for (const server of servers) if ((await isLeader(server)) === true) return server
  throw new Error('there is no leader')
}
