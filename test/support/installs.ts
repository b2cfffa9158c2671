/**
 * The clients that the interop tests bring from package registries, each into a directory of the cache. All give
 * null when they are missing and may not be fetched.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'

import type { Jars } from './apache-kafka.ts'
import { cached, mayDownload } from './cache.ts'
import { repositoryRoot, runOrThrow, works } from './processes.ts'

/** The Python packages under test, with their versions; a change makes a new environment. */
const pythonRequirements = [
  'confluent-kafka==2.16.1',
  'kafka-python==3.0.12',
  // The codecs of kafka-python.
  'python-snappy==0.7.3',
  'lz4==4.4.5',
  'zstandard==0.25.0',
]

/** The directory of the packages under test, for `PYTHONPATH`. */
export async function pythonPackages(): Promise<string | null> {
  const name = `python-${fingerprint(pythonRequirements)}`
  if (!(await works('python3', ['--version']))) return null
  const directory = await cached(name, mayDownload, async (work) => {
    // Not a virtual environment: those cannot be moved, and this directory is renamed when it is complete.
    await runOrThrow(
      'python3',
      [
        '-m',
        'pip',
        'install',
        '--quiet',
        '--disable-pip-version-check',
        '--target',
        join(work, 'packages'),
        ...pythonRequirements,
      ],
      { timeoutMs: 300_000 },
    )
  })
  return directory === null ? null : join(directory, 'packages')
}

/** Where the sources of the client programs are. */
export const clientSources: string = join(repositoryRoot, 'test/interop/clients')

/** Compiles Java files of `test/interop/clients/java`, or of elsewhere by their paths, against some jars: the directory of the classes. */
export async function javaClasses(jars: Jars, files: readonly string[]): Promise<string | null> {
  if (!(await works('javac', ['-version']))) return null
  const sources = files.map((file) => resolve(clientSources, 'java', file))
  const name = `java-${fingerprint([jars.directory, ...sources.map((path) => readFileSync(path))])}`
  // Compiling downloads nothing, so it is always allowed.
  return cached(name, true, async (work) => {
    await runOrThrow('javac', ['-nowarn', '-d', work, '-cp', jars.classPath, ...sources])
  })
}

/** Builds a command of `test/interop/clients/go`: the path of the program. */
export function goProgram(command: string): Promise<string | null> {
  return goBuild(command, `./${command}`, ['scenario/scenario.go', `${command}/main.go`])
}

/** Builds a command of one file, which may import what those of `test/interop/clients/go` do: the path of the program. */
export function goFile(path: string): Promise<string | null> {
  return goBuild(basename(path, '.go'), path, [path])
}

async function goBuild(name: string, what: string, sources: readonly string[]): Promise<string | null> {
  const module = join(clientSources, 'go')
  const contents = ['go.mod', 'go.sum', ...sources].map((path) => readFileSync(resolve(module, path)))
  const download = mayDownload && (await works('go', ['version']))
  const directory = await cached(`go-${name}-${fingerprint(contents)}`, download, async (work) => {
    await runOrThrow('go', ['build', '-o', join(work, name), what], {
      cwd: module,
      env: { CGO_ENABLED: '0' },
      timeoutMs: 300_000,
    })
  })
  return directory === null ? null : join(directory, name)
}

/** The releases of Node.js that CI runs the tests on: the oldest line that Samsa supports, and the newest. */
const nodeReleases: ReadonlyMap<number, string> = new Map([
  [20, '20.20.2'],
  [24, '24.22.3'],
])

/** Node.js of one of these lines: this one, or one from the package registry. The path of the program. */
export async function nodeOfLine(major: number): Promise<string | null> {
  if (Number(process.versions.node.split('.')[0]) === major) return process.execPath
  const version = nodeReleases.get(major)
  if (version === undefined) throw new Error(`CI does not run on Node.js ${major}`)
  const platform = process.platform === 'win32' ? 'win' : process.platform
  // The package `node` links its program by an install script; the packages it is made of contain it.
  const name = `node-${platform}-${process.arch}`
  const packages = await npmPackage(name, version)
  return packages === null ? null : join(packages, 'node_modules', name, 'bin', 'node')
}

/** A Node.js of at least 22.22. */
export async function newerNode(): Promise<string | null> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  return major > 24 || (major === 22 && minor >= 22) ? process.execPath : nodeOfLine(24)
}

/** A directory from which `@platformatic/kafka` can be resolved. */
export function platformaticPackage(): Promise<string | null> {
  return npmPackage('@platformatic/kafka', '2.12.1')
}

/** A directory with publint and attw (@arethetypeswrong/cli), which judge npm packages. */
export function packageLinters(): Promise<string | null> {
  return npmPackages('npm-publint-0.3.25-attw-0.18.5', ['publint@0.3.25', '@arethetypeswrong/cli@0.18.5'])
}

/** An npm package with its dependencies, in a directory of its own; no install script runs. */
function npmPackage(name: string, version: string): Promise<string | null> {
  return npmPackages(`npm-${name.replace(/\W+/g, '-')}-${version}`, [`${name}@${version}`])
}

function npmPackages(name: string, packages: readonly string[]): Promise<string | null> {
  return cached(name, mayDownload, async (work) => {
    await writeFile(join(work, 'package.json'), '{ "private": true }\n')
    const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
    await runOrThrow('npm', ['install', ...flags, ...packages], { cwd: work, timeoutMs: 300_000 })
  })
}

/** A short name for what a directory was made of. */
function fingerprint(parts: readonly (string | Buffer)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('hex').slice(0, 12)
}
