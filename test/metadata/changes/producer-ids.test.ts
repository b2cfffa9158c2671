import assert from 'node:assert/strict'
import { test } from 'node:test'
import { brokerConfig, openMetadata } from '../metadata-harness.ts'
import { SimWorld } from '../../simulator/sim-world.ts'

test('producer ids come one after the other, over the ends of blocks', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const { metadata } = await openMetadata(sim.start(), brokerConfig())
    const ids: number[] = []
    for (let i = 0; i < 2_100; i++) ids.push(await metadata.nextProducerId())
    assert.deepEqual(
      ids,
      ids.map((_, i) => i),
    )
    // Of those who ask at the same time over the end of a block none gets another one's.
    const many = await Promise.all(Array.from({ length: 2_000 }, () => metadata.nextProducerId()))
    assert.equal(new Set(many).size, 2_000)
    assert.deepEqual([Math.min(...many), Math.max(...many)], [2_100, 4_099])
    await metadata.close()
  })
})

test('after a restart no producer id comes again', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    let last = -1
    for (let life = 0; life < 3; life++) {
      const process = sim.start()
      const { metadata } = await openMetadata(process, brokerConfig())
      for (let i = 0; i < 3; i++) {
        const id = await metadata.nextProducerId()
        assert.ok(id > last, `${id} after ${last}`)
        last = id
      }
      await sim.powerLoss(process)
    }
    // A block of a thousand each.
    assert.equal(last, 2_002)
  })
})
