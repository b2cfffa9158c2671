import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TermStore } from '../../../src/metadata/cluster/term-store.ts'
import { EmbeddedStore } from '../../../src/system/store/embedded-store.ts'
import { SimWorld } from '../../simulator/sim-world.ts'

test('when a term is over nothing is written any more, and what was asked before is', () => {
  const sim = new SimWorld(1)
  return sim.run(async () => {
    const session = (await EmbeddedStore.open(sim.start().world, '/store')).connect()
    let isOver = false
    const store = new TermStore(session, () => isOver)
    const before = store.create('/a', Buffer.from('1'))
    isOver = true
    assert.equal(await before, '/a')
    const over = { code: 'SESSION_EXPIRED' }
    await assert.rejects(store.create('/b', Buffer.from('1')), over)
    await assert.rejects(store.set('/a', Buffer.from('2'), -1), over)
    await assert.rejects(store.delete('/a', -1), over)
    assert.equal((await store.get('/a'))?.data.toString(), '1')
    assert.deepEqual(await store.children('/'), ['a'])
    await store.close()
    await session.set('/a', Buffer.from('the session goes on'), -1)
  })
})
