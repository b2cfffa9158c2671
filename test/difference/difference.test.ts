/**
 * Every answer, as Apache Kafka 4.3.1 gives it. `golden/` holds what Kafka answered to the scenarios; Samsa is asked
 * the same here. `npm test -- --record-golden` records anew; with `SAMSA_TEST_PEER=kafka` Kafka itself is compared,
 * which shows that the recording still holds.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiName } from '../../protocol/keys.ts'
import type { ApiName } from '../../protocol/keys.ts'
import { apis } from '../../src/api/table.ts'
import { peerIsKafka } from '../support/broker-process.ts'
import { startKafkaToAsk, startSamsaToAsk } from './brokers.ts'
import { describeDifference, differencesOf } from './compare.ts'
import type { Difference } from './compare.ts'
import { judge } from './explanations.ts'
import type { Explanation } from './explanations.ts'
import { readGolden } from './golden.ts'
import { intendedDifferences } from './intended.ts'
import { readmeTable, tableOfDifferences } from './readme-table.ts'
import { knownFaults } from './known-faults.ts'
import { runScenarios } from './run-scenarios.ts'
import { areas } from './scenarios/index.ts'
import { edges } from './schemas.ts'

/** For whoever works on a scenario: only those whose name contains it. */
const word = process.env['SAMSA_DIFFERENCE'] ?? ''

test('answers are those of Apache Kafka', { timeout: 300_000 }, async (t) => {
  const explanations: Explanation[] = peerIsKafka ? [] : [...intendedDifferences, ...knownFaults]
  const differences: Difference[] = []
  {
    await using broker = await (peerIsKafka ? startKafkaToAsk() : startSamsaToAsk())
    const recordings = await runScenarios(broker, areas, (name) => name.includes(word))
    for (const [area, recording] of recordings) {
      const golden = readGolden(area)
      for (const [name, steps] of Object.entries(recording))
        differences.push(...differencesOf(`${area}: ${name}`, golden[name] ?? [], steps))
    }
  }
  const { unexplained, unused } = judge(differences, explanations)
  for (const area of areas)
    await t.test(`${area.name}, ${area.scenarios.size} scenarios`, () => {
      const ofArea = unexplained.filter(({ scenario }) => scenario.startsWith(`${area.name}: `))
      assert.ok(ofArea.length === 0, `\n${ofArea.map(describeDifference).join('\n')}`)
    })
  await t.test('every explained difference is still there', { skip: word !== '' }, () => {
    assert.deepEqual(unused, [])
  })
})

test('every API is asked in every version in which its messages change', () => {
  const asked = new Set(
    areas.flatMap(({ name, scenarios }) => {
      const golden = readGolden(name)
      return [...scenarios.keys()].flatMap((scenario) => (golden[scenario] ?? []).map(({ ask }) => ask))
    }),
  )
  const missing = [...apis.keys()]
    .map((key) => apiName(key) as ApiName)
    .flatMap((api) => edges(api).map((version) => `${api} ${version}`))
    .filter((ask) => !asked.has(ask))
  assert.deepEqual(missing, [])
})

test('the golden answers are those of the scenarios, of which there are enough', () => {
  for (const { name, scenarios } of areas)
    assert.deepEqual(Object.keys(readGolden(name)), [...scenarios.keys()], name)
  const count = areas.reduce((sum, { scenarios }) => sum + scenarios.size, 0)
  assert.ok(count >= 500, `${count} scenarios`)
})

test('the README lists what is intended', () => {
  assert.equal(readmeTable(), tableOfDifferences(), 'npm test -- --write-differences writes it anew')
})
