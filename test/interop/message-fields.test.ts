/**
 * What is known of the fields of Apache Kafka's messages, against its own classes. `test/protocol/fields.test.ts` compares our
 * schemas with it. With `SAMSA_RECORD=1` it is written anew.
 */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { GIVEN_UP, allSchemas, isMessage, isOfSamsa } from '../protocol/all-schemas.ts'
import { kafkaJars, runJava } from '../support/apache-kafka.ts'
import { javaClasses } from '../support/installs.ts'
import { repositoryRoot } from '../support/processes.ts'

const GOLDEN = join(repositoryRoot, 'test/protocol/golden/fields-kafka-4.3.1.txt')

const jars = await kafkaJars()
const classes = jars === null ? null : await javaClasses(jars, ['KafkaFields.java'])

/** Where Kafka keeps the classes of what is no request and no response. */
function classOf(name: string): string {
  if (name.startsWith('ConsumerProtocol')) return `org.apache.kafka.common.message.${name}`
  return name.endsWith('Value')
    ? `org.apache.kafka.coordinator.group.generated.${name}`
    : `org.apache.kafka.common.metadata.${name}`
}

test('the fields of the messages of Apache Kafka', { skip: classes === null }, async () => {
  const schemas = await allSchemas()
  const messages = schemas.filter(isMessage).filter((schema) => !isOfSamsa(schema))
  const keys = new Set(messages.map(({ key }) => key).filter((key) => !GIVEN_UP.has(key)))
  const data = schemas.filter((schema) => !isMessage(schema)).map(({ name }) => name)
  const asked = [
    ...[...keys].toSorted((a, b) => a - b).map(String),
    // The keys of `__consumer_offsets` are what their version says.
    ...data
      .filter((name) => !name.endsWith('Key'))
      .toSorted()
      .map(classOf),
  ]
  const { code, stdout, stderr } = await runJava(jars!, 'KafkaFields', asked, { classPath: [classes!] })
  assert.equal(code, 0, stderr)
  if (process.env['SAMSA_RECORD'] === '1') await writeFile(GOLDEN, stdout)
  assert.equal(await readFile(GOLDEN, 'utf8'), stdout)
})
