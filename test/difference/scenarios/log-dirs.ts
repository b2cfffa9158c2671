/** DescribeLogDirs. */
import { AreaBuilder } from '../scenario.ts'

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
