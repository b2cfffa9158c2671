/**
 * The part of `npm run build` that joins the compiled files into what users load: `dist/lib/cjs` for programs, behind
 * `dist/lib/esm` for those that import it, and `dist/lib/cli` for the command line. Two hundred modules take longer to
 * load than a broker takes to start.
 *
 * Files that are in use (another `npm test`, a broker that is starting) never see half of it: nothing is written when
 * nothing has changed, and what is written appears under its name at once.
 */
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { build } from 'rolldown'

// From dist/src/cli.
const root = fileURLToPath(new URL('../../../', import.meta.url))
const dist = path.join(root, 'dist')
const library = path.join(dist, 'lib')
const stampFile = path.join(dist, '.bundle-stamp')

type NamesField = 'dependencies' | 'optionalDependencies'

/** The names in a field of a folder's manifest. */
function namesIn(folder: string, field: NamesField): string[] {
  const manifest: Partial<Record<NamesField, object>> = JSON.parse(
    fs.readFileSync(path.join(folder, 'package.json'), 'utf8'),
  )
  return Object.keys(manifest[field] ?? {})
}

/** What npm installs beside the bundle. */
function dependencies(): string[] {
  return namesIn(root, 'dependencies')
}

/** Names and texts of all that can be in a bundle, of what makes it, and of what is there of it. */
function hashOfAll(): string {
  const hash = createHash('sha256').update(dependencies().join(' '))
  for (const folder of ['src', 'protocol', 'lib']) {
    if (!fs.existsSync(path.join(dist, folder))) continue
    const names = fs.readdirSync(path.join(dist, folder), { recursive: true, encoding: 'utf8' })
    for (const name of names.filter((each) => /\.(?:c?js|d\.ts)$/.test(each)).toSorted())
      hash.update(`\0${folder}/${name}\0`).update(fs.readFileSync(path.join(dist, folder, name)))
  }
  for (const file of ['package-lock.json', 'node_modules/rolldown/package.json'])
    if (fs.existsSync(path.join(root, file))) hash.update(fs.readFileSync(path.join(root, file)))
  return hash.digest('hex')
}

/** As \u escapes: V8 keeps a text with one letter beyond Latin-1 at two bytes for each of its letters. */
function escapeLetters(file: string): void {
  const text = fs.readFileSync(file, 'utf8')
  const escaped = text.replace(
    // Halves of surrogate pairs each on their own, as strings and regular expressions have them.
    /[^\0-\x7f]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  fs.writeFileSync(file, escaped)
}

/** The licences of the packages whose text became part of the bundle: they ask to go where their code goes. */
function writeLicences(modules: readonly string[], file: string): void {
  const folders = modules.flatMap((module) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(module)?.[0] ?? [])
  const texts = [...new Set(folders)].toSorted().map((folder) => {
    const name = fs.readdirSync(folder).find((each) => /^licen[cs]e/i.test(each))
    if (name === undefined) throw new Error(`${folder} has no licence`)
    return `${path.relative(path.join(root, 'node_modules'), folder)}\n\n${fs.readFileSync(path.join(folder, name), 'utf8')}`
  })
  fs.writeFileSync(file, texts.join(`\n\n${'-'.repeat(80)}\n\n`))
}

async function bundleInto(directory: string): Promise<void> {
  await bundleLibrary(directory)
  const { output } = await build({
    ...common,
    input: path.join(dist, 'src/cli/main.js'),
    output: {
      ...text,
      dir: path.join(directory, 'cli'),
      codeSplitting: false,
      entryFileNames: 'main.cjs',
    },
  })
  for (const [input, name] of PARTS)
    await build({
      ...common,
      external: dependencies(),
      input: path.join(dist, input),
      output: { ...text, file: path.join(directory, name) },
    })
  escapeLetters(path.join(directory, 'cli/main.cjs'))
  writeLicences(output[0].moduleIds, path.join(directory, 'cli/LICENSES.txt'))
}

/** What is loaded when it is needed, or runs beside the broker. */
const PARTS = [
  ['src/system/codec-thread-main.js', 'codec-thread.cjs'],
  ['src/system/store/zookeeper/zookeeper-stores.js', 'zookeeper-stores.cjs'],
  ['src/system/store/zookeeper/sidecar-main.js', 'zookeeper-sidecar.cjs'],
] as const

const common = { platform: 'node', logLevel: 'warn' } as const
/** Readable as it is, so no map of it is published. */
const text = { format: 'cjs', sourcemap: false, comments: false } as const

/**
 * One text for programs of both kinds: two would be two classes of errors in one process. It is CommonJS, which test
 * runners load that replace Node's loader.
 */
async function bundleLibrary(directory: string): Promise<void> {
  const { output } = await build({
    ...common,
    external: dependencies(),
    input: path.join(dist, 'src/index.js'),
    // Test runners with a loader of their own have none for import().
    output: { ...text, dir: path.join(directory, 'cjs'), dynamicImportInCjs: false },
  })
  const names = output[0].exports.join(', ')
  fs.mkdirSync(path.join(directory, 'esm'))
  // Node.js looks for names in all of a CommonJS file that is imported: in this one they are found at once.
  const between = `const { ${names} } = require('../cjs/index.js')\nmodule.exports = { ${names} }\n`
  fs.writeFileSync(path.join(directory, 'esm/library.cjs'), between)
  const modules = `import library from './library.cjs'\nexport const { ${names} } = library\n`
  fs.writeFileSync(path.join(directory, 'esm/index.js'), modules)
  fs.writeFileSync(path.join(directory, 'cjs/package.json'), '{ "type": "commonjs" }\n')
  for (const kind of ['cjs', 'esm'])
    copyDeclarations(path.join(dist, 'src/index.d.ts'), path.join(directory, kind, 'types'))
}

/** What a declaration says and what it speaks of, under the names that compilers of every setting follow. */
function copyDeclarations(file: string, place: string): void {
  const target = path.join(place, path.relative(dist, file))
  if (fs.existsSync(target)) return
  fs.mkdirSync(path.dirname(target), { recursive: true })
  const source = fs.readFileSync(file, 'utf8')
  const imports = /(?<= from ')(\.[^']*)\.ts(?=')/g
  fs.writeFileSync(target, source.replace(imports, '$1.js'))
  for (const [, specifier] of source.matchAll(imports))
    copyDeclarations(path.join(path.dirname(file), `${specifier}.d.ts`), place)
}

function filesIn(folder: string): string[] {
  return fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8', withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
}

/** Replaces each file by its successor, the entries last, and removes those that have none. */
function moveInto(place: string, made: string): void {
  const names = filesIn(made)
  const isEntry = (name: string): boolean => /\b(?:index\.js|main\.cjs)$/.test(name)
  for (const name of names.toSorted((a, b) => Number(isEntry(a)) - Number(isEntry(b)))) {
    fs.mkdirSync(path.dirname(path.join(place, name)), { recursive: true })
    fs.renameSync(path.join(made, name), path.join(place, name))
  }
  for (const name of filesIn(place))
    if (!names.includes(name)) fs.rmSync(path.join(place, name), { force: true })
}

async function main(): Promise<void> {
  if (fs.existsSync(stampFile) && fs.readFileSync(stampFile, 'utf8') === hashOfAll()) return
  const work = path.join(dist, `.lib-${process.pid}`)
  try {
    await bundleInto(work)
    moveInto(library, work)
    fs.writeFileSync(stampFile, hashOfAll())
  } finally {
    fs.rmSync(work, { recursive: true, force: true })
  }
}

await main()
