import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seedsFromEnvironment } from '../../simulator/sim-random.ts'
import { PartitionWorld } from './partition-world.ts'

test('under lost logs, zombies, late news and late answers nothing acknowledged is lost, and readers never see a change', () => {
  let acknowledged = 0
  let elections = 0
  for (const seed of seedsFromEnvironment(1, 300)) {
    const world = new PartitionWorld(seed)
    try {
      for (let step = 0; step < 600; step++) world.step()
      world.heal()
    } catch (error) {
      throw new Error(`SAMSA_SEED=${seed}\n${world.story.slice(-40).join('\n')}`, { cause: error })
    }
    acknowledged += world.acknowledged.size
    elections += world.state.leaderEpoch
  }
  // It has looked at something.
  if (process.env['SAMSA_SEED'] === undefined)
    assert.ok(acknowledged > 1_000 && elections > 500, `${acknowledged} ${elections}`)
})
