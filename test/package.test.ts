import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { packageLinters } from './support/installs.ts'
import { repositoryRoot, run, runOrThrow } from './support/processes.ts'
import { requireAll } from './support/cache.ts'
import { fetchHint, skipMissing } from './support/requirements.ts'

interface LockEntry {
  readonly version?: string
  readonly integrity?: string
  readonly resolved?: string
  readonly link?: boolean
  readonly hasInstallScript?: boolean
}

interface Manifest {
  readonly scripts: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly optionalDependencies: Readonly<Record<string, string>>
  readonly repository: { readonly url: string }
  readonly bugs: { readonly url: string }
  readonly homepage: string
}

// Files of the project's own, which other tests depend on.
const manifest = JSON.parse(readFileSync(join(repositoryRoot, 'package.json'), 'utf8')) as Manifest

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

test('the lock is of this manifest: npm install has nothing to change in it', () => {
  const lock = JSON.parse(readFileSync(join(repositoryRoot, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, object>
  }
  const whole: Readonly<Record<string, unknown>> = { ...manifest }
  const locked: Readonly<Record<string, unknown>> = { ...lock.packages[''] }
  const kinds = ['', 'optional', 'dev', 'peer'].map((kind) => `${kind}Dependencies`.replace(/^D/, 'd'))
  for (const field of ['name', 'version', 'license', 'bin', 'engines', ...kinds])
    assert.deepEqual(locked[field], whole[field], field)
})

test('nothing runs when the package is installed, and its manifest says where it comes from', () => {
  // npm warns about each of these in a package that does not come from a registry.
  for (const moment of ['preinstall', 'install', 'postinstall', 'preprepare', 'prepare', 'postprepare'])
    assert.equal(manifest.scripts[moment], undefined, moment)
  assert.ok(!existsSync(join(repositoryRoot, 'binding.gyp')), 'npm would build it')
  assert.match(manifest.repository.url, /^git\+https:\/\/\S+\.git$/)
  const home = manifest.repository.url.replace(/^git\+(https:\/\/[^/]+\/).*$/, '$1')
  for (const url of [manifest.bugs.url, manifest.homepage]) assert.ok(url.startsWith(home), url)
})

/** What a user gets: the tarball of npm pack, and an empty project that has it. */
const work = mkdtempSync(join(tmpdir(), 'samsa-package-'))
after(() => rmSync(work, { recursive: true, force: true }))
let names: readonly string[] = []
let tarball = ''

before(async () => {
  // In CI the package is judged as it is published, with the addon for all systems; others have what they built.
  const build = join(repositoryRoot, 'dist/src/system/native/build.js')
  if (requireAll) await runOrThrow(process.execPath, [build, '--all'], { timeoutMs: 300_000 })
  const flags = ['--json', '--ignore-scripts', '--pack-destination', work]
  const printed = await runOrThrow('npm', ['pack', ...flags], { cwd: repositoryRoot })
  const [packed] = JSON.parse(printed) as [{ filename: string; files: { path: string }[] }]
  names = packed.files.map(({ path }) => path)
  tarball = join(work, packed.filename)
})

test('the package holds what users load, and nothing that was made on this machine for this machine', () => {
  for (const needed of [
    'ARCHITECTURE.md',
    'LICENSE',
    'README.md',
    'dist/lib/cjs/index.js',
    'dist/lib/cjs/types/src/index.d.ts',
    'dist/lib/cli/LICENSES.txt',
    'dist/lib/cli/main.cjs',
    'dist/lib/codec-thread.cjs',
    'dist/lib/zookeeper-sidecar.cjs',
    'dist/lib/zookeeper-stores.cjs',
    'dist/lib/esm/index.js',
    'dist/lib/esm/types/src/index.d.ts',
    'dist/src/cli/code-cache.cjs',
    'dist/src/cli/samsa.cjs',
    'package.json',
    ...(requireAll ? ['x64-glibc', 'x64-musl', 'arm64-glibc', 'arm64-musl'] : []).map(
      (system) => `dist/native/linux-${system}.node`,
    ),
  ])
    assert.ok(names.includes(needed), `${needed} is missing`)
  const allowed = [
    /^(package\.json|README\.md|ARCHITECTURE\.md|CHANGELOG\.md|SECURITY\.md|LICENSE)$/,
    /^dist\/lib\/cjs\/(?:[\w-]+\.js|package\.json)$/,
    /^dist\/lib\/(?:codec-thread|zookeeper-sidecar|zookeeper-stores)\.cjs$/,
    /^dist\/lib\/cli\/(main\.cjs|LICENSES\.txt)$/,
    /^dist\/lib\/esm\/(index\.js|library\.cjs)$/,
    /^dist\/lib\/(cjs|esm)\/types\/(src|protocol)\/.*\.d\.ts$/,
    /^dist\/native\/linux-(x64|arm64)-(glibc|musl)\.node$/,
    /^dist\/src\/cli\/(samsa|code-cache)\.cjs$/,
  ]
  for (const name of names)
    assert.ok(
      allowed.some((pattern) => pattern.test(name)),
      `${name} is published`,
    )
})

/** As npm lays it out, without asking a registry: the dependencies are this project's own. */
async function unpackInto(project: string): Promise<void> {
  const modules = join(project, 'node_modules')
  mkdirSync(join(modules, 'samsa'), { recursive: true })
  await runOrThrow('tar', ['xzf', tarball, '--strip-components=1', '-C', join(modules, 'samsa')])
  for (const name of Object.keys(manifest.dependencies)) {
    mkdirSync(dirname(join(modules, name)), { recursive: true })
    symlinkSync(join(repositoryRoot, 'node_modules', name), join(modules, name))
  }
}

test('without anything optional, and without the addon, there is a broker', async () => {
  const project = join(work, 'bare')
  await unpackInto(project)
  const program = join(project, 'node_modules/samsa/dist/src/cli/samsa.cjs')
  const options = {
    cwd: project,
    env: { ...process.env, SAMSA_NATIVE: 'off', XDG_CACHE_HOME: join(work, 'cache') },
  }
  const { code, stderr } = await run(process.execPath, [program, '--run', 'exit 3'], options)
  assert.deepEqual([code, stderr], [3, ''])
  const asking = await run(process.execPath, [program, '--set', 'compression.type=lz4'], options)
  assert.equal(asking.code, 1)
  const told = /^samsa: compression\.type=lz4: nothing on this machine writes lz4, .* package (\S+)\n$/.exec(
    asking.stderr,
  )
  assert.ok(told !== null && Object.hasOwn(manifest.optionalDependencies, told[1]!), asking.stderr)
})

const TYPED = `
import { Broker, Cluster, SamsaError } from 'samsa'
import type { BrokerOptions, ConfigEntries, ConfigProfile, ErrorName, LogLevel, NewTopic, SamsaErrorCode } from 'samsa'
import type { ClusterOptions, NewClusterTopic } from 'samsa'

const config: ConfigEntries = { 'num.partitions': 3, 'auto.create.topics.enable': false }
const profile: ConfigProfile = 'embedded'
const logLevel: LogLevel = 'error'
const options: BrokerOptions = { port: 0, config, profile, logLevel }
const topics: readonly NewTopic[] = [{ name: 'orders', partitions: 3, config: { 'retention.ms': 1000 } }]

const several: ClusterOptions = { brokers: 2, config, profile, logLevel }
const replicated: readonly NewClusterTopic[] = [{ name: 'orders', partitions: 1, replicationFactor: 2 }]

async function survive(): Promise<void> {
  await using cluster = await Cluster.start(several)
  await cluster.createTopics(replicated)
  const leader: number = await cluster.leaderOf('orders', 0)
  await cluster.kill(leader)
  if (leader === (await cluster.leaderOf('orders', 0))) throw new Error('led by the dead')
}

async function run(): Promise<[SamsaErrorCode, ErrorName | null]> {
  await survive()
  await using broker = await Broker.start(options)
  const addresses: string[] = broker.brokers
  if (addresses.join() !== broker.bootstrapServers) throw new Error('two addresses')
  await broker.createTopics(topics)
  try {
    await broker.createTopics(topics)
  } catch (error) {
    if (error instanceof SamsaError) return [error.code, error.kafkaError]
  }
  throw new Error('created twice')
}

export async function wrong(broker: Broker): Promise<void> {
  // @ts-expect-error there is no such option
  await Broker.start({ prot: 1 })
  // @ts-expect-error topics are named by name
  await broker.createTopics([{ topic: 'orders' }])
}

run().then(
  (told) => {
    if (told.join() !== 'SAMSA_REFUSED,TOPIC_ALREADY_EXISTS') throw new Error(told.join())
  },
)
`

describe('an empty project in strict TypeScript', () => {
  for (const type of ['module', 'commonjs'] as const) {
    for (const module of ['nodenext', 'node16', ...(type === 'module' ? ['bundler'] : [])]) {
      test(`${type}, ${module}: the package's types are enough, and its code runs`, async () => {
        const project = join(work, `${type}-${module}`)
        await unpackInto(project)
        writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true, type }))
        writeFileSync(join(project, 'app.ts'), TYPED)
        const compilerOptions = {
          ...(module === 'bundler'
            ? { module: 'preserve', moduleResolution: 'bundler' }
            : { module, moduleResolution: module }),
          target: 'es2022',
          strict: true,
          exactOptionalPropertyTypes: true,
          noUncheckedIndexedAccess: true,
          skipLibCheck: false,
          types: [],
        }
        writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['app.ts'] }))
        const tsc = join(repositoryRoot, 'node_modules/.bin/tsc')
        const compiled = await run(tsc, ['-p', project], { cwd: project })
        assert.equal(compiled.code, 0, compiled.stdout + compiled.stderr)
        const ran = await run(process.execPath, ['app.js'], { cwd: project })
        assert.deepEqual([ran.code, ran.stdout, ran.stderr], [0, '', ''])
      })
    }
  }

  test('what is imported and what is required is one', async () => {
    const project = join(work, 'both')
    await unpackInto(project)
    const source = `import * as imported from 'samsa'
      import { createRequire } from 'node:module'
      const required = createRequire(import.meta.url)('samsa')
      if (imported.Broker !== required.Broker || imported.SamsaError !== required.SamsaError) process.exit(1)
      console.log(Object.keys(imported).join(), Object.keys(required).join())`
    writeFileSync(join(project, 'both.mjs'), source)
    const ran = await run(process.execPath, ['both.mjs'], { cwd: project })
    assert.deepEqual(
      [ran.code, ran.stdout, ran.stderr],
      [0, 'Broker,Cluster,SamsaError Broker,Cluster,SamsaError\n', ''],
    )
  })
})

/** As Jest does it: the code in a realm of its own, which shares little with that of Node.js, and no import(). */
const REALM = `
const fs = require('node:fs'), path = require('node:path'), vm = require('node:vm')
const { createRequire } = require('node:module')
const realm = vm.createContext()
for (const name of Object.getOwnPropertyNames(globalThis))
  if (!vm.runInContext('Object.getOwnPropertyNames(globalThis)', realm).includes(name)) realm[name] = globalThis[name]
Object.assign(realm, { global: realm, ArrayBuffer, Uint8Array })
function load(file) {
  const outside = createRequire(file), module = { exports: {} }
  const inside = (name) => (/^(samsa$|[.])/.test(name) ? load(outside.resolve(name)) : outside(name))
  const text = '(function (exports, require, module, __filename, __dirname) {' + fs.readFileSync(file, 'utf8') + '})'
  vm.runInContext(text, realm, { filename: file })(module.exports, inside, module, file, path.dirname(file))
  return module.exports
}
module.exports = load(path.join(__dirname, 'app.js'))
`

const APP = `
const { Broker, SamsaError } = require('samsa')
async function main() {
  const broker = await Broker.start({ logLevel: 'warn' })
  await broker.createTopics([{ name: 'orders' }])
  const refused = (code) => (error) => {
    if (!(error instanceof SamsaError && error instanceof Error && error.code === code)) throw error
  }
  await broker.createTopics([{ name: 'orders' }]).then(() => process.exit(3), refused('SAMSA_REFUSED'))
  await Broker.start({ port: broker.port }).then(() => process.exit(4), refused('SAMSA_LISTEN'))
  await Broker.start({ dataDir: broker.dataDir }).then(() => process.exit(5), refused('SAMSA_DATA_DIR_LOCKED'))
  await broker.stop()
}
main().catch((error) => { console.error(error); process.exit(1) })
`

test('in a test runner that gives its tests a realm of their own', async () => {
  const project = join(work, 'realm')
  await unpackInto(project)
  writeFileSync(join(project, 'app.js'), APP)
  writeFileSync(join(project, 'realm.cjs'), REALM)
  writeFileSync(join(project, 'package.json'), '{ "private": true }')
  const ran = await run(process.execPath, ['realm.cjs'], { cwd: project })
  assert.deepEqual([ran.code, ran.stdout, ran.stderr], [0, '', ''])
})

test('nobody asks instanceof whether something is an error: it may be one of another realm', () => {
  for (const folder of ['src', 'protocol'])
    for (const name of readdirSync(join(repositoryRoot, folder), { recursive: true, encoding: 'utf8' }))
      if (name.endsWith('.ts'))
        assert.doesNotMatch(
          readFileSync(join(repositoryRoot, folder, name), 'utf8'),
          /instanceof Error\b/,
          name,
        )
})

test('installed by npm: without a warning, and the command runs', { timeout: 120_000 }, async (t) => {
  if ((await packageLinters()) === null) return skipMissing(t, `what the package depends on: ${fetchHint}`)
  const project = join(work, 'installed')
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{ "private": true }')
  // A registry that does not answer is asked again, before the patience of this test is at its end.
  const patience = ['--fetch-timeout=10000', '--fetch-retries=4', '--fetch-retry-mintimeout=500']
  const quick = ['--fetch-retry-maxtimeout=2000', '--prefer-offline', '--no-audit', '--no-fund']
  const installed = await run('npm', ['install', ...patience, ...quick, tarball], { cwd: project })
  assert.equal(installed.code, 0, installed.stderr)
  assert.doesNotMatch(installed.stdout + installed.stderr, /warn/i)
  const ran = await run('npx', ['samsa', '--run', 'test -n "$KAFKA_BROKERS" && exit 7'], {
    cwd: project,
  })
  assert.deepEqual([ran.code, ran.stdout, ran.stderr], [7, '', ''])
})

test('publint and attw have nothing to say', { timeout: 120_000 }, async (t) => {
  const tools = await packageLinters()
  if (tools === null) return skipMissing(t, `publint and @arethetypeswrong/cli: ${fetchHint}`)
  for (const [tool, ...args] of [
    ['publint', 'run', tarball, '--strict'],
    ['attw', tarball, '--no-emoji', '--no-color'],
  ] as const) {
    const { code, stdout, stderr } = await run(join(tools, 'node_modules/.bin', tool), args, { cwd: work })
    assert.equal(code, 0, `${tool}: ${stdout}${stderr}`)
    assert.match(stdout, /All good!|No problems found/)
  }
})
