import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ControllerSilence } from '../../../src/metadata/cluster/controller-silence.ts'
import { SimWorld } from '../../simulator/sim-world.ts'

test('a controller that does not answer is told of after a while, once in a while, and when it answers again', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const { world, logger } = sim.start()
    const silence = new ControllerSilence(world.clock, world.logger)
    const lasts = async (ms: number, controller: number): Promise<void> => {
      for (let passed = 0; passed < ms; passed += 500) {
        silence.goesOn(controller, { host: 'h', port: 9 }, 'connection refused')
        await sim.sleep(500)
      }
    }
    const told = (): string[] =>
      logger.lines
        .splice(0)
        .map(
          ({ level, message, fields }) =>
            `${level} ${message.slice(0, 20)} ${JSON.stringify(fields['address'] ?? '')}`,
        )
    await lasts(9_000, 2)
    silence.ends()
    assert.deepEqual(told(), [])
    await lasts(45_000, 2)
    assert.deepEqual(told(), ['warn the controller does  "h:9"', 'warn the controller does  "h:9"'])
    silence.ends()
    silence.ends()
    assert.deepEqual(told(), ['info the controller answe ""'])
    await lasts(12_000, -1)
    assert.deepEqual(told(), ['warn no controller is kno ""'])
  })
})
