/**
 * Fills the cache with everything the interop tests bring from package registries, so that the tests themselves
 * download nothing: `node dist/test/support/install.js`. Fails when a part cannot be had.
 */
import { kafkaClientJars, kafkaJars } from './apache-kafka.ts'
import { goProgram, newerNode, platformaticPackage, pythonPackages } from './installs.ts'
import { works } from './processes.ts'

if (process.env['SAMSA_REQUIRE_ALL'] !== '1') {
  console.error('set SAMSA_REQUIRE_ALL=1 (or run the tests with SAMSA_DOWNLOAD=1) to download anything')
  process.exit(1)
}

const parts: Readonly<Record<string, () => Promise<unknown>>> = {
  "Apache Kafka's broker and tools": () => kafkaJars(),
  "Apache Kafka's Java client 2.8.2": () => kafkaClientJars('2.8.2'),
  'Python packages': () => pythonPackages(),
  'the newer Node.js': () => newerNode(),
  '@platformatic/kafka': () => platformaticPackage(),
  'the franz-go program': () => goProgram('franz'),
  'the sarama program': () => goProgram('sarama'),
  kcat: async () => ((await works('kcat', ['-V'])) ? 'kcat' : null),
}

let failed = false
await Promise.all(
  Object.entries(parts).map(async ([name, bring]) => {
    const began = Date.now()
    let problem = 'missing'
    const got = await bring().catch((error: unknown) => {
      problem = String(error)
      return null
    })
    if (got === null) failed = true
    console.log(got === null ? `${name}: ${problem}` : `${name}: ready after ${Date.now() - began} ms`)
  }),
)
process.exit(failed ? 1 : 0)
