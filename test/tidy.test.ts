import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { findCycle, handlersOutsideTable, resolveImport, roomOf, scan, violations } from './tidy-checker.ts'

const root = findRoot(import.meta.dirname)

/** From the sources as from the compiled tests, the nearest folder above with a package.json. */
function findRoot(directory: string): string {
  return existsSync(join(directory, 'package.json')) ? directory : findRoot(join(directory, '..'))
}

/** TypeScript files below the given folders, by their paths from the root. */
function sources(...folders: string[]): string[] {
  return folders
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
        .map((name) => `${folder}/${name.replaceAll('\\', '/')}`),
    )
    .sort()
}

const read = (path: string): string => readFileSync(join(root, path), 'utf8')

describe('the law of the house', () => {
  test('every file keeps to its room', () => {
    const files = sources('src', 'protocol', 'test', 'bench')
    assert.ok(files.includes('src/ports.ts'), `the sources are not where they should be: ${root}`)
    assert.deepEqual(
      files.flatMap((file) => violations(file, read(file))),
      [],
    )
  })

  test('no import cycles', () => {
    const graph = new Map(
      sources('src', 'protocol').map((file) => [
        file,
        scan(read(file))
          .imports.filter((specifier) => specifier.startsWith('.'))
          .map((specifier) => resolveImport(file, specifier)),
      ]),
    )
    assert.equal(findCycle(graph), null)
  })

  test('every handler file is in the table', () => {
    const handlers = sources('src/api')
    const table = existsSync(join(root, 'src/api/table.ts')) ? read('src/api/table.ts') : ''
    assert.deepEqual(handlersOutsideTable(handlers, table), [])
  })
})

describe('the checker sees', () => {
  const of = (path: string, source: string): string => violations(path, source).join('; ')

  test('imports that go up or sideways', () => {
    assert.match(of('src/log/a.ts', `import { x } from '../broker/b.ts'`), /log must not import from broker/)
    assert.match(
      of('src/log/a.ts', `import type { X } from '../metadata/b.ts'`),
      /must not import from metadata/,
    )
    assert.match(
      of('src/core/group/a.ts', `import type { World } from '../../ports.ts'`),
      /import from ports/,
    )
    assert.match(of('protocol/a.ts', `export { x } from '../src/core/b.ts'`), /import from core/)
    assert.match(of('src/system/a.ts', `const b = await import('../broker/b.ts')`), /import from broker/)
    assert.match(of('src/api/a.ts', `import {\n  x,\n} from '../../test/b.ts'`), /outside src and protocol/)
    assert.match(of('src/cellar/a.ts', ''), /no room "cellar"/)
    assert.equal(of('src/broker/a.ts', `import { x } from '../log/b.ts'`), '')
    assert.equal(of('src/cli/a.ts', `import { x } from '../index.ts'\nimport fs from 'node:fs'`), '')
  })

  test('imports that go up within a room', () => {
    assert.match(
      of('src/log/segment/a.ts', `import { x } from '../read/b.ts'`),
      /log\/segment must not import from log\/read/,
    )
    assert.match(of('src/log/space/a.ts', `import { x } from '../log.ts'`), /log\/space must not .* log\/\./)
    assert.match(
      of('src/log/log.ts', `import { x } from './manager/b.ts'`),
      /must not import from log\/manager/,
    )
    assert.match(of('src/log/cellar/a.ts', ''), /no wing "cellar" in log/)
    assert.equal(of('src/log/segment/a.ts', `import type { X } from '../log-types.ts'`), '')
    assert.equal(of('src/log/log-types.ts', `import type { X } from './read/b.ts'`), '')
    assert.equal(of('src/log/directory/a.ts', `import { x } from '../log.ts'`), '')
  })

  test('modules and packages of the real world', () => {
    assert.match(of('src/log/a.ts', `import fs from 'node:fs'`), /node:fs belongs to src\/system/)
    assert.match(of('src/server/a.ts', `import { Socket } from "node:net"`), /node:net/)
    assert.match(of('src/broker/a.ts', `import 'node:timers/promises'`), /node:timers\/promises/)
    assert.match(of('src/broker/a.ts', `import { pino } from 'pino'`), /package pino/)
    assert.equal(of('src/broker/a.ts', `import assert from 'node:assert/strict'`), '')
    assert.equal(of('src/system/a.ts', `import fs from 'node:fs'`), '')
  })

  test('globals of the real world, in code only', () => {
    for (const use of [
      'process.exit(1)',
      'const now = Date.now()',
      'return new Date()',
      'performance.now()',
      'Math.random()',
      'setTimeout(() => {}, 1)',
      'const later = setImmediate',
      'globalThis.x = 1',
      'const s = `at ${Date.now()}`',
      'const s = `${`${"}"}`}${Math.random()}`',
      'const r = /[/"]/.test(s) || Math.random()',
    ]) {
      assert.notEqual(of('src/broker/a.ts', use), '', use)
      assert.equal(of('src/system/a.ts', use), '', use)
    }
    for (const harmless of [
      '// process.exit(1), new Date()',
      '/* Math.random()\n setTimeout(x) */',
      `const s = 'Date.now()' + "it's process.env" + \`new Date \${x}\``,
      'clock.performance.now(); this.setTimeout(x); world.process.exit()',
      'const r = /new Date|process.exit/',
      'queueMicrotask(run)',
      'this.process(batch); new DateRange()',
    ]) {
      assert.equal(of('src/broker/a.ts', harmless), '', harmless)
    }
  })

  test('long files, ports with code, cycles, forgotten handlers', () => {
    assert.match(of('src/log/a.ts', 'x\n'.repeat(601)), /601 lines/)
    assert.equal(of('src/log/a.ts', 'x\n'.repeat(600)), '')
    assert.match(of('src/ports.ts', 'export const x = 1'), /types only/)
    assert.equal(of('src/ports.ts', 'export type X = 1\nexport interface Y { z: 1 }'), '')
    assert.deepEqual(
      findCycle(
        new Map([
          ['a', ['b']],
          ['b', ['c', 'd']],
          ['d', ['b']],
        ]),
      ),
      ['b', 'd', 'b'],
    )
    assert.equal(
      findCycle(
        new Map([
          ['a', ['b', 'c']],
          ['b', ['c']],
        ]),
      ),
      null,
    )
    const table = `import { produce } from './00-produce.ts'`
    assert.deepEqual(
      handlersOutsideTable(['src/api/00-produce.ts', 'src/api/01-fetch.ts', 'src/api/table.ts'], table),
      ['src/api/01-fetch.ts'],
    )
  })

  test('rooms', () => {
    assert.equal(roomOf('src/core/group/a.ts'), 'core')
    assert.equal(roomOf('src/index.ts'), 'index')
    assert.equal(roomOf('test/tidy.test.ts'), null)
  })
})
