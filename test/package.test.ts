import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { repositoryRoot, runOrThrow } from './support/processes.ts'

interface LockEntry {
  readonly version?: string
  readonly integrity?: string
  readonly resolved?: string
  readonly link?: boolean
}

function lockEntries(): [string, LockEntry][] {
  // The file is npm's own; what is wrong in it fails below.
  const lock = JSON.parse(readFileSync(join(repositoryRoot, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, LockEntry>
  }
  return Object.entries(lock.packages).filter(([path]) => path !== '')
}

test('npm can check every package of the lock, for every system, and from every registry', () => {
  const entries = lockEntries()
  assert.ok(entries.length > 200)
  for (const [path, { integrity, resolved, link, version }] of entries) {
    assert.match(path, /^node_modules\//)
    assert.equal(link, undefined, path)
    assert.match(version ?? '', /^\d+\.\d+\.\d+/, path)
    assert.match(integrity ?? '', /^sha512-[A-Za-z0-9+/]{86}==$/, `${path} has no integrity`)
    assert.equal(resolved, undefined, `${path} names a registry`)
  }
})

test('the package holds what users load, and nothing that was made on this machine for this machine', async () => {
  const printed = await runOrThrow('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: repositoryRoot,
  })
  const [packed] = JSON.parse(printed) as [{ files: { path: string }[] }]
  const names = packed.files.map(({ path }) => path)
  for (const needed of [
    'dist/lib/cli/LICENSES.txt',
    'dist/lib/cli/main.cjs',
    'dist/lib/esm/index.js',
    'dist/src/cli/code-cache.cjs',
    'dist/src/cli/samsa.cjs',
    'dist/src/index.d.ts',
    'package.json',
  ])
    assert.ok(names.includes(needed), `${needed} is missing`)
  const allowed = [
    /^(package\.json|README\.md|CHANGELOG\.md|SECURITY\.md|LICENSE)$/,
    /^dist\/lib\/(esm|cli)\/[\w-]+\.c?js(\.map)?$/,
    /^dist\/lib\/cli\/LICENSES\.txt$/,
    /^dist\/native\/linux-(x64|arm64)-(glibc|musl)\.node$/,
    /^dist\/src\/cli\/(samsa|code-cache)\.cjs$/,
    /^dist\/(src|protocol)\/.*\.d\.ts$/,
  ]
  for (const name of names)
    assert.ok(
      allowed.some((pattern) => pattern.test(name)),
      `${name} is published`,
    )
})
