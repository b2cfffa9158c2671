import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'

import type { CreateMode, MetadataStore, MetadataStoreErrorCode } from '../../src/ports.ts'

/** A store to judge: several sessions on one tree. */
export interface StoreHarness {
  connect(): Promise<MetadataStore>
  /** Takes the session away from a living client, as a server does that heard nothing from it. */
  expire(session: MetadataStore): Promise<void>
  /** Stops the store without a goodbye and starts it again; every session is gone. Absent when it cannot be done. */
  crash?(): Promise<void>
  dispose(): Promise<void>
}

async function rejectsWith(code: MetadataStoreErrorCode, promise: Promise<unknown>): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof Error)
    assert.equal((error as Error & { code?: unknown }).code, code, error.message)
    return true
  })
}

/** Resolves when called; `count` says how often that happened. */
function watcher(): { watch: () => void; fired: Promise<void>; count: () => number } {
  let calls = 0
  let fire: () => void
  const fired = new Promise<void>((resolve) => {
    fire = resolve
  })
  const watch = (): void => {
    calls += 1
    fire()
  }
  return { watch, fired, count: () => calls }
}

/** Every sentence of the MetadataStore port, as tests. `root` is created if missing and emptied before each test. */
export function storeConformance(
  name: string,
  start: () => Promise<StoreHarness>,
  root = '/conformance',
): void {
  describe(`${name} keeps the contract of the metadata store`, () => {
    let harness: StoreHarness
    let store: MetadataStore
    let tests = 0
    let base = root
    const data = (text: string): Buffer => Buffer.from(text)

    before(async () => {
      harness = await start()
      const session = await harness.connect()
      if ((await session.get(root)) === null) await session.create(root, Buffer.alloc(0))
      await session.close()
    })
    after(() => harness.dispose())

    const check = (title: string, body: () => Promise<void>): void => {
      it(title, async () => {
        store = await harness.connect()
        base = `${root}/test-${tests++}`
        await store.create(base, Buffer.alloc(0))
        try {
          await body()
        } finally {
          await store.close().catch(() => undefined)
        }
      })
    }
    const otherSession = async (use: (other: MetadataStore) => Promise<void>): Promise<void> => {
      const other = await harness.connect()
      try {
        await use(other)
      } finally {
        await other.close().catch(() => undefined)
      }
    }

    check('creates a node and gives it back', async () => {
      assert.equal(await store.create(`${base}/a`, data('one')), `${base}/a`)
      const node = await store.get(`${base}/a`)
      assert.equal(node?.data.toString(), 'one')
      assert.equal(node?.stat.version, 0)
      assert.equal(node?.stat.ephemeral, false)
      assert.equal(node?.stat.ownedByThisSession, false)
    })

    check('keeps empty and binary data', async () => {
      const bytes = Buffer.from([0, 255, 128, 10, 0])
      await store.create(`${base}/empty`, Buffer.alloc(0))
      await store.create(`${base}/binary`, bytes)
      assert.equal((await store.get(`${base}/empty`))?.data.length, 0)
      assert.deepEqual((await store.get(`${base}/binary`))?.data, bytes)
    })

    check('keeps names that are not ASCII', async () => {
      await store.create(`${base}/Ünïcode 名`, data('x'))
      assert.deepEqual(await store.children(base), ['Ünïcode 名'])
    })

    check('does not change a node when its caller changes a buffer', async () => {
      const bytes = data('before')
      const created = store.create(`${base}/a`, bytes)
      bytes.fill(0)
      await created
      const read = await store.get(`${base}/a`)
      assert.equal(read?.data.toString(), 'before')
      read.data.fill(0)
      assert.equal((await store.get(`${base}/a`))?.data.toString(), 'before')
    })

    check('counts the children that were removed', async () => {
      const removed = async (): Promise<number | undefined> => (await store.get(base))?.stat.removedChildren
      assert.equal(await removed(), 0)
      await store.create(`${base}/a`, data('1'))
      await store.create(`${base}/b`, data('1'))
      assert.equal(await removed(), 0)
      await store.delete(`${base}/a`, 0)
      assert.equal(await removed(), 1)
      await store.create(`${base}/a`, data('1'))
      assert.equal(await removed(), 1)
    })

    check('refuses to create what exists or has no parent', async () => {
      await store.create(`${base}/a`, data('1'))
      await rejectsWith('NODE_EXISTS', store.create(`${base}/a`, data('2')))
      await rejectsWith('NO_NODE', store.create(`${base}/b/c`, data('3')))
      assert.equal((await store.get(`${base}/a`))?.data.toString(), '1')
    })

    check('refuses paths that are none', async () => {
      for (const path of ['', 'a', `${base}/`, `${base}//a`, `${base}/./a`, `${base}/..`, `${base}/a\0b`]) {
        await rejectsWith('INVALID_PATH', store.create(path, data('x')))
        await rejectsWith('INVALID_PATH', store.get(path))
        await rejectsWith('INVALID_PATH', store.set(path, data('x'), -1))
        await rejectsWith('INVALID_PATH', store.delete(path, -1))
        await rejectsWith('INVALID_PATH', store.children(path))
      }
    })

    check('answers null for a node that is not there', async () => {
      assert.equal(await store.get(`${base}/a`), null)
      assert.equal(await store.children(`${base}/a`), null)
    })

    check('sets under the expected version only', async () => {
      await store.create(`${base}/a`, data('0'))
      assert.equal((await store.set(`${base}/a`, data('1'), 0)).version, 1)
      await rejectsWith('BAD_VERSION', store.set(`${base}/a`, data('x'), 0))
      await rejectsWith('BAD_VERSION', store.set(`${base}/a`, data('x'), 2))
      assert.equal((await store.set(`${base}/a`, data('2'), -1)).version, 2)
      await rejectsWith('NO_NODE', store.set(`${base}/b`, data('x'), -1))
      const node = await store.get(`${base}/a`)
      assert.equal(node?.data.toString(), '2')
      assert.equal(node?.stat.version, 2)
    })

    check('lets exactly one of many rivals set the same version', async () => {
      await store.create(`${base}/a`, data('0'))
      await otherSession(async (other) => {
        const rivals = Array.from({ length: 20 }, (_, index) =>
          (index % 2 === 0 ? store : other).set(`${base}/a`, data(String(index)), 0),
        )
        const results = await Promise.allSettled(rivals)
        assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
        assert.equal((await store.get(`${base}/a`))?.stat.version, 1)
      })
    })

    check('deletes under the expected version, and only nodes without children', async () => {
      await store.create(`${base}/a`, data(''))
      await store.create(`${base}/a/b`, data(''))
      await rejectsWith('NOT_EMPTY', store.delete(`${base}/a`, 0))
      await rejectsWith('BAD_VERSION', store.delete(`${base}/a/b`, 1))
      await store.delete(`${base}/a/b`, 0)
      await store.delete(`${base}/a`, -1)
      await rejectsWith('NO_NODE', store.delete(`${base}/a`, -1))
      assert.equal(await store.get(`${base}/a`), null)
    })

    check('begins at version 0 again when a node comes back, under a later transaction', async () => {
      await store.create(`${base}/a`, data('1'))
      await store.set(`${base}/a`, data('2'), 0)
      const first = await store.get(`${base}/a`)
      await store.delete(`${base}/a`, 1)
      await store.create(`${base}/a`, data('3'))
      const second = await store.get(`${base}/a`)
      assert.equal(second?.stat.version, 0)
      assert.ok(second.stat.createdTransaction > first!.stat.createdTransaction)
    })

    check('orders creations by their transactions over the whole tree', async () => {
      const modes: CreateMode[] = ['persistent', 'ephemeral', 'persistent', 'ephemeral']
      const transactions: number[] = []
      for (const [index, mode] of modes.entries()) {
        await store.create(`${base}/n${index}`, data(''), mode)
        transactions.push((await store.get(`${base}/n${index}`))!.stat.createdTransaction)
      }
      assert.deepEqual(
        transactions,
        [...new Set(transactions)].sort((a, b) => a - b),
      )
    })

    check('lists the names of children', async () => {
      for (const child of ['b', 'a', 'c']) await store.create(`${base}/${child}`, data(''))
      await store.create(`${base}/a/deeper`, data(''))
      assert.deepEqual((await store.children(base))?.sort(), ['a', 'b', 'c'])
      assert.deepEqual(await store.children(`${base}/b`), [])
    })

    check('numbers sequential nodes with ten digits that grow', async () => {
      const created: string[] = []
      for (let index = 0; index < 3; index++)
        created.push(await store.create(`${base}/s-`, data(''), 'sequential'))
      for (const path of created) assert.match(path.slice(base.length), /^\/s-[0-9]{10}$/)
      assert.deepEqual(created, [...new Set(created)].sort())
      await store.delete(created[2]!, -1)
      assert.ok((await store.create(`${base}/s-`, data(''), 'sequential')) > created[2]!)
    })

    check('answers pipelined calls in order, each seeing those before it', async () => {
      const created = Array.from({ length: 300 }, (_, index) => store.create(`${base}/n${index}`, data('')))
      const child = store.create(`${base}/n7/child`, data('c'))
      const read = store.get(`${base}/n7/child`)
      const listed = store.children(base)
      const order: string[] = []
      void created[299]!.then(() => order.push('created'))
      void listed.then(() => order.push('listed'))
      await Promise.all([...created, child])
      assert.equal((await read)?.data.toString(), 'c')
      assert.equal((await listed)?.length, 300)
      assert.deepEqual(order, ['created', 'listed'])
    })

    check('fires a data watch once, on a change', async () => {
      await store.create(`${base}/a`, data('0'))
      const { watch, fired, count } = watcher()
      await store.get(`${base}/a`, watch)
      await store.get(`${base}/a`)
      assert.equal(count(), 0)
      await otherSession(async (other) => {
        await other.set(`${base}/a`, data('1'), 0)
        await fired
        await other.set(`${base}/a`, data('2'), 1)
        await store.get(`${base}/a`)
      })
      assert.equal(count(), 1)
    })

    check('fires a data watch on deletion and on creation, not on children', async () => {
      const creation = watcher()
      assert.equal(await store.get(`${base}/a`, creation.watch), null)
      await store.create(`${base}/b`, data(''))
      assert.equal(creation.count(), 0)
      await store.create(`${base}/a`, data(''))
      await creation.fired
      const deletion = watcher()
      await store.get(`${base}/a`, deletion.watch)
      await store.create(`${base}/a/child`, data(''))
      await store.delete(`${base}/a/child`, -1)
      await store.get(`${base}/a`)
      assert.equal(deletion.count(), 0)
      await store.delete(`${base}/a`, -1)
      await deletion.fired
    })

    check(
      'fires a child watch once, on a child created or deleted or the end of the node, not on data',
      async () => {
        await store.create(`${base}/a`, data(''))
        const creation = watcher()
        await store.children(`${base}/a`, creation.watch)
        await store.set(`${base}/a`, data('1'), -1)
        await store.get(base)
        assert.equal(creation.count(), 0)
        await store.create(`${base}/a/b`, data(''))
        await creation.fired
        const quiet = watcher()
        await store.children(`${base}/a`, quiet.watch)
        await store.set(`${base}/a/b`, data('2'), -1)
        await store.create(`${base}/a/b/c`, data(''))
        await store.delete(`${base}/a/b/c`, -1)
        await store.get(base)
        assert.equal(quiet.count(), 0)
        await store.delete(`${base}/a/b`, -1)
        await quiet.fired
        const end = watcher()
        await store.children(`${base}/a`, end.watch)
        await store.delete(`${base}/a`, -1)
        await end.fired
        assert.deepEqual([creation.count(), quiet.count(), end.count()], [1, 1, 1])
      },
    )

    check('is quiet about calls that failed', async () => {
      await store.create(`${base}/a`, data(''))
      const changes = watcher()
      await store.get(`${base}/a`, changes.watch)
      await store.children(base, changes.watch)
      await rejectsWith('BAD_VERSION', store.set(`${base}/a`, data('x'), 9))
      await rejectsWith('BAD_VERSION', store.delete(`${base}/a`, 9))
      await rejectsWith('NODE_EXISTS', store.create(`${base}/a`, data('')))
      await store.get(base)
      assert.equal(changes.count(), 0)
    })

    check('tells the watch before, or as, it shows the change', async () => {
      await store.create(`${base}/a`, data('0'))
      const { watch, count } = watcher()
      await store.get(`${base}/a`, watch)
      await store.set(`${base}/a`, data('1'), 0)
      assert.equal((await store.get(`${base}/a`))?.data.toString(), '1')
      assert.equal(count(), 1)
    })

    check('keeps ephemeral nodes as long as their session', async () => {
      await otherSession(async (other) => {
        await other.create(`${base}/e`, data('mine'), 'ephemeral')
        assert.deepEqual(
          [
            (await other.get(`${base}/e`))?.stat.ephemeral,
            (await other.get(`${base}/e`))?.stat.ownedByThisSession,
          ],
          [true, true],
        )
        assert.deepEqual(
          [
            (await store.get(`${base}/e`))?.stat.ephemeral,
            (await store.get(`${base}/e`))?.stat.ownedByThisSession,
          ],
          [true, false],
        )
        await rejectsWith('NO_CHILDREN_FOR_EPHEMERALS', other.create(`${base}/e/child`, data('')))
        assert.equal((await store.set(`${base}/e`, data('changed'), 0)).version, 1)
        const gone = watcher()
        const childGone = watcher()
        await store.get(`${base}/e`, gone.watch)
        await store.children(base, childGone.watch)
        await other.close()
        await gone.fired
        await childGone.fired
      })
      assert.equal(await store.get(`${base}/e`), null)
    })

    check('numbers ephemeral-sequential nodes and removes them with their session', async () => {
      let last = ''
      await otherSession(async (other) => {
        await other.create(`${base}/m-`, data(''), 'ephemeral-sequential')
        last = await other.create(`${base}/m-`, data(''), 'ephemeral-sequential')
        assert.equal((await store.children(base))?.length, 2)
      })
      assert.deepEqual(await store.children(base), [])
      assert.ok((await store.create(`${base}/m-`, data(''), 'sequential')) > last)
    })

    check('lets anybody delete an ephemeral node', async () => {
      await otherSession(async (other) => {
        await other.create(`${base}/e`, data(''), 'ephemeral')
        await store.delete(`${base}/e`, 0)
        assert.equal(await other.get(`${base}/e`), null)
        await store.create(`${base}/e`, data('kept'))
      })
      assert.equal((await store.get(`${base}/e`))?.data.toString(), 'kept')
    })

    check('refuses everything after close, and fires no watch of a closed session', async () => {
      const session = await harness.connect()
      const { watch, count } = watcher()
      await session.get(`${base}/a`, watch)
      await session.close()
      await session.close()
      await rejectsWith('SESSION_EXPIRED', session.create(`${base}/a`, data('')))
      await rejectsWith('SESSION_EXPIRED', session.get(`${base}/a`))
      await rejectsWith('SESSION_EXPIRED', session.set(`${base}/a`, data(''), -1))
      await rejectsWith('SESSION_EXPIRED', session.delete(`${base}/a`, -1))
      await rejectsWith('SESSION_EXPIRED', session.children(`${base}/a`))
      await store.create(`${base}/a`, data(''))
      await store.get(`${base}/a`)
      assert.equal(count(), 0)
    })

    check('says that a session expired, once and for good', async () => {
      const session = await harness.connect()
      const events: string[] = []
      const told = new Promise<void>((resolve) => {
        session.onSession((event) => {
          events.push(event)
          if (event === 'expired') resolve()
        })
      })
      await session.create(`${base}/e`, data(''), 'ephemeral')
      await harness.expire(session)
      await told
      assert.equal(events.at(-1), 'expired')
      assert.equal(await store.get(`${base}/e`), null)
      await rejectsWith('SESSION_EXPIRED', session.get(base))
      await rejectsWith('SESSION_EXPIRED', session.create(`${base}/x`, data('')))
      await session.close()
    })

    it('keeps what was answered over a crash, without the ephemeral nodes', async (context) => {
      if (harness.crash === undefined) {
        context.skip('this store cannot be crashed')
        return
      }
      const path = `${root}/crash`
      const session = await harness.connect()
      await session.create(path, data('0'))
      await session.set(path, data('1'), 0)
      await session.create(`${path}/kept`, data('kept'))
      await session.create(`${path}/deleted`, data(''))
      await session.delete(`${path}/deleted`, -1)
      const numbered = await session.create(`${path}/s-`, data(''), 'sequential')
      await session.create(`${path}/e`, data(''), 'ephemeral')
      const before = (await session.get(`${path}/e`))!.stat.createdTransaction
      await harness.crash()
      const next = await harness.connect()
      const node = await next.get(path)
      assert.equal(node?.data.toString(), '1')
      assert.equal(node?.stat.version, 1)
      assert.deepEqual((await next.children(path))?.sort(), ['kept', numbered.slice(path.length + 1)].sort())
      await next.create(`${path}/e`, data(''), 'ephemeral')
      assert.ok((await next.get(`${path}/e`))!.stat.createdTransaction > before)
      assert.ok((await next.create(`${path}/s-`, data(''), 'sequential')) > numbered)
      await next.close()
    })
  })
}
