import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  decodeCleanShutdownMarker,
  decodeMetaProperties,
  decodeOffsetCheckpoint,
  encodeCleanShutdownMarker,
  encodeMetaProperties,
  encodeOffsetCheckpoint,
  randomDirectoryId,
  writeFileDurably,
} from '../../../src/log/files/checkpoints.ts'
import { syncDirectory } from '../../../src/log/files/disk-calls.ts'
import { seedsFromEnvironment, SimRandom } from '../../simulator/sim-random.ts'
import { SimWorld } from '../../simulator/sim-world.ts'

test('an offset checkpoint is the text Kafka writes', () => {
  const entries = [
    { topic: 'orders', partition: 0, offset: 42 },
    { topic: 'a.b_c-d', partition: 12, offset: 9007199254740991 },
  ]
  const bytes = encodeOffsetCheckpoint(entries)
  assert.equal(bytes.toString(), '0\n2\norders 0 42\na.b_c-d 12 9007199254740991\n')
  assert.deepEqual(decodeOffsetCheckpoint(bytes, 'f'), entries)
  assert.equal(encodeOffsetCheckpoint([]).toString(), '0\n0\n')
  assert.deepEqual(decodeOffsetCheckpoint(Buffer.from('0\n0\n'), 'f'), [])
})

test('a damaged checkpoint says what is wrong', () => {
  for (const text of [
    '',
    '1\n0\n',
    '0\n',
    '0\n2\na 0 1\n',
    '0\n1\na 0\n',
    '0\n1\na 0 x\n',
    '0\nx\na 0 1\n',
    '\0\0\0\0',
  ])
    assert.throws(() => decodeOffsetCheckpoint(Buffer.from(text), '/d/f'), {
      code: 'SAMSA_LOG_CORRUPT',
      message: /^\/d\/f: /,
    })
  assert.throws(() => decodeOffsetCheckpoint(Buffer.from('0\n1\na 0 9223372036854775807\n'), 'f'))
})

test('meta.properties of KRaft, of ZooKeeper mode and our own', () => {
  const kraft =
    '#\n#Sun Nov 22 10:00:00 UTC 2026\ncluster.id=4L6g3nShT-eMCtK--X86sw\ndirectory.id=WP3gYcXGQ3yW4dRkNG6xFA\nnode.id=1\nversion=1\n'
  assert.deepEqual(decodeMetaProperties(Buffer.from(kraft), 'f'), {
    version: 1,
    clusterId: '4L6g3nShT-eMCtK--X86sw',
    nodeId: 1,
    directoryId: 'WP3gYcXGQ3yW4dRkNG6xFA',
  })
  const zooKeeper = '#\n#Fri Mar 03\nbroker.id=7\r\nversion=0\ncluster.id=a\\=b\\:c\n'
  assert.deepEqual(decodeMetaProperties(Buffer.from(zooKeeper), 'f'), {
    version: 0,
    clusterId: 'a=b:c',
    nodeId: 7,
    directoryId: null,
  })
  assert.deepEqual(
    decodeMetaProperties(Buffer.from('! by hand\nbroker.id : 3\ncluster.id  x\\\n   y'), 'f'),
    {
      version: 0,
      clusterId: 'xy',
      nodeId: 3,
      directoryId: null,
    },
  )
  const ours = decodeMetaProperties(encodeMetaProperties('odd=id: #!\\', 5, 'dir'), 'f')
  assert.deepEqual(ours, { version: 1, clusterId: 'odd=id: #!\\', nodeId: 5, directoryId: 'dir' })
  for (const text of ['version=2\n', 'version=1\nnode.id=one\n', 'node.id=1\nbroker.id=2\n'])
    assert.throws(() => decodeMetaProperties(Buffer.from(text), '/d/meta.properties'), {
      code: 'SAMSA_CONFIG',
    })
})

test('directory ids are UUIDs Kafka accepts', () => {
  const random = new SimRandom(1)
  for (let i = 0; i < 500; i++) assert.match(randomDirectoryId(random), /^[\w][\w-]{21}$/)
})

test('the clean marker carries the broker epoch', () => {
  assert.equal(encodeCleanShutdownMarker(17).toString(), '{"version":0,"brokerEpoch":17}')
  assert.equal(decodeCleanShutdownMarker(encodeCleanShutdownMarker(17)), 17)
  assert.equal(decodeCleanShutdownMarker(Buffer.from('version: 0\nbrokerEpoch: 41')), 41)
  for (const text of ['', '{', '[]', '{"version":0}', '{"brokerEpoch":"x"}'])
    assert.equal(decodeCleanShutdownMarker(Buffer.from(text)), -1)
})

test('after any power loss a replaced file is the old one or the new one; after the write it is the new one', async () => {
  const path = '/data/file'
  for (const seed of seedsFromEnvironment(1, 150)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const process = sim.start()
      const { disk } = process.world
      disk.makeDirectory('/data')
      await syncDirectory(disk, '/')
      await writeFileDurably(disk, path, Buffer.from('old '.repeat(400)))
      const writing = writeFileDurably(disk, path, Buffer.from('new'))
      const finished = sim.random.chance(0.3)
      if (finished) await writing
      else await sim.sleep(sim.random.fraction() * 12)
      await sim.powerLoss(process)
      const found = sim.start().world.disk.readFile(path).toString()
      if (finished) assert.equal(found, 'new')
      else assert(found === 'new' || found === 'old '.repeat(400), found)
      // The next process writes again, over whatever temporary file is left.
      const next = sim.start().world.disk
      await writeFileDurably(next, path, Buffer.from('x'))
      assert.equal(next.readFile(path).toString(), 'x')
    })
  }
})

test('a failed write leaves the old content', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const { disk } = sim.start().world
    disk.makeDirectory('/data')
    await writeFileDurably(disk, '/data/c', encodeOffsetCheckpoint([{ topic: 't', partition: 1, offset: 5 }]))
    sim.faults.add({ operation: 'sync', code: 'EIO', count: 1 })
    await assert.rejects(writeFileDurably(disk, '/data/c', Buffer.from('other')), { code: 'EIO' })
    const kept = decodeOffsetCheckpoint(disk.readFile('/data/c'), '/data/c')
    assert.deepEqual(kept, [{ topic: 't', partition: 1, offset: 5 }])
  })
})
