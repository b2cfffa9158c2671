/** DescribeLogDirs, AlterReplicaLogDirs. */
import { AreaBuilder } from '../scenario.ts'
import { text } from '../session.ts'
import type { Session } from '../session.ts'

export const logDirs = new AreaBuilder('log-dirs')

logDirs.addVersions('sizes of partitions', 'DescribeLogDirs', async (s, version) => {
  const topic = await s.topic('t', { partitions: 2 })
  await s.produce(topic, ['a', 'b'], ['c'])
  await s.ask('DescribeLogDirs', version, { topics: [{ topic, partitions: [0, 1, 2] }] })
  await s.ask('DescribeLogDirs', version, { topics: [{ topic, partitions: [] }] })
  await s.ask('DescribeLogDirs', version, { topics: [{ topic: s.name('none'), partitions: [0] }] })
  await s.ask('DescribeLogDirs', version, {
    topics: [
      { topic, partitions: [0] },
      { topic, partitions: [0, 1] },
    ],
  })
  await s.ask('DescribeLogDirs', version, { topics: [] })
})

logDirs.add('sizes of all partitions', async (s) => {
  await s.produce(await s.topic(), ['a'])
  await s.ask('DescribeLogDirs', 4, { topics: [{ topic: s.name('t'), partitions: [0] }] })
})

/** The one log directory there is. */
async function directoryOf(s: Session): Promise<string> {
  return text(await s.quietly('DescribeLogDirs', 1, { topics: [] }), 'results', 0, 'logDir')
}

logDirs.addVersions('to where it is, and to nowhere', 'AlterReplicaLogDirs', async (s, version) => {
  const topic = await s.topic('t', { partitions: 2 })
  const path = await directoryOf(s)
  const move = (to: string, name: string, partitions: readonly number[]): Promise<unknown> =>
    s.ask('AlterReplicaLogDirs', version, { dirs: [{ path: to, topics: [{ name, partitions }] }] })
  await move(path, topic, [0, 1])
  await move(path, topic, [1, 2, -1])
  await move(path, s.name('none'), [0])
  await move('/no/such/directory', topic, [0, 2])
  await move('/no/such/directory', s.name('none'), [0])
  await move(`${path}/`, topic, [0])
  await move('', topic, [0])
  await move(path, topic, [])
})

logDirs.add('moves of topics with other names', async (s) => {
  const path = await directoryOf(s)
  const longest = await s.topic('l'.repeat(249 - s.prefix.length))
  const fits = await s.topic('f'.repeat(255 - 32 - '-0.-future'.length - s.prefix.length))
  const tooLong = await s.topic('m'.repeat(256 - 32 - '-0.-future'.length - s.prefix.length))
  for (const name of [longest, fits, tooLong, 'a b', '', '__cluster_metadata'])
    await s.ask('AlterReplicaLogDirs', 2, { dirs: [{ path, topics: [{ name, partitions: [0] }] }] })
  await s.ask('AlterReplicaLogDirs', 2, {
    dirs: [{ path: '/no/such/directory', topics: [{ name: longest, partitions: [0] }] }],
  })
})

logDirs.add('moves that are named several times, or not at all', async (s) => {
  const topic = await s.topic('t', { partitions: 2 })
  const path = await directoryOf(s)
  const to = (directory: string, ...partitions: number[]): object => ({
    path: directory,
    topics: [{ name: topic, partitions }],
  })
  for (const dirs of [
    [],
    [{ path, topics: [] }],
    [to(path, 0, 0), to(path, 0)],
    [to('/no/such/directory', 0, 1), to(path, 0)],
    [to(path, 0), to('/no/such/directory', 0, 1)],
    [{ path, topics: [0, 1].map((index) => ({ name: topic, partitions: [index] })) }],
  ])
    await s.ask('AlterReplicaLogDirs', 2, { dirs } as never)
})
