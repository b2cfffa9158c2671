import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ApiKey, flexibleFrom } from '../../protocol/keys.ts'
import { apis, apisOfNewcomers, apisOfPeers } from '../../src/api/table.ts'
import { repositoryRoot } from '../support/processes.ts'

const folder = join(repositoryRoot, 'src/api')
const handlers = readdirSync(folder).filter((name) => /^\d+-.*\.ts$/.test(name))
const all = new Map([...apisOfPeers, ...apisOfNewcomers])

test('the header of each handler says which versions are served', () => {
  for (const file of handlers) {
    const [, name, served, last = served, first = served] =
      /^ \* (\w+), versions? (\d+)(?:-(\d+))?(?:; (\d+)-\d+ are advertised and refused)?/m.exec(
        readFileSync(join(folder, file), 'utf8'),
      ) ?? []
    const api = all.get(Number.parseInt(file))
    assert.ok(api, `${file} is in the table`)
    assert.deepEqual([api.name, api.minVersion, api.maxVersion], [name, Number(first), Number(last)], file)
  }
  assert.equal(handlers.length, all.size)
})

test('each handler has the key and the messages of its name', () => {
  const names = new Map<number, string>(Object.entries(ApiKey).map(([name, key]) => [key, name]))
  for (const [key, api] of all) {
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
    [...all.values()].filter(({ pipelined }) => pipelined).map(({ name }) => name),
    ['Produce'],
  )
})

test('each handler has tests, under its number or among those of its like', () => {
  const tests = readdirSync(join(repositoryRoot, 'test/api')).filter((name) => name.endsWith('.test.ts'))
  const texts = tests.map((name) => readFileSync(join(repositoryRoot, 'test/api', name), 'utf8'))
  const isTested = (file: string): boolean =>
    tests.some((name) => name.startsWith(/^\d+-/.exec(file)![0])) ||
    texts.some((text) => text.includes(`src/api/${file}`))
  assert.deepEqual(
    handlers.filter((file) => !isTested(file)),
    [],
  )
})

test('only brokers are served what is for brokers', () => {
  const others = [...all.keys()].filter((key) => !apis.has(key))
  assert.deepEqual(
    others.map((key) => [all.get(key)!.name, all.get(key)!.servedTo]),
    [
      ['ControlledShutdown', 'peers'],
      ['AlterPartition', 'peers'],
      ['MetadataPoll', 'peers'],
      ['ReportReplicas', 'peers'],
      ['BrokerHello', 'newcomers'],
    ],
  )
})
