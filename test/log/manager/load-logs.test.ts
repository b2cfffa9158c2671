import assert from 'node:assert/strict'
import { test } from 'node:test'
import { removePath, syncDirectory } from '../../../src/log/files/disk-calls.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { batchOf, durable, partitionOf, readAll, startManager, TOPIC_ID } from './log-manager-fixture.ts'

const HOME = '/data/one'
const SEGMENT = '00000000000000000000'

for (const stop of ['clean', 'killed'] as const)
  test(`what is no file takes its own partition offline and nothing else, after a stop that was ${stop}`, async () => {
    for (const name of [`${SEGMENT}.log`, 'partition.metadata', 'leader-epoch-checkpoint']) {
      const sim = new SimWorld(1)
      await sim.run(async () => {
        const before = sim.start()
        const manager = await startManager(before)
        for (const index of [0, 1]) {
          const partition = await partitionOf(manager, 't', index, durable)
          assert.equal(await partition.append(batchOf([['k', 'v']], before.world.clock.nowMs())), 0)
        }
        if (stop === 'clean') await manager.close(true)
        await sim.kill(before)
        const process = sim.start()
        const { disk } = process.world
        const path = `${HOME}/t-0/${name}`
        const aside = `${HOME}/t-0/aside`
        disk.rename(path, aside)
        disk.makeDirectory(path)
        await syncDirectory(disk, `${HOME}/t-0`)
        for (let starts = 0; starts < 2; starts++) {
          const again = sim.start()
          const left = await startManager(again)
          assert.equal(left.get('t', 0), undefined, name)
          await assert.rejects(left.getOrCreate('t', 0, TOPIC_ID, durable), { code: 'SAMSA_LOG_CORRUPT' })
          assert.equal((await readAll(left.get('t', 1)!)).length, 1)
          const told = again.logger.lines.filter(({ level }) => level === 'error')
          assert.deepEqual(
            told.map(({ message }) => message),
            ['partition is damaged and stays offline'],
            name,
          )
          assert.match(String(told[0]!.fields['error']), /EISDIR/)
          await left.close(true)
          // The log that was not opened was not scanned either.
          assert.equal(again.world.disk.exists(`${HOME}/.kafka_cleanshutdown`), stop === 'clean')
        }
        const mending = sim.start().world.disk
        await removePath(mending, path)
        mending.rename(aside, path)
        const whole = await startManager(sim.start())
        for (const index of [0, 1]) assert.equal((await readAll(whole.get('t', index)!)).length, 1)
        await whole.close(true)
      })
    }
  })

test('a log directory fails: one line, and not one for each of its logs', async () => {
  const sim = new SimWorld(2)
  await sim.run(async () => {
    const process = sim.start()
    const manager = await startManager(process)
    const partitions = []
    for (let index = 0; index < 5; index++) partitions.push(await partitionOf(manager, 't', index, durable))
    sim.faults.add({ operation: 'write', code: 'EIO' })
    assert.notEqual(await partitions[0]!.append(batchOf([['k', 'v']], process.world.clock.nowMs())), 0)
    const errors = process.logger.messages('error')
    assert.deepEqual(errors.toSorted(), ['log directory failed and is offline', 'log failed'])
    assert(partitions.every(({ hasFailed }) => hasFailed))
    sim.faults.clear()
    await manager.close(false)
  })
})
