import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { apiName } from '../protocol/keys.ts'
import { apis } from '../src/api/table.ts'
import { brokerTable } from '../src/core/config/broker-config.ts'

const root = findRoot(import.meta.dirname)

function findRoot(directory: string): string {
  return existsSync(join(directory, 'package.json')) ? directory : findRoot(join(directory, '..'))
}

/** All that is written in TypeScript below a folder. */
function sourcesBelow(folder: string): string {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.c?ts$/.test(name))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n')
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

test('every figure and key of our own that a document names exists', () => {
  const sources = sourcesBelow(join(root, 'src'))
  const figures = new Set(Array.from(sources.matchAll(/'(samsa_[a-z_]+)'/g), ([, name]) => name ?? ''))
  assert.ok(figures.size > 4, 'figures are found')
  for (const name of figures)
    assert.ok(section('Operations').includes(`\`${name}\``), `${name} is not told of`)
  for (const document of ['README.md', 'ARCHITECTURE.md', 'CHANGELOG.md', 'SECURITY.md']) {
    const text = readFileSync(join(root, document), 'utf8')
    for (const [name] of text.matchAll(/\bsamsa_[a-z_]+/g))
      assert.ok(figures.has(name), `${document}: ${name} is no figure`)
    for (const [, key] of text.matchAll(/`(samsa\.[a-z.]+?)(?:=[^`]*)?`/g))
      assert.ok(Object.hasOwn(brokerTable, key ?? ''), `${document}: ${key} is no key`)
  }
})

test('the README names every code of an error, and no other', () => {
  const source = readFileSync(join(root, 'src/core/samsa-error.ts'), 'utf8')
  const codes = Array.from(source.matchAll(/^  \| '(SAMSA_[A-Z_]+)'$/gm), ([, code]) => code ?? '')
  assert.ok(codes.length > 5, 'codes are found')
  const documented = Array.from(readme.matchAll(/^\| `(SAMSA_[A-Z_]+)` \|/gm), ([, code]) => code ?? '')
  assert.deepEqual(documented.toSorted(), codes.toSorted())
})
