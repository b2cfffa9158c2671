import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { run } from '../support/processes.ts'
import { executable, freshPath, plainEnvironment, Samsa } from './samsa-process.ts'

const program = (word: string): string =>
  `process.emit('samsa:started'); const say = () => console.log('${word}'); say()\n`
const good = program('good')
const evil = program('evil')

/** An installation whose command line is `source`, and a home for its user. */
class Installation {
  readonly bundle: string
  readonly caches: string
  readonly folder: string
  readonly #executable: string

  constructor(source: string) {
    const root = freshPath()
    this.#executable = path.join(root, 'dist/src/cli/samsa.cjs')
    this.bundle = path.join(root, 'dist/lib/cli/main.cjs')
    this.caches = path.join(root, 'caches')
    this.folder = path.join(this.caches, 'samsa/code')
    for (const file of [this.#executable, this.bundle]) fs.mkdirSync(path.dirname(file), { recursive: true })
    for (const name of ['samsa.cjs', 'code-cache.cjs'])
      fs.copyFileSync(path.join(path.dirname(executable), name), path.join(root, 'dist/src/cli', name))
    fs.writeFileSync(this.bundle, source)
  }

  async says(): Promise<string> {
    const env = { XDG_CACHE_HOME: this.caches }
    const result = await run(process.execPath, [this.#executable], { env })
    assert.equal(result.code, 0, result.stderr)
    return result.stdout.trim()
  }

  /** The files of the cache. */
  get kept(): string[] {
    return fs.existsSync(this.folder)
      ? fs.readdirSync(this.folder).map((name) => path.join(this.folder, name))
      : []
  }
}

/** What V8 makes of the evil program, which is as long as the good one: V8 itself takes it for that one's. */
let forged: Buffer | null = null
async function forgedCode(): Promise<Buffer> {
  if (forged === null) {
    const installation = new Installation(evil)
    await installation.says()
    forged = fs.readFileSync(installation.kept[0] ?? '').subarray(32)
  }
  return forged
}

/** Puts a cache there that is right in all but what it does. */
async function forge(installation: Installation, name: string): Promise<string> {
  const file = path.join(installation.folder, name)
  const code = await forgedCode()
  const digest = createHash('sha256').update(name).update(code).digest()
  fs.mkdirSync(installation.folder, { recursive: true, mode: 0o700 })
  fs.writeFileSync(file, Buffer.concat([digest, code]), { mode: 0o600 })
  return file
}

test('the code is kept by who runs it, in a folder of his own', async () => {
  const installation = new Installation(good)
  assert.equal(await installation.says(), 'good')
  const [file = '', ...others] = installation.kept
  assert.deepEqual(others, [])
  assert.equal(fs.statSync(file).mode & 0o777, 0o600)
  assert.equal(fs.statSync(installation.folder).mode & 0o777, 0o700)
  const { mtimeMs } = fs.statSync(file)
  assert.equal(await installation.says(), 'good')
  assert.equal(fs.statSync(file).mtimeMs, mtimeMs, 'it was made again')
})

test('another program of the same length never runs old code', async () => {
  const installation = new Installation(evil)
  assert.equal(await installation.says(), 'evil')
  fs.writeFileSync(installation.bundle, good)
  assert.equal(await installation.says(), 'good')
  assert.equal(installation.kept.length, 2)
})

test('a cache beside the program, where whoever packs it could put one, is not looked at', async () => {
  const installation = new Installation(good)
  fs.writeFileSync(`${installation.bundle}.cache`, await forgedCode())
  assert.equal(await installation.says(), 'good')
})

test('code under a wrong name, cut or changed, is compiled again', async () => {
  const installation = new Installation(good)
  await installation.says()
  const [file = ''] = installation.kept
  const whole = fs.readFileSync(file)
  const changed = Buffer.from(whole)
  changed[changed.length - 9]! ^= 1
  const ofEvil = new Installation(evil)
  await ofEvil.says()
  const contents = [Buffer.alloc(0), whole.subarray(0, -5), changed, fs.readFileSync(ofEvil.kept[0] ?? '')]
  for (const content of contents) {
    fs.writeFileSync(file, content)
    assert.equal(await installation.says(), 'good')
    assert.deepEqual(fs.readFileSync(file).subarray(0, 32).equals(content.subarray(0, 32)), false)
    fs.writeFileSync(file, whole)
  }
})

test(
  'code that somebody else could have put there is not run',
  { skip: process.platform === 'win32' },
  async () => {
    const openings: readonly ((installation: Installation, file: string) => void)[] = [
      (_, file) => fs.chmodSync(file, 0o620),
      (_, file) => fs.chmodSync(file, 0o602),
      ({ folder }) => fs.chmodSync(folder, 0o770),
      ({ folder }) => fs.chmodSync(folder, 0o707),
      ({ caches }) => fs.chmodSync(path.join(caches, 'samsa'), 0o777),
      ({ caches }) => fs.chmodSync(caches, 0o777),
      (_, file) => {
        fs.renameSync(file, `${file}.elsewhere`)
        fs.symlinkSync(`${file}.elsewhere`, file)
      },
      ({ folder }) => {
        fs.renameSync(folder, `${folder}.elsewhere`)
        fs.symlinkSync(`${folder}.elsewhere`, folder)
      },
    ]
    const foreign: typeof openings = [
      (_, file) => fs.chownSync(file, 65534, 65534),
      ({ folder }) => fs.chownSync(folder, 65534, 65534),
      ({ caches }) => fs.chownSync(caches, 65534, 65534),
    ]
    const untouched = new Installation(good)
    await untouched.says()
    // The same text has the same name everywhere.
    const name = path.basename(untouched.kept[0] ?? '')
    await forge(untouched, name)
    assert.equal(await untouched.says(), 'evil', 'the forgery is good enough to show something')
    for (const open of process.geteuid?.() === 0 ? [...openings, ...foreign] : openings) {
      const installation = new Installation(good)
      open(installation, await forge(installation, name))
      assert.equal(await installation.says(), 'good', open.toString())
    }
  },
)

test('the build makes it with nothing of the surroundings', async () => {
  const caches = freshPath()
  const real = freshPath()
  const samsa = new Samsa(['--write-code-cache'], {
    env: {
      XDG_CACHE_HOME: caches,
      KAFKA_LOG_DIRS: real,
      KAFKA_LISTENERS: 'PLAINTEXT://0.0.0.0:0',
      KAFKA_NUM_PARTITIONS: 'many',
      CLUSTER_ID: 'not one',
    },
  })
  assert.deepEqual(await samsa.exited, [0, null], samsa.stderr)
  assert.equal(samsa.stdout + samsa.stderr, '')
  assert.ok(!fs.existsSync(real))
  assert.equal(fs.readdirSync(path.join(caches, 'samsa/code')).length, 1)
})

test('without a home it runs as well', async () => {
  const nowhere = path.join(freshPath(), 'is', 'a', 'file')
  fs.writeFileSync(path.dirname(path.dirname(path.dirname(nowhere))), '')
  const environment = { ...plainEnvironment, XDG_CACHE_HOME: nowhere }
  const result = await run(process.execPath, [executable, '--run', 'exit 3'], { env: environment })
  assert.equal(result.code, 3, result.stderr)
})

test('what a broker kept when it stopped, the next one starts from', async () => {
  const caches = freshPath()
  fs.mkdirSync(caches, { mode: 0o700 })
  const kept = (): (readonly [string, number])[] => {
    const folder = path.join(caches, 'samsa/code')
    return fs.readdirSync(folder).map((name) => [name, fs.statSync(path.join(folder, name)).mtimeMs] as const)
  }
  const startAndStop = async (): Promise<void> => {
    const settings = [`listeners=PLAINTEXT://127.0.0.1:0`, `log.dirs=${freshPath()}`]
    const samsa = new Samsa(['start', ...settings.flatMap((each) => ['--set', each])], {
      env: { XDG_CACHE_HOME: caches },
    })
    await samsa.says('] started')
    samsa.child.kill('SIGTERM')
    assert.deepEqual(await samsa.exited, [0, null], samsa.stderr)
  }
  await startAndStop()
  const made = kept()
  assert.equal(made.length, 1)
  await startAndStop()
  // One that is not taken is made again.
  assert.deepEqual(kept(), made)
})
