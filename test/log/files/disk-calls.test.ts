import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readWhole, writeWhole } from '../../../src/log/files/disk-calls.ts'
import { SimWorld } from '../../simulator/sim-world.ts'

test('a file that somebody else made, where one is written whole, is replaced; any other error is told', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const { disk } = sim.start().world
    disk.makeDirectory('/data')
    await writeWhole(disk, '/data/0.index', Buffer.from('of somebody else'), true)
    sim.faults.add({ operation: 'open', code: 'EACCES', path: /index$/, count: 1 })
    await writeWhole(disk, '/data/0.index', Buffer.from('ours'), true)
    assert.equal(sim.faults.hits, 1)
    assert.equal((await readWhole(disk, '/data/0.index'))?.toString(), 'ours')
    for (const code of ['EIO', 'ENOSPC']) {
      sim.faults.add({ operation: 'open', code, path: /index$/, count: 1 })
      await assert.rejects(writeWhole(disk, '/data/0.index', Buffer.from('new'), true), { code })
    }
    assert.equal((await readWhole(disk, '/data/0.index'))?.toString(), 'ours')
  })
})
