import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { findCycle, handlersOutsideTable, importedFiles, roomOf, violations } from './tidy/law.ts'
import { endlessWaits } from './tidy/waits.ts'

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
        .filter((name) => /\.c?ts$/.test(name) && !name.endsWith('.d.ts'))
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

  test('every wait of the tests has an end', () => {
    const waits = sources('test').flatMap((file) =>
      endlessWaits(file, read(file)).map((line) => `${file}:${line}`),
    )
    assert.deepEqual(waits, [], 'wait by test/support/until.ts')
  })

  test('nothing but TypeScript and C lies in the rooms, so nothing escapes', () => {
    const files = ['src', 'protocol'].flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).filter((name) =>
        name.includes('.'),
      ),
    )
    assert.deepEqual(
      files.filter((name) => !/\.(?:ts|cts|c|h)$/.test(name)),
      [],
    )
  })

  test('no import cycles', () => {
    const graph = new Map(sources('src', 'protocol').map((file) => [file, importedFiles(file, read(file))]))
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
  /** Snippets use these names for things that are given to them. */
  const known = (source: string): string =>
    `import { batch, clock, f, name, run, s, start, world, x } from './known.ts'\n${source}`

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
      '() => new Date()',
      'performance.now()',
      'Math.random()',
      'setTimeout(() => {}, 1)',
      'const later = setImmediate',
      'globalThis.x = 1',
      'const s = `at ${Date.now()}`',
      'const s = `${`${"}"}`}${Math.random()}`',
      'const r = /[/"]/.test(s) || Math.random()',
      'const now = Date()',
      'const clock = Date',
      'const p = process',
      'const { env } = process',
      'const { random } = Math',
      'const m = Math',
      'const m = Math as unknown as { random(): number }',
      "Math['random']()",
      'Math[name]()',
      "fetch('http://a')",
      'const later = [setTimeout]',
      'crypto.randomUUID()',
      'global.x',
      'new Worker(file)',
      "new WebSocket('ws://a')",
      "eval('process')",
      "Function('return process')()",
      "const fs = require('node:fs')",
      "process.getBuiltinModule('node:fs')",
      'f(import.meta.url)',
      'AbortSignal.timeout(5)',
      'function f(now = performance.now) {}',
      'const o = { process }',
      'type P = typeof process',
      'type P = typeof globalThis.setTimeout',
      'interface Date { x: 1 }\nnew Date()',
      'function f() { const process = 1 }\nf(process)',
      'export { process }',
      'class A extends WebSocket {}',
      'const s = <number>(performance.now())',
      'label: for (;;) { setImmediate(x); break label }',
    ]) {
      for (const room of ['broker', 'core', 'log', 'server', 'ports.ts'])
        assert.match(
          of(room === 'ports.ts' ? 'src/ports.ts' : `src/${room}/a.ts`, known(use)),
          /belongs to src\/system/,
          use,
        )
      if (!use.includes('require')) assert.equal(of('src/system/a.ts', known(use)), '', use)
    }
    for (const harmless of [
      '// process.exit(1), new Date()',
      '/* Math.random()\n setTimeout(x) */',
      `const s = 'Date.now()' + "it's process.env" + \`new Date \${x}\``,
      'clock.performance.now(); this.setTimeout(x); world.process.exit()',
      'const r = /new Date|process.exit/',
      'queueMicrotask(run)',
      'this.process(batch); this.x = class DateRange {}',
      'function g({ process, a: [performance] }: X, ...fetch: Y[]) { return process(performance, fetch) }',
      'const process = start(); for (const crypto of process) crypto()',
      'import { fetch } from "./b.ts"; fetch()',
      'try { x() } catch (process) { process() }',
      'class A { process = 1; setTimeout() {} }',
      'type T = { process: 1; fetch(x: Date): void }; let o: T = { process: 1, fetch() {} }',
      'function f(x: Date, y: Performance): void {}',
      'Math.max(1, 2); Math.floor(1)',
      'async function f(): Promise<void> { await null; for await (const x of f) {} }',
      'export { fetch } from "./b.ts"',
      'switch (1) { case 1: const console = 2; f2(console) }\nfunction f2(x: number) {}',
    ]) {
      assert.equal(of('src/broker/a.ts', known(harmless)), '', harmless)
    }
  })

  test('promises in the rooms without', () => {
    for (const use of [
      'async function f() {}',
      'const f = async () => 1',
      'const o = { async m() {} }',
      'class A { async m() {} }',
      'async function* f() {}',
      'await x',
      'for await (const y of []) {}',
      'await using y = null',
      'new Promise(() => {})',
      'Promise.resolve()',
      'const P = Promise',
      'function f(x: Promise<void>) {}',
      'let x: Awaited<string>',
      'queueMicrotask(() => {})',
      "import('node:buffer')",
      "import zlib from 'node:zlib'; zlib.gunzip(Buffer.of(), () => {})",
      "import * as z from 'node:zlib'; z.createGunzip()",
      "import { gunzip } from 'node:zlib'",
      "import { gunzip as g } from 'node:zlib'",
      "import zlib from 'node:zlib'; const { brotliCompress: b } = zlib",
      "export { gunzip } from 'node:zlib'",
    ]) {
      for (const path of ['src/core/a.ts', 'protocol/a.ts'])
        assert.match(of(path, known(use)), /in a room without promises/, use)
      assert.doesNotMatch(of('src/log/a.ts', known(use)), /without promises/, use)
    }
    for (const harmless of [
      'function* f() { yield 1 }',
      "import zlib from 'node:zlib'; zlib.gunzipSync(Buffer.of())",
      "import { gunzipSync } from 'node:zlib'; gunzipSync(Buffer.of())",
      'const o = { async: 1, await: 2, then() {} }; o.then()',
      '// async, Promise.resolve()',
    ])
      assert.equal(of('protocol/a.ts', known(harmless)), '', harmless)
  })

  test('accessors that every object of a literal has for itself', () => {
    for (const use of ['const o = { get x() { return 1 } }', 'f({ a: 1, set x(to) {} })'])
      assert.match(of('src/broker/a.ts', use), /an accessor in a literal/, use)
    for (const harmless of ['class A { get x() { return 1 } }', 'const o = { get: 1, set() {} }'])
      assert.equal(of('src/broker/a.ts', harmless), '', harmless)
  })

  test('imports in every form', () => {
    for (const form of [
      `import { x } from 'FROM'`,
      `import x from 'FROM'`,
      `import * as x from 'FROM'`,
      `import 'FROM'`,
      `import type { X } from 'FROM'`,
      `import { type X } from 'FROM'`,
      `export { x } from 'FROM'`,
      `export type { X } from 'FROM'`,
      `export * from 'FROM'`,
      `export * as x from 'FROM'`,
      `import x = require('FROM')`,
      `const x = require('FROM')`,
      `const x = import('FROM')`,
      'const x = import(`FROM`)',
      `const x = import(/* webpack */ 'FROM')`,
      `type X = import('FROM').X`,
      `import x from 'FROM' with { type: 'json' }`,
      `import x\nfrom\n'FROM'`.replaceAll('\\n', '\n'),
      `f(() => { if (1) { return import('FROM') } })`,
    ]) {
      const from = (specifier: string): string => form.replace('FROM', specifier)
      assert.match(of('src/log/a.ts', from('../broker/b.ts')), /log must not import from broker/, form)
      assert.match(of('src/core/a.ts', from('node:fs')), /node:fs belongs to src\/system/, form)
      assert.match(of('protocol/a.ts', from('node:net')), /node:net belongs to src\/system/, form)
      assert.match(of('src/api/a.ts', from('node:fs/promises')), /belongs to src\/system/, form)
      assert.match(of('src/log/a.ts', from('fs')), /package fs belongs/, form)
      assert.match(of('src/log/segment/a.ts', from('../read/b.ts')), /must not import from log\/read/, form)
      assert.deepEqual(importedFiles('src/log/a.ts', from('./b.ts')), ['src/log/b.ts'], form)
    }
    assert.match(of('src/log/a.ts', 'import(name)'), /nobody can tell/)
    assert.match(of('src/system/a.ts', 'import(`../${name}`)'), /nobody can tell/)
    assert.match(of('src/cli/a.ts', 'require(name)'), /nobody can tell/)
    assert.match(of('protocol/a.ts', "Function('x')"), /Function belongs/)
    assert.throws(() => of('src/log/a.ts', 'import {'), /src\/log\/a\.ts/)
  })

  test('waits without an end', () => {
    for (const wait of [
      'while (!done()) await sleep(5)',
      'while (!done()) { read(); await delay(1) }',
      'do { await pause() } while (x)',
      'for (;;) { if (done()) break; await nextTurn() }',
      'while (x) await new Promise((resolve) => setTimeout(resolve, 5))',
      'while (x) await new Promise(setImmediate)',
      "while (x) await once(y, 'change')",
      'for (; x; ) await settle()',
    ])
      assert.deepEqual(endlessWaits('test/a.test.ts', `const a = 1\n${wait}`), [2], wait)
    for (const wait of [
      'while (!done() && performance.now() < latestMs) await sleep(5)',
      'while (!done()) { assert.ok(Date.now() < until); await sleep(5) }',
      'while (!done()) { if (late()) throw new Error(); await sleep(5) }',
      'for (let i = 0; i < 10; i++) await sleep(5)',
      'for (const x of y) await sleep(5)',
      'while (!stop()) await sleep(5)',
      'while (await scanner.fill()) {}',
      'while (!done()) await sim.sleep(5)',
    ])
      assert.deepEqual(endlessWaits('test/a.test.ts', wait), [], wait)
  })

  test('long files, ports with code, cycles, forgotten handlers', () => {
    assert.match(of('src/log/a.ts', '//\n'.repeat(601)), /601 lines/)
    assert.equal(of('src/log/a.ts', '//\n'.repeat(600)), '')
    assert.match(of('src/ports.ts', 'export const x = 1'), /types only/)
    for (const code of [
      'class A {}',
      'let x = 1',
      'export default 1',
      'export enum E { A }',
      'f()',
      'export { x } from "./a.ts"',
    ])
      assert.match(of('src/ports.ts', code), /types only/, code)
    assert.equal(of('src/ports.ts', 'export type X = 1\nexport interface Y { z: 1 }\ninterface Z {}'), '')
    assert.equal(of('src/ports.ts', 'export type { X } from "./ports.ts"'), '')
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
