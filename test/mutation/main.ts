/** Mutation testing: small bugs, one at a time, and whether a test sees them. `--help` says how it is called. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { SourceMap } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { positive } from '../../bench/command-line.ts'
import { Seeded } from '../support/seed.ts'
import { importedFiles } from '../tidy/law.ts'
import { fateOf, forEach, reachesOf } from './campaign.ts'
import type { Fate, Mutant } from './campaign.ts'
import { mutantsOf } from './generate.ts'
import { Imports } from './imports.ts'
import { NAMED } from './named.ts'
import type { Reach } from './reach.ts'
import { failuresOf, scoreOf } from './verdict.ts'

const compiledRoot = join(dirname(fileURLToPath(import.meta.url)), '../..')
const workers = Math.max(2, availableParallelism())

/** Where mutants are made. */
const MUTATED = ['protocol', 'src/api', 'src/broker', 'src/core', 'src/metadata']
/** Whose tests are to see them, beside those of the programmatic API: those that run in one process and take seconds. */
const TESTS = ['api', 'broker', 'core', 'difference', 'metadata', 'protocol', 'server']
/** A test that is so near to a file is run before others. */
const NEAR_STEPS = 2

interface Options {
  readonly named: boolean
  readonly changed?: string
  readonly count: number
  readonly seed: number
  readonly least: number
  readonly fewest: number
  readonly complete: boolean
  readonly within: number
}

const EXAMPLES = `
  npm run mutants                          the named mutants, and 400 of all others
  npm run mutants -- --named               the named ones only
  npm run mutants -- --changed main        the named ones, and of the files that differ from there
  npm run mutants -- src/api/01 src/core   mutants of the files whose path contains one of the words`

const command = new Command('npm run mutants --')
  .description('Makes small bugs, one at a time, and says which of them no test saw.')
  .argument('[words...]', 'only files whose path contains one of them')
  .option('--named', 'the named mutants only', false)
  .option('--changed <commit>', 'only files that differ from there')
  .option('--count <n>', 'how many of all that there are; every file is drawn from', positive, 400)
  .option('--seed <n>', 'which ones', positive, 1)
  .option('--least <n>', 'per cent that have to die', positive, 85)
  .option('--fewest <n>', 'of fewer than this that share does not matter', positive, 20)
  .option('--complete', 'test files that fail or take too long without any bug are a failure', false)
  .option('--within <seconds>', 'what was not run by then is not counted', positive, 3600)
  .addHelpText('after', EXAMPLES)
  .parse()
const options = command.opts<Options>()
const words = command.args

function compiledFiles(folders: readonly string[], suffix: string): string[] {
  return folders.flatMap((folder) =>
    readdirSync(join(compiledRoot, '..', folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith(suffix.replace(/js$/, 'ts')) && !name.endsWith('.d.ts'))
      .map((name) => `${folder}/${name.replace(/ts$/, 'js')}`),
  )
}

const read = (file: string): string => readFileSync(join(compiledRoot, file), 'utf8')
const sourceOf = (file: string): string => file.replace(/js$/, 'ts')

/** The compiled files that mutants are made in. */
function mutatedFiles(): string[] {
  const all = compiledFiles(MUTATED, '.js')
  if (options.changed === undefined)
    return words.length === 0 ? all : all.filter((file) => words.some((word) => file.includes(word)))
  const git = ['diff', '--name-only', '--diff-filter=d', options.changed, '--']
  const { status, stdout, stderr } = spawnSync('git', git, {
    cwd: join(compiledRoot, '..'),
    encoding: 'utf8',
  })
  if (status !== 0) command.error(`error: --changed ${options.changed}: ${stderr.trim()}`)
  const changed = new Set(stdout.split('\n'))
  return all.filter((file) => changed.has(sourceOf(file)))
}

/** `count` of the mutants of all files, and at least one of each. */
function drawn(files: readonly string[], count: number, random: Seeded): Mutant[] {
  const shuffled = files.map((file) => shuffle(mutantsOf(file, read(file)), random))
  const total = shuffled.reduce((sum, mutants) => sum + mutants.length, 0)
  const share = Math.min(1, count / total)
  const chosen = shuffled.flatMap((mutants) => mutants.slice(0, Math.ceil(mutants.length * share)))
  return shuffle(chosen, random).slice(0, count).map(withPlace)
}

function shuffle<T>(items: readonly T[], random: Seeded): T[] {
  return items
    .map((item) => ({ item, order: random.uint32() }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item)
}

/** The line of the source that a mutant changes. */
function withPlace(mutant: Omit<Mutant, 'place'>): Mutant {
  const before = read(mutant.file).slice(0, mutant.at).split('\n')
  const map = new SourceMap(
    JSON.parse(read(`${mutant.file}.map`)) as ConstructorParameters<typeof SourceMap>[0],
  )
  const entry = map.findEntry(before.length - 1, before.at(-1)!.length)
  const line = 'originalLine' in entry ? entry.originalLine + 1 : before.length
  return { ...mutant, place: `${sourceOf(mutant.file)}:${line}` }
}

function namedMutants(): Mutant[] {
  return NAMED.map(({ name, file, from, to }) => {
    const compiled = file.replace(/ts$/, 'js')
    const at = read(compiled).indexOf(from)
    if (at < 0 || read(compiled).includes(from, at + 1))
      throw new Error(`"${name}" is to be written anew: ${file} has not this line once: ${from}`)
    return { ...withPlace({ file: compiled, kind: 'named', at, from, to }), place: `${name} (${file})` }
  })
}

/** The files that one imports, and all of a folder that it loads whatever is there from. */
function loadedBy(file: string): string[] {
  const text = read(file)
  const folders = [...text.matchAll(/new URL\('(\.[^']*)\/', import\.meta\.url\)/g)].map(([, folder]) =>
    join(dirname(file), folder!),
  )
  return [
    ...importedFiles(file, text),
    ...compiledFiles(
      folders.filter((folder) => MUTATED.some((root) => folder.startsWith(root))),
      '.js',
    ),
  ]
}

const imports = new Imports(loadedBy)

/** The test files that load one of the files. */
function testsOf(files: ReadonlySet<string>): string[] {
  const tests = TESTS.map((folder) => `test/${folder}`).filter((folder) =>
    existsSync(join(compiledRoot, '..', folder)),
  )
  return [...compiledFiles(tests, '.test.js'), 'test/index.test.js'].filter((file) =>
    Number.isFinite(imports.steps(file, files)),
  )
}

/** Whether a test is of the file, or of what is made of it. */
function isNear(testFile: string, file: string): boolean {
  return imports.steps(testFile.replace(/^dist\//, ''), new Set([file])) <= NEAR_STEPS
}

function tell({ mutant, lives, why }: Fate): void {
  const { place, kind, from, to } = mutant
  const short = (text: string): string => text.replaceAll(/\s+/g, ' ').slice(0, 70)
  if (lives) console.log(`lives: ${place} ${kind}: ${short(from)} -> ${short(to)} (${why})`)
}

async function fatesOf(
  mutants: readonly Mutant[],
  reaches: readonly Reach[],
  untilMs: number,
): Promise<Fate[]> {
  const fates: Fate[] = []
  await forEach(
    mutants,
    workers,
    async (mutant) => {
      let fate = await fateOf(mutant, reaches, isNear)
      // A named one that lives is a failure, and nothing is one by chance.
      if (fate.lives && mutant.kind === 'named') fate = await fateOf(mutant, reaches, isNear)
      fates.push(fate)
      tell(fate)
      if (fates.length % 50 === 0) console.log(`${fates.length} of ${mutants.length} are run`)
    },
    untilMs,
  )
  return fates
}

async function main(): Promise<void> {
  const startedMs = performance.now()
  const files = options.named ? [] : mutatedFiles()
  if (words.length > 0 && files.length === 0)
    command.error(`error: no file that mutants are made in matches: ${words.join(' ')}`)
  const named = words.length === 0 ? namedMutants() : []
  const others = drawn(files, options.count, new Seeded(options.seed))
  if (named.length + others.length === 0) return console.log('nothing to mutate')
  const tests = testsOf(new Set([...named, ...others].map(({ file }) => file)))
  const untilMs = startedMs + options.within * 1000
  const { reaches, leftOut } = await reachesOf(
    tests.map((file) => join('dist', file)),
    compiledRoot,
    workers,
    untilMs,
  )
  const seconds = (): string => `${Math.round((performance.now() - startedMs) / 1000)} s`
  console.log(`${reaches.length} of ${tests.length} test files pass without mutants (${seconds()})`)
  const namedFates = await fatesOf(named, reaches, untilMs)
  const living = namedFates.filter(({ lives }) => lives).length
  console.log(
    `named mutants: ${namedFates.length} of ${named.length} run, of which live ${living} (${seconds()})`,
  )
  const fates = await fatesOf(others, reaches, untilMs)
  console.log(
    `other mutants: ${fates.length} of ${others.length} run, score ${scoreOf(fates).toFixed(1)} % (${seconds()})`,
  )
  if (leftOut.length > 0) console.log(`test files left out: ${leftOut.length}`)
  const failures = failuresOf({ named: namedFates, others: fates, leftOut }, options)
  for (const failure of failures) console.log(`failed: ${failure}`)
  if (failures.length > 0) process.exitCode = 1
}

await main()
