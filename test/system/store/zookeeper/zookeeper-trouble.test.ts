/** What can go wrong between a broker and a ZooKeeper session, on a real server and real processes. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

import { codeOf } from '../../../../src/core/is-error.ts'
import { LastingStore } from '../../../../src/metadata/layout/lasting-store.ts'
import type { MetadataStore, SessionEvent, StoredNode } from '../../../../src/ports.ts'
import { PromMetrics } from '../../../../src/system/figures/prom-metrics.ts'
import { SystemClock } from '../../../../src/system/system-clock.ts'
import { Turn } from '../../../../src/system/turn.ts'
import { adopt } from '../../../support/processes.ts'
import { fetchHint, skipMissing } from '../../../support/requirements.ts'
import { startZooKeeper, zookeeperClient, zookeeperJars } from '../../../support/zookeeper.ts'
import type { ZooKeeperServer } from '../../../support/zookeeper.ts'
import { losingProxy } from './losing-proxy.ts'
import { openSession } from './zookeeper-harness.ts'
import type { LogLine, OpenOptions } from './zookeeper-harness.ts'

const client = await zookeeperClient()
const jars = await zookeeperJars('3.9.5')
const NOTHING = Buffer.alloc(0)

/** The next event of this kind. */
function event(session: MetadataStore, wanted: SessionEvent): Promise<void> {
  return new Promise((resolve) => session.onSession((each) => each === wanted && resolve()))
}

/** From now until the node is gone, as another session sees it. */
async function untilGone(store: MetadataStore, path: string): Promise<number> {
  const begunMs = performance.now()
  await new Promise<void>((resolve, reject) => {
    store.get(path, resolve).then((node) => node === null && resolve(), reject)
  })
  return performance.now() - begunMs
}

/** Nothing else of this process runs meanwhile. */
function standStill(forMs: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, forMs)
}

describe('a ZooKeeper session in trouble', () => {
  if (client === null || jars === null) {
    it('ends or goes on, and says which', (t) => {
      skipMissing(t, `ZooKeeper 3.9.5 and the npm package zookeeper: ${fetchHint}`)
    })
    return
  }
  let server: ZooKeeperServer
  /** Sees what the others did. */
  let witness: MetadataStore
  const sessions: MetadataStore[] = []
  /** Sessions keep no process alive. */
  let alive: NodeJS.Timeout
  const open = async (options: OpenOptions = {}) => {
    const session = await openSession(client, server.address, options)
    sessions.push(session)
    return session
  }

  before(async () => {
    alive = setInterval(() => undefined, 1_000)
    server = await startZooKeeper(jars)
    witness = await open({ sessionTimeoutMs: 30_000 })
  })
  after(async () => {
    await Promise.all(sessions.map((session) => session.close()))
    await server[Symbol.asyncDispose]()
    clearInterval(alive)
  })

  it('ends when the loop of the broker stands still, before ZooKeeper would notice anything', async () => {
    const lines: LogLine[] = []
    const session = await open({ sessionTimeoutMs: 3_000, lines })
    await session.create('/stalled', NOTHING, 'ephemeral')
    const over = event(session, 'expired')
    standStill(2_700)
    await over
    await assert.rejects(session.get('/'), { code: 'SESSION_EXPIRED' })
    assert.equal(await witness.get('/stalled'), null)
    assert.match(lines.at(-1)!.message, /expired: the event loop of this broker stood still/)
  })

  it('lives through a loop that stands still for less', async () => {
    const session = await open({ sessionTimeoutMs: 4_000 })
    await session.create('/paused', NOTHING, 'ephemeral')
    for (let i = 0; i < 3; i++) {
      standStill(1_200)
      await sleep(50)
    }
    assert.equal((await session.get('/paused'))?.stat.ownedByThisSession, true)
  })

  it('is over for the broker when its holder is killed, and its nodes go when ZooKeeper has waited', async () => {
    const session = await open({ sessionTimeoutMs: 2_000 })
    await session.create('/orphan', NOTHING, 'ephemeral')
    const over = event(session, 'expired')
    const underWay = assert.rejects(session.get('/slow'), { code: 'SESSION_EXPIRED' })
    process.kill(session.holderPid!, 'SIGKILL')
    await Promise.all([over, underWay])
    assert.notEqual(await witness.get('/orphan'), null)
    const ms = await untilGone(witness, '/orphan')
    assert.ok(ms > 500 && ms < 10_000, `gone after ${ms} ms`)
  })

  it('does not end by the signals of a terminal or a supervisor, which are for the broker', async () => {
    const session = await open()
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(session.holderPid!, signal)
    await sleep(100)
    assert.notEqual(await session.get('/'), null)
  })

  it('ends with the broker, however that ends: its nodes are gone at once', async (t) => {
    const broker = adopt(
      spawn(
        process.execPath,
        [new URL('./session-holder.js', import.meta.url).pathname, client, server.address],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      ),
    )
    await once(broker.stdout!, 'data')
    assert.notEqual(await witness.get('/of-the-killed'), null)
    const gone = untilGone(witness, '/of-the-killed')
    await sleep(50)
    const killedMs = performance.now()
    broker.kill('SIGKILL')
    await gone
    const ms = performance.now() - killedMs
    t.diagnostic(`gone ${ms.toFixed(1)} ms after the kill; its session timeout is 20,000 ms`)
    // As a rule within 10 ms. Machines that are busy with something else take longer, but never the session's timeout.
    assert.ok(ms < 2_000, `gone after ${ms} ms`)
  })

  it('does not know whether a call was carried out whose answer was lost, and reads what is true after it', async () => {
    await using proxy = await losingProxy(server.address)
    const session = await openSession(client, proxy.address, { sessionTimeoutMs: 10_000 })
    sessions.push(session)
    await session.create('/lost', Buffer.from('before'))
    const loss = proxy.loseNextAnswer()
    const outcome = assert.rejects(session.set('/lost', Buffer.from('after'), 0), { code: 'CONNECTION_LOSS' })
    // Sent with what was lost, and lost as well, or sent after it.
    const reads = Promise.allSettled([session.get('/lost'), session.get('/lost')])
    await Promise.all([loss, outcome])
    const firstThatCame = async (): Promise<StoredNode | null> => {
      for (;;) {
        try {
          return await session.get('/lost')
        } catch (error) {
          assert.equal(codeOf(error), 'CONNECTION_LOSS')
        }
      }
    }
    const node = await firstThatCame()
    assert.deepEqual([node?.data.toString(), node?.stat.version], ['after', 1])
    for (const read of await reads)
      if (read.status === 'fulfilled') assert.equal(read.value?.data.toString(), 'after')
    await session.close()
  })

  it('is no trouble to who writes alone: every change is carried out once, whatever answers are lost', async () => {
    await using proxy = await losingProxy(server.address)
    const session = await openSession(client, proxy.address, { sessionTimeoutMs: 10_000 })
    sessions.push(session)
    const store = new LastingStore(new SystemClock(new Turn()), session)
    const data = (text: string): Buffer => Buffer.from(text)
    const losing = async <T>(work: () => Promise<T>): Promise<T> => {
      const [result] = await Promise.all([work(), proxy.loseNextAnswer()])
      return result
    }
    assert.equal(await losing(() => store.create('/alone', data('0'))), '/alone')
    assert.equal((await losing(() => store.set('/alone', data('1'), 0))).version, 1)
    await losing(() => store.create('/alone/e', data('mine'), 'ephemeral'))
    assert.equal((await store.get('/alone/e'))?.stat.ownedByThisSession, true)
    await losing(() => store.delete('/alone/e', 0))
    assert.equal(await store.get('/alone/e'), null)
    await assert.rejects(
      losing(() => store.create('/alone', data('other'))),
      { code: 'NODE_EXISTS' },
    )
    // Parents before children, also when all of them were lost.
    const names = Array.from({ length: 300 }, (_, i) => `/alone/tree/n${i}`)
    await losing(() =>
      Promise.all([
        store.create('/alone/tree', data('')),
        ...names.map((name) => store.create(name, data(''))),
      ]),
    )
    assert.equal((await store.children('/alone/tree'))?.length, 300)
    await store.close()
  })

  it('is kept by a server that starts again, with its nodes and its watches, and tells once of what was missed', async () => {
    const lines: LogLine[] = []
    const session = await open({ sessionTimeoutMs: 10_000, lines })
    await session.create('/kept', NOTHING, 'ephemeral')
    await session.create('/watched', NOTHING)
    const [lost, again] = [event(session, 'disconnected'), event(session, 'connected')]
    const witnessAgain = event(witness, 'connected')
    await server.kill()
    await lost
    await server.start()
    await Promise.all([again, witnessAgain])
    assert.equal((await session.get('/kept'))?.stat.ownedByThisSession, true)
    let fired = 0
    const changed = new Promise<void>((resolve) => {
      void session.get('/watched', () => {
        fired += 1
        resolve()
      })
    })
    await session.get('/')
    for (let i = 0; i < 3; i++) await witness.set('/watched', Buffer.from(String(i)), i)
    await changed
    assert.equal((await session.get('/watched'))?.stat.version, 3)
    assert.equal(fired, 1)
    const told = lines.map(({ message }) => message)
    assert.ok(told.some((message) => message.startsWith('lost the connection to ZooKeeper')))
    assert.ok(told.some((message) => message.startsWith('connected to ZooKeeper again')))
  })

  it('takes 5,000 calls at once', async (t) => {
    const session = await open({ sessionTimeoutMs: 3_000 })
    const events: string[] = []
    session.onSession((each) => events.push(each))
    await session.create('/many', NOTHING)
    const begunMs = performance.now()
    const paths = Array.from({ length: 2_500 }, (_, i) => `/many/n${i}`)
    const calls = paths.flatMap((path) => [
      session.create(path, Buffer.from(path)),
      session.set(path, Buffer.from('second'), 0),
    ])
    assert.equal((await Promise.all(calls)).length, 5_000)
    const seconds = (performance.now() - begunMs) / 1_000
    t.diagnostic(`${Math.round(5_000 / seconds)} writes a second`)
    const readMs = performance.now()
    const nodes = await Promise.all(paths.map((path) => session.get(path)))
    t.diagnostic(`${Math.round(2_500 / ((performance.now() - readMs) / 1_000))} reads a second`)
    assert.ok(nodes.every((node) => node?.data.toString() === 'second'))
    assert.deepEqual(events, [])
  })

  it('refuses a node that would make a server hang up, and carries one that is nearly as large', async () => {
    const session = await open()
    const large = Buffer.alloc(1_000_000, 'x')
    await session.create('/large', large)
    assert.deepEqual((await session.get('/large'))?.data, large)
    const tooLarge = session.set('/large', Buffer.alloc(1_048_576), 0)
    await assert.rejects(tooLarge, { code: 'STORAGE', message: /\/large is 1048576 bytes/ })
  })

  it('refuses a call on a session that has ended, also one that was not sent yet', async () => {
    const session = await open()
    const calls = Array.from({ length: 400 }, (_, i) => session.create(`/late-${i}`, NOTHING))
    const outcomes = Promise.allSettled(calls)
    const over = event(session, 'expired')
    process.kill(session.holderPid!, 'SIGKILL')
    await over
    for (const outcome of await outcomes)
      if (outcome.status === 'rejected')
        assert.equal((outcome.reason as { code?: string }).code, 'SESSION_EXPIRED')
    assert.equal(await witness.get('/late-399'), null)
    await assert.rejects(session.create('/too-late', NOTHING), { code: 'SESSION_EXPIRED' })
    assert.equal(await witness.get('/too-late'), null)
  })

  it('has the nodes it makes changed by nobody else, with zookeeper.set.acl', async () => {
    const mine = { credentials: 'samsa:secret', secure: true }
    const session = await open(mine)
    await session.create('/mine', Buffer.from('1'))
    await session.create('/mine/numbered-', NOTHING, 'sequential')
    assert.equal((await witness.get('/mine'))?.data.toString(), '1')
    await assert.rejects(witness.set('/mine', NOTHING, -1), { code: 'STORAGE', message: /NOAUTH/ })
    await assert.rejects(witness.create('/mine/theirs', NOTHING), { code: 'STORAGE', message: /NOAUTH/ })
    const other = await open({ credentials: 'samsa:wrong' })
    await assert.rejects(other.set('/mine', NOTHING, -1), { code: 'STORAGE', message: /NOAUTH/ })
    const next = await open(mine)
    assert.equal((await next.set('/mine', Buffer.from('2'), 0)).version, 1)
  })

  it('tries the servers of its list, and says how long a session the servers give', async () => {
    const lines: LogLine[] = []
    const several = await openSession(client, `127.0.0.1:1,${server.address}`, {
      sessionTimeoutMs: 100,
      lines,
    })
    sessions.push(several)
    assert.equal(several.sessionTimeoutMs, 500)
    const warning = lines.find(({ level }) => level === 'warn')
    assert.match(
      warning!.message,
      /^zookeeper\.session\.timeout\.ms=100: the servers give sessions of at least 500 ms/,
    )
  })

  it('lives below a chroot, which has to be there', async () => {
    await assert.rejects(open({ chroot: '/none', shown: `${server.address}/none` }), {
      code: 'SAMSA_METADATA_STORE',
      message: /^zookeeper\.connect=127\.0\.0\.1:\d+\/none: there is no \/none in this ensemble/,
    })
    await witness.create('/below', NOTHING)
    const below = await open({ chroot: '/below' })
    assert.equal(await below.create('/a', NOTHING), '/a')
    assert.equal(await below.create('/s-', NOTHING, 'sequential'), '/s-0000000001')
    assert.deepEqual((await witness.children('/below'))!.sort(), ['a', 's-0000000001'])
  })

  it('is not to be had where nothing answers, no name has an address, or the package is not what it should be', async () => {
    const nowhere = { sessionTimeoutMs: 1_000, connectionTimeoutMs: 800 }
    const refused = (address: string, options: OpenOptions, code: string, message: RegExp) =>
      assert.rejects(openSession(client, address, { ...nowhere, ...options }), { code, message })
    await refused(
      '127.0.0.1:1',
      {},
      'SAMSA_METADATA_STORE',
      /^zookeeper\.connect=127\.0\.0\.1:1: no server answered within zookeeper\.connection\.timeout\.ms=800$/,
    )
    await refused(
      'no.such.host.invalid:2181',
      { connectionTimeoutMs: 30_000 },
      'SAMSA_METADATA_STORE',
      /^zookeeper\.connect=no\.such\.host\.invalid:2181: none of the names has an address$/,
    )
    const slow = { connectionTimeoutMs: 30_000 }
    await refused(
      server.address,
      { ...slow, module: 'no-such-package' },
      'SAMSA_ZOOKEEPER_CLIENT',
      /not installed \(no-such-package\)\. In .+, run: npm install .*zookeeper@7 /,
    )
    await refused(
      server.address,
      { ...slow, module: 'node:os' },
      'SAMSA_ZOOKEEPER_CLIENT',
      /does not load in Node\.js v\d+/,
    )
  })

  it("has its figures under Kafka's names", async () => {
    const metrics = new PromMetrics()
    const session = await open({ metrics })
    await session.get('/')
    let text = await metrics.scrape()
    assert.match(text, /^kafka_server_sessionexpirelistener_sessionstate\{state="CONNECTED"\} 1$/m)
    assert.match(text, /^kafka_server_sessionexpirelistener_zookeepersyncconnects_total 1$/m)
    assert.match(text, /^kafka_server_zookeeperclientmetrics_zookeeperrequestlatencyms_count 1$/m)
    process.kill(session.holderPid!, 'SIGKILL')
    await event(session, 'expired')
    text = await metrics.scrape()
    assert.match(text, /^kafka_server_sessionexpirelistener_zookeeperexpires_total 1$/m)
    assert.match(text, /sessionstate\{state="CLOSED"\} 1$/m)
  })
})
