/**
 * The part of `npm run build` that joins the compiled files into what users load: `dist/lib/esm` for programs,
 * `dist/lib/cli` for the command line. Two hundred modules take longer to load than a broker takes to start.
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

/** What npm installs beside the bundle. */
function dependencies(): string[] {
  const manifest: unknown = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'))
  if (typeof manifest !== 'object' || manifest === null || !('dependencies' in manifest)) return []
  return Object.keys(manifest.dependencies ?? {})
}

/** Names and texts of all that can be in a bundle, of what makes it, and of what is there of it. */
function hashOfAll(): string {
  const hash = createHash('sha256').update(dependencies().join(' '))
  for (const folder of ['src', 'protocol', 'lib']) {
    if (!fs.existsSync(path.join(dist, folder))) continue
    const names = fs.readdirSync(path.join(dist, folder), { recursive: true, encoding: 'utf8' })
    for (const name of names.filter((each) => /\.c?js$/.test(each)).toSorted())
      hash.update(`\0${folder}/${name}\0`).update(fs.readFileSync(path.join(dist, folder, name)))
  }
  for (const file of ['package-lock.json', 'node_modules/rolldown/package.json'])
    if (fs.existsSync(path.join(root, file))) hash.update(fs.readFileSync(path.join(root, file)))
  return hash.digest('hex')
}

async function bundleInto(directory: string): Promise<void> {
  const common = { platform: 'node', external: dependencies(), logLevel: 'warn' } as const
  await build({
    ...common,
    input: path.join(dist, 'src/index.js'),
    output: { dir: path.join(directory, 'esm'), format: 'esm', sourcemap: true, comments: false },
  })
  await build({
    ...common,
    input: path.join(dist, 'src/cli/main.js'),
    output: {
      dir: path.join(directory, 'cli'),
      format: 'cjs',
      sourcemap: true,
      comments: false,
      codeSplitting: false,
      entryFileNames: 'main.cjs',
    },
  })
}

/** Replaces each file by its successor, the entries last, and removes those that have none. */
function moveInto(place: string, made: string): void {
  for (const folder of ['esm', 'cli']) {
    const names = fs.readdirSync(path.join(made, folder))
    const isEntry = (name: string): boolean => /^(index\.js|main\.cjs)$/.test(name)
    fs.mkdirSync(path.join(place, folder), { recursive: true })
    for (const name of names.toSorted((a, b) => Number(isEntry(a)) - Number(isEntry(b))))
      fs.renameSync(path.join(made, folder, name), path.join(place, folder, name))
    for (const name of fs.readdirSync(path.join(place, folder)))
      if (!names.includes(name)) fs.rmSync(path.join(place, folder, name), { recursive: true, force: true })
  }
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
