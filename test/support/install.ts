/**
 * Fills the cache with everything the interop tests bring from package registries, so that the tests themselves
 * download nothing.
 */
import { kafkaClientJars, kafkaJars } from './apache-kafka.ts'
import { goProgram, nodeOfLine, packageLinters, platformaticPackage, pythonPackages } from './installs.ts'
import { works } from './processes.ts'

const parts: Readonly<Record<string, () => Promise<unknown>>> = {
  "Apache Kafka's broker and tools": () => kafkaJars(),
  "Apache Kafka's Java client 2.8.2": () => kafkaClientJars('2.8.2'),
  'Python packages': () => pythonPackages(),
  'Node.js 20': () => nodeOfLine(20),
  'Node.js 24': () => nodeOfLine(24),
  '@platformatic/kafka': () => platformaticPackage(),
  'publint and attw': () => packageLinters(),
  'the franz-go program': () => goProgram('franz'),
  'the sarama program': () => goProgram('sarama'),
  kcat: async () => ((await works('kcat', ['-V'])) ? 'kcat' : null),
}

/** Fetches what is not there yet and says so; false when a part cannot be had. */
export async function fetchAll(): Promise<boolean> {
  const fetched = await Promise.all(
    Object.entries(parts).map(async ([name, bring]) => {
      const began = Date.now()
      let problem = 'missing'
      const got = await bring().catch((error: unknown) => {
        problem = String(error)
        return null
      })
      console.log(got === null ? `${name}: ${problem}` : `${name}: ready after ${Date.now() - began} ms`)
      return got !== null
    }),
  )
  return fetched.every((each) => each)
}
