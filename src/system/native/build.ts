/**
 * Builds the native addon into `dist/native`; part of `npm run build`.
 *
 *   node dist/src/system/native/build.js          for this machine, with `cc` (or $CC)
 *   node dist/src/system/native/build.js --all    for all that the npm package carries, with zig from npm
 *
 * The broker runs without the addon, so without a compiler this says so in one line and succeeds, and a compiler's
 * complaint is a warning. With `SAMSA_REQUIRE_ALL=1`, as in CI and before publishing, both fail.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { addonFile } from './addon-file.ts'
import { crossCompiler } from './cross-compiler.ts'
import type { Compiler } from './cross-compiler.ts'

// From dist/src/system/native.
const root = fileURLToPath(new URL('../../../../', import.meta.url))
const sources = path.join(root, 'src/system/native')
const output = path.join(root, 'dist/native')

const flags = '-std=c11 -D_GNU_SOURCE -O3 -Wall -Wextra -fPIC -shared -fvisibility=hidden -s'.split(' ')

/** What the npm package carries: libc versions old enough for every Node.js that Samsa runs on. */
const targets = [
  { file: 'linux-x64-glibc.node', triple: 'x86_64-linux-gnu.2.28' },
  { file: 'linux-arm64-glibc.node', triple: 'aarch64-linux-gnu.2.28' },
  { file: 'linux-x64-musl.node', triple: 'x86_64-linux-musl' },
  { file: 'linux-arm64-musl.node', triple: 'aarch64-linux-musl' },
]

/** `portable` files suit this machine as well as those made here. */
type Made = 'here' | 'portable'

function stampOf(file: string): string {
  return path.join(output, `${file}.stamp`)
}

/** What stands beside a file: from which sources it was made, what it is, and for whom. */
function stampFor(file: string, sourcesHash: string, made: Made): string {
  const bytes = createHash('sha256').update(readFileSync(path.join(output, file)))
  return `${sourcesHash} ${bytes.digest('hex')} ${made}`
}

/** Bytes that are not those that were made from these sources are made again, whoever changed them. */
function isUpToDate(file: string, hash: string, made: Made): boolean {
  if (!existsSync(path.join(output, file)) || !existsSync(stampOf(file))) return false
  const stamp = readFileSync(stampOf(file), 'utf8')
  const accepted: readonly Made[] = made === 'here' ? ['portable', 'here'] : ['portable']
  return accepted.some((kind) => stamp === stampFor(file, hash, kind))
}

/** The folder for what is made. Null: code that others could change would run in every broker. */
function prepareOutput(): string | null {
  mkdirSync(output, { recursive: true })
  const { mode, uid } = statSync(output)
  const user = process.getuid?.() ?? uid
  if ((mode & 0o002) !== 0) return `${output} may be written by everybody: chmod o-w '${output}'`
  return uid === user || user === 0 ? null : `${output} belongs to another user`
}

function sourceFiles(): string[] {
  return readdirSync(sources)
    .filter((name) => /\.[ch]$/.test(name))
    .toSorted()
}

function hashOfSources(): string {
  const hash = createHash('sha256').update(flags.join(' '))
  for (const name of sourceFiles()) hash.update(name).update(readFileSync(path.join(sources, name)))
  return hash.digest('hex')
}

/** The folder with node_api.h; null where only what runs is installed. */
function headers(): string | null {
  try {
    const resolved = import.meta.resolve('node-api-headers/package.json')
    return fileURLToPath(new URL('include', resolved))
  } catch {
    return null
  }
}

/** Null when it is built; else what went wrong, and the compiler's words are on the terminal already. */
function compile(file: string, hash: string, made: Made, compiler: Compiler): string | null {
  const include = headers()
  if (include === null) return 'the npm package node-api-headers is not installed'
  // A folder of its own: the compiler would follow a link that waits under a name somebody guessed.
  const folder = mkdtempSync(path.join(output, '.build-'))
  const work = path.join(folder, file)
  const inputs = sourceFiles().filter((name) => name.endsWith('.c'))
  const { error, status, signal } = spawnSync(
    compiler.command,
    [...compiler.args, ...flags, '-I', include, '-o', work, ...inputs],
    { cwd: sources, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...compiler.env } },
  )
  const failed = error !== undefined || status !== 0
  if (!failed) {
    renameSync(work, path.join(output, file))
    writeFileSync(stampOf(file), stampFor(file, hash, made))
  }
  rmSync(folder, { recursive: true, force: true })
  return failed ? (error?.message ?? `${compiler.command} failed (${signal ?? `exit code ${status}`})`) : null
}

function exists(command: string): boolean {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined
}

function buildHere(): string | null {
  const hash = hashOfSources()
  const file = addonFile()
  if (isUpToDate(file, hash, 'here')) return null
  const command = process.env['CC'] ?? ['cc', 'gcc', 'clang'].find(exists)
  const failure =
    command === undefined ? 'there is no C compiler (cc)' : compile(file, hash, 'here', { command, args: [] })
  // One of other sources must not stay.
  if (failure !== null) rmSync(path.join(output, file), { force: true })
  return failure
}

/** Null when all are there; else which are not and why, and none of other sources is left in their place. */
function buildAll(): string | null {
  const hash = hashOfSources()
  const due = targets.filter(({ file }) => !isUpToDate(file, hash, 'portable'))
  if (due.length === 0) return null
  const compiler = crossCompiler()
  if (typeof compiler === 'string') {
    const missing = due.map(({ file }) => file).filter((file) => !isUpToDate(file, hash, 'here'))
    for (const file of missing) rmSync(path.join(output, file), { force: true })
    return missing.length === 0 ? null : `${missing.join(', ')}: ${compiler}`
  }
  for (const { file, triple } of due) {
    console.error(`native addon: ${file}`)
    const args = [...compiler.args, '-target', triple]
    const failure = compile(file, hash, 'portable', { ...compiler, args })
    if (failure !== null) return failure
  }
  return null
}

function main(): void {
  const all = process.argv.includes('--all')
  if (!all && process.platform !== 'linux') return
  const failure = prepareOutput() ?? (all ? buildAll() : buildHere())
  if (failure === null) return
  const optional = process.env['SAMSA_REQUIRE_ALL'] !== '1'
  console.error(
    `native addon: not built, ${failure}${optional ? '; Samsa runs without it, with slower disk operations' : ''}`,
  )
  if (!optional) process.exitCode = 1
}

main()
