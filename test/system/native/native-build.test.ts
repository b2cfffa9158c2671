import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { after, test } from 'node:test'
import { addonFile } from '../../../src/system/native/addon-file.ts'
import { repositoryRoot } from '../../support/processes.ts'
import { skipMissing } from '../../support/requirements.ts'

const root = fs.mkdtempSync(join(os.tmpdir(), 'samsa-build-'))
after(() => fs.rmSync(root, { recursive: true, force: true }))

const output = join(root, 'dist/native')
const addon = join(output, addonFile())
const compiled = join(root, 'dist/src/system/native')

/** A project of nothing but the addon. */
function makeProject(): void {
  const sources = join(root, 'src/system/native')
  fs.mkdirSync(sources, { recursive: true })
  fs.mkdirSync(compiled, { recursive: true })
  fs.writeFileSync(join(root, 'package.json'), '{"type":"module"}')
  for (const name of fs.readdirSync(join(repositoryRoot, 'src/system/native')))
    fs.copyFileSync(join(repositoryRoot, 'src/system/native', name), join(sources, name))
  for (const name of ['build.js', 'addon-file.js', 'cross-compiler.js'])
    fs.copyFileSync(join(repositoryRoot, 'dist/src/system/native', name), join(compiled, name))
  fs.symlinkSync(join(repositoryRoot, 'node_modules'), join(root, 'node_modules'))
}

function build() {
  const env = { ...process.env, SAMSA_REQUIRE_ALL: '1' }
  return spawnSync(process.execPath, [join(compiled, 'build.js')], { env, encoding: 'utf8' })
}

test('the addon is what was built of its sources, or is built again', (t) => {
  if (process.platform !== 'linux' || spawnSync(process.env['CC'] ?? 'cc', ['--version']).error !== undefined)
    return skipMissing(t, 'a C compiler on Linux')
  makeProject()
  assert.equal(build().status, 0)
  const built = fs.readFileSync(addon)
  const { mtimeMs } = fs.statSync(addon)
  assert.equal(build().status, 0)
  assert.equal(fs.statSync(addon).mtimeMs, mtimeMs, 'what is up to date stays')

  const forged = Buffer.from(built)
  forged[forged.length - 1]! ^= 1
  fs.writeFileSync(addon, forged)
  assert.equal(build().status, 0)
  assert.ok(fs.readFileSync(addon).equals(built))
  assert.deepEqual(fs.readdirSync(output).sort(), [addonFile(), `${addonFile()}.stamp`])

  fs.chmodSync(output, 0o777)
  const refused = build()
  assert.equal(refused.status, 1)
  const remedy = /: (chmod o-w .*)$/m.exec(refused.stderr)?.[1]
  assert.ok(remedy !== undefined, refused.stderr)
  assert.equal(spawnSync('sh', ['-c', remedy]).status, 0)
  assert.equal(build().status, 0)
})

test('packing goes on without the cross compiler, and says for whom there is no addon; CI does not', (t) => {
  if (!fs.existsSync(addon)) return skipMissing(t, 'a C compiler on Linux')
  const others = ['linux-x64-glibc', 'linux-arm64-glibc', 'linux-x64-musl', 'linux-arm64-musl']
    .map((name) => `${name}.node`)
    .filter((name) => name !== addonFile())
  const packing = (requireAll: string) => {
    // Of other sources: nobody may get it.
    fs.writeFileSync(join(output, others[0]!), 'old')
    const empty = {
      SAMSA_CACHE: join(root, 'cache'),
      npm_config_cache: join(root, 'npm'),
      npm_config_offline: 'true',
    }
    const env = { ...process.env, ...empty, SAMSA_REQUIRE_ALL: requireAll }
    return spawnSync(process.execPath, [join(compiled, 'build.js'), '--all'], { env, encoding: 'utf8' })
  }
  const packed = packing('0')
  assert.equal(packed.status, 0, packed.stderr)
  const said = /^native addon: not built, (.*): (.*); Samsa runs without it/m.exec(packed.stderr)
  assert.deepEqual(said?.[1]?.split(', '), others, packed.stderr)
  assert.match(said[2] ?? '', /^the cross compiler .* cannot be fetched|^there is no cross compiler for /)
  assert.deepEqual(
    fs.readdirSync(output).filter((name) => name.endsWith('.node')),
    [addonFile()],
  )
  assert.equal(packed.stdout, '', 'npm pack --json has its own')
  assert.equal(packing('1').status, 1)
})
