import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Audience } from '../../../src/metadata/cluster/audience.ts'
import { SimWorld } from '../../simulator/sim-world.ts'

test('who does not ask is lost while others do; when nobody does, it is the controller that is', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const { world } = sim.start()
    const told: string[] = []
    let expected = [2, 3]
    const audience = new Audience({
      clock: world.clock,
      timeoutMs: 6_000,
      expected: () => expected,
      lost: (id) => {
        told.push(`lost ${id}`)
        expected = expected.filter((each) => each !== id)
      },
      deserted: () => told.push('deserted'),
    })
    const asks = async (forMs: number, ...ids: readonly number[]): Promise<void> => {
      for (let passed = 0; passed < forMs; passed += 500) {
        for (const id of ids) audience.heard(id)
        await sim.sleep(500)
      }
    }
    await asks(5_000)
    assert.deepEqual(told, [], 'a term that begins gives all of them time')
    await asks(20_000, 2, 3)
    assert.deepEqual(told, [])
    await asks(8_000, 2)
    assert.deepEqual(told, ['lost 3'])
    expected = [2, 3]
    await asks(20_000, 2, 3)
    assert.deepEqual(told, ['lost 3'])
    await asks(7_500)
    assert.deepEqual([...new Set(told)], ['lost 3', 'deserted'])
    told.length = 0
    expected = []
    await asks(20_000)
    assert.deepEqual(told, [], 'nobody should')
    expected = [2]
    audience.close()
    await asks(20_000)
    assert.deepEqual(told, [])
  })
})
