import fs from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import type { Problem } from './messages.ts'

const VERSION_RANGE = '7'

/** What is wrong with the npm package, and the command that mends it. */
export function describeProblem(
  problem: Exclude<Problem, 'unresolved'>,
  detail: string,
  module: string,
  sidecarFile: string,
): string {
  const node = `Node.js ${process.version}`
  // Found from where the broker is, unless it was said where.
  const from = path.isAbsolute(module) ? module : sidecarFile
  const [firstLine = ''] = detail.split('\n')
  switch (problem) {
    case 'missing':
      return `zookeeper.connect needs the npm package zookeeper, which is not installed (${module}). ${install(from)}`
    case 'unbuilt':
      return `the npm package zookeeper has no binary for ${node}: its install script did not run. ${rebuild(from)}`
    case 'foreign':
      return `the npm package zookeeper was built for another Node.js than this one, ${node} (${firstLine}). ${rebuild(from)}`
    case 'broken':
      return `the npm package zookeeper does not load in ${node} (${firstLine}). ${rebuild(from)}`
  }
}

function install(from: string): string {
  const place = placeOf(from)
  const flags = [...(place.isGlobal ? ['--global'] : []), ...headers()]
  return `In ${place.folder}, run: ${['npm install', ...flags, `zookeeper@${VERSION_RANGE}`].join(' ')} (it compiles: sh, make, a C++ compiler and python3)`
}

function rebuild(from: string): string {
  const place = placeOf(from)
  const flags = [...(place.isGlobal ? ['--global'] : []), '--ignore-scripts=false', ...headers()]
  return `In ${place.folder}, run: ${['npm rebuild', ...flags, 'zookeeper'].join(' ')} (it compiles: sh, make, a C++ compiler and python3)`
}

/** Left to itself npm compiles against the headers of the Node.js that it was configured for, which need not be this one. */
function headers(): string[] {
  const root = path.dirname(path.dirname(process.execPath))
  return fs.existsSync(path.join(root, 'include/node/node.h')) ? [`--nodedir=${root}`] : []
}

/** Where npm has to run so that the package is found from there. */
function placeOf(file: string): { readonly folder: string; readonly isGlobal: boolean } {
  const modules = `${path.sep}node_modules${path.sep}`
  const globalRoot = path.join(path.dirname(path.dirname(process.execPath)), 'lib')
  if (file.startsWith(globalRoot + modules)) return { folder: globalRoot, isGlobal: true }
  const [before = '', inside] = file.split(modules)
  const folder = inside === undefined ? path.resolve(path.dirname(file), '../..') : before
  return { folder: folder === '' ? path.sep : folder, isGlobal: false }
}
