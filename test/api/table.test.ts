import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ApiKey, flexibleFrom } from '../../protocol/keys.ts'
import { apis } from '../../src/api/table.ts'
import { repositoryRoot } from '../support/processes.ts'

const folder = join(repositoryRoot, 'src/api')
const handlers = readdirSync(folder).filter((name) => /^\d\d-.*\.ts$/.test(name))

test('the header of each handler says which versions are served', () => {
  for (const file of handlers) {
    const [, name, served, last = served, first = served] =
      /^ \* (\w+), versions? (\d+)(?:-(\d+))?(?:; (\d+)-\d+ are advertised and refused)?/m.exec(
        readFileSync(join(folder, file), 'utf8'),
      ) ?? []
    const api = apis.get(Number(file.slice(0, 2)))
    assert.ok(api, `${file} is in the table`)
    assert.deepEqual([api.name, api.minVersion, api.maxVersion], [name, Number(first), Number(last)], file)
  }
  assert.equal(handlers.length, apis.size)
})

test('each handler has the key and the messages of its name', () => {
  const names = new Map<number, string>(Object.entries(ApiKey).map(([name, key]) => [key, name]))
  for (const [key, api] of apis) {
    assert.deepEqual([api.key, api.name], [key, names.get(key)])
    for (const schema of [api.request, api.response]) {
      assert.deepEqual([schema.key, schema.name], [key, api.name])
      assert.ok(schema.versions[0] <= api.minVersion && api.maxVersion <= schema.versions[1], api.name)
      if (flexibleFrom(key) <= schema.versions[1])
        assert.equal(schema.flexibleFrom, flexibleFrom(key), api.name)
    }
  }
})

test('only Produce is worked on before what came before it is answered', () => {
  assert.deepEqual(
    [...apis.values()].filter(({ pipelined }) => pipelined).map(({ name }) => name),
    ['Produce'],
  )
})

test('each handler has tests, under its number or among those of its like', () => {
  const tests = readdirSync(join(repositoryRoot, 'test/api')).filter((name) => name.endsWith('.test.ts'))
  const texts = tests.map((name) => readFileSync(join(repositoryRoot, 'test/api', name), 'utf8'))
  const isTested = (file: string): boolean =>
    tests.some((name) => name.startsWith(file.slice(0, 3))) ||
    texts.some((text) => text.includes(`src/api/${file}`))
  assert.deepEqual(
    handlers.filter((file) => !isTested(file)),
    [],
  )
})
