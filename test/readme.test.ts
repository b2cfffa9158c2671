import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { apiName } from '../protocol/keys.ts'
import { apis } from '../src/api/table.ts'
import { brokerTable } from '../src/core/config/broker-config.ts'

const root = findRoot(import.meta.dirname)

function findRoot(directory: string): string {
  return existsSync(join(directory, 'package.json')) ? directory : findRoot(join(directory, '..'))
}

const readme = readFileSync(join(root, 'README.md'), 'utf8')

function section(title: string): string {
  const start = readme.indexOf(`\n## ${title}\n`)
  assert.ok(start >= 0, `no section ${title}`)
  const end = readme.indexOf('\n## ', start + 1)
  return readme.slice(start, end < 0 ? undefined : end)
}

test('the README names the APIs and versions that the table serves', () => {
  const documented = [...section('APIs').matchAll(/\b([A-Z]\w+) (\d+(?:-\d+)?)(?=[,.])/g)].map(
    ([, name, versions]) => `${name} ${versions}`,
  )
  const served = [...apis.values()].map(({ key, minVersion, maxVersion }) =>
    minVersion === maxVersion
      ? `${apiName(key)} ${minVersion}`
      : `${apiName(key)} ${minVersion}-${maxVersion}`,
  )
  assert.deepEqual(documented.toSorted(), served.toSorted())
})

test('the README names every key of our own, and no other', () => {
  const documented = new Set(Array.from(readme.matchAll(/`(samsa\.[a-z.]+)`/g), ([, key]) => key ?? ''))
  const own = Object.keys(brokerTable).filter((key) => key.startsWith('samsa.'))
  assert.deepEqual([...documented].toSorted(), own.toSorted())
})
