/** The law of the house as plain functions over source texts, so that the law itself can be tested. */
import zlib from 'node:zlib'
import { readSource } from './syntax.ts'
import type { SourceFacts } from './syntax.ts'

/** Which rooms a room may import from (itself always). `ports.ts` counts as a room. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  core: ['protocol'],
  ports: [],
  log: ['core', 'protocol', 'ports'],
  wire: ['core', 'protocol', 'ports'],
  metadata: ['wire', 'core', 'protocol', 'ports'],
  broker: ['log', 'metadata', 'wire', 'core', 'protocol', 'ports'],
  api: ['broker', 'log', 'metadata', 'core', 'protocol', 'ports'],
  server: ['api', 'broker', 'log', 'metadata', 'core', 'protocol', 'ports'],
  system: ['core', 'protocol', 'ports'],
  embedded: ['system', 'server', 'api', 'broker', 'log', 'metadata', 'core', 'protocol', 'ports'],
  cli: 'index embedded system server api broker wire log metadata core protocol ports'.split(' '),
  index: ['embedded', 'system', 'server', 'api', 'broker', 'log', 'metadata', 'core', 'protocol', 'ports'],
}

/**
 * The wings of the rooms that have some, from the ground up: files of a wing import from it and from those before it.
 * What stands in the room itself is above the wings named before `.` and below those behind it, except what lies on
 * the ground: it describes the room to all of them.
 */
const WINGS: Readonly<
  Record<string, { readonly ground: readonly string[]; readonly order: readonly string[] }>
> = {
  api: { ground: [], order: 'requests .'.split(' ') },
  log: {
    ground: ['log-config', 'log-types'],
    order: 'files segment read recovery append space change . directory compaction manager'.split(' '),
  },
  metadata: {
    ground: ['cluster-duties', 'gathered-lines', 'metadata'],
    order: 'layout image changes cluster .'.split(' '),
  },
  system: {
    ground: ['disk-failure', 'for-all', 'native-addon', 'turn'],
    order: 'native uring disk network store figures .'.split(' '),
  },
}

/** Rooms that touch the real world. */
const REAL = new Set(['system', 'embedded', 'cli', 'index'])

/** What the other rooms may use of Node.js: pure functions over bytes. */
const PURE_MODULES = new Set(['node:assert', 'node:assert/strict', 'node:buffer', 'node:util', 'node:zlib'])

/** npm packages outside the real rooms: codecs and checksums, for `protocol` only. */
const PURE_PACKAGES = new Set(['snappyjs', 'fzstd', 'lz4js', '@mongodb-js/zstd'])

/** Rooms without promises: what they compute is there when they return. */
const PURE = new Set(['protocol', 'core'])

/** The globals outside the real rooms: the language, and Node.js's bytes. Whatever is not named here is of the world. */
const PURE_GLOBALS = new Set(
  `Array ArrayBuffer BigInt BigInt64Array BigUint64Array Boolean Buffer DataView Error Float64Array Infinity Int16Array
  Int32Array Int8Array Iterator JSON Map Math NaN Number Object RangeError Reflect RegExp Set String Symbol SyntaxError
  TextDecoder TextEncoder TypeError Uint16Array Uint32Array Uint8Array WeakMap WeakSet isNaN parseInt structuredClone
  undefined`.split(/\s+/),
)

/** Decoders are compiled from their schemas: the one place where code comes from text. */
const MAKES_CODE = 'protocol/compile.ts'

/** And what rooms with promises may use besides. */
const PROMISES = new Set('AggregateError AbortController AbortSignal Promise queueMicrotask'.split(' '))

/** Types that only work with promises has. */
const PROMISE_TYPES = new Set(
  'Promise PromiseLike Awaited AsyncGenerator AsyncIterable AsyncIterator'.split(' '),
)

const MAX_LINES = 600

/** The room of a file, by its path from the project's root; null when the law does not speak of it. */
export function roomOf(path: string): string | null {
  if (path.startsWith('protocol/')) return 'protocol'
  const found = /^src\/(?:([^/]+)\/|(index|ports)\.ts$)/.exec(path)
  return found?.[1] ?? found?.[2] ?? null
}

/** The wing of a file of `room`: `.` for what stands in the room itself, null for what lies on its ground. */
function wingOf(room: string, path: string): string | null {
  const [first, ...rest] = path.slice(`src/${room}/`.length).split('/')
  if (rest.length > 0) return first ?? '.'
  return WINGS[room]?.ground.includes((first ?? '').replace(/\.ts$/, '')) === true ? null : '.'
}

/** Why a file of a room with wings must not import another one of it; null when it may. */
function wingViolation(room: string, path: string, target: string): string | null {
  const order = WINGS[room]?.order
  if (order === undefined) return null
  const to = wingOf(room, target)
  const from = wingOf(room, path)
  if (to === null || from === to || from === null) return null
  return order.indexOf(to) < order.indexOf(from) ? null : `${room}/${from} must not import from ${room}/${to}`
}

/** Everything in one file that breaks the law, in words. */
export function violations(path: string, source: string): string[] {
  const found: string[] = []
  const lines = source.split('\n').length - 1
  if (lines > MAX_LINES) found.push(`${path}: ${lines} lines, at most ${MAX_LINES}`)
  const room = roomOf(path)
  if (room === null) return found
  const mayImport = MAY_IMPORT[room]
  if (mayImport === undefined) return [...found, `${path}: there is no room "${room}" in the house`]
  const wings = WINGS[room]
  const wing = wings === undefined ? null : wingOf(room, path)
  if (wings !== undefined && wing !== null && !wings.order.includes(wing))
    found.push(`${path}: there is no wing "${wing}" in ${room}`)
  const facts = readSource(path, source)
  for (const { specifier, line } of facts.imports) {
    const reason = importViolation(path, room, mayImport, specifier)
    if (reason !== null) found.push(`${path}:${line}: ${reason}`)
  }
  if (!REAL.has(room)) found.push(...worldly(path, facts))
  if (PURE.has(room)) found.push(...asynchronous(path, facts))
  for (const line of facts.literalAccessorLines)
    found.push(
      `${path}:${line}: an accessor in a literal: V8 then keeps each object of it for the one before`,
    )
  if (room === 'ports')
    for (const { line } of facts.statements) found.push(`${path}:${line}: ports.ts holds types only`)
  return found
}

/** What a file uses of the world without being given it. */
function worldly(path: string, { globals, members, metaLines }: SourceFacts): string[] {
  const unknown = globals
    .filter(({ name }) => !PURE_GLOBALS.has(name) && !PROMISES.has(name))
    .filter(({ name }) => !(name === 'Function' && path === MAKES_CODE))
  const chance = members.filter(({ of, name }) => of === 'Math' && (name === 'random' || name === '*'))
  const timers = members.filter(
    ({ of, name }) => of === 'AbortSignal' && (name === 'timeout' || name === '*'),
  )
  return [
    ...unknown.map(({ name, line }) => `${path}:${line}: ${name} belongs to src/system`),
    ...chance.map(
      ({ name, line }) => `${path}:${line}: Math.${name} may be chance, which belongs to src/system`,
    ),
    ...timers.map(({ line }) => `${path}:${line}: AbortSignal.timeout belongs to src/system`),
    ...metaLines.map((line) => `${path}:${line}: import.meta belongs to src/system`),
  ]
}

/** Whether a function of zlib answers later: it has a twin that does not, or makes a stream. */
function isOnPool(name: string): boolean {
  return `${name}Sync` in zlib || name.startsWith('create')
}

/** What of a file ends later than it returns. */
function asynchronous(path: string, facts: SourceFacts): string[] {
  const globals = facts.globals.filter(({ name }) => PROMISES.has(name))
  const types = facts.types.filter(({ name }) => PROMISE_TYPES.has(name))
  const imports = facts.imports
    .filter(({ form }) => form === 'dynamic')
    .map(({ line }) => ({ name: 'import()', line }))
  const compression = facts.members.filter(({ of, name }) => of === 'node:zlib' && isOnPool(name))
  return [...facts.async, ...globals, ...types, ...imports, ...compression].map(
    ({ name, line }) => `${path}:${line}: ${name} in a room without promises`,
  )
}

function importViolation(
  path: string,
  room: string,
  mayImport: readonly string[],
  specifier: string | null,
): string | null {
  if (specifier === null) return 'imports what nobody can tell by reading'
  if (specifier.startsWith('.')) {
    const target = resolveImport(path, specifier)
    const targetRoom = roomOf(target)
    if (targetRoom === null) return `imports ${specifier}, which is outside src and protocol`
    if (targetRoom === room) return wingViolation(room, path, target)
    if (mayImport.includes(targetRoom)) return null
    return `${room} must not import from ${targetRoom} (${specifier})`
  }
  if (REAL.has(room)) return null
  if (specifier.startsWith('node:')) {
    return PURE_MODULES.has(specifier) ? null : `${specifier} belongs to src/system`
  }
  if (room === 'protocol' && PURE_PACKAGES.has(specifier)) return null
  return `the package ${specifier} belongs to src/system, src/cli or (codecs) protocol`
}

/** `./b.ts` seen from `src/log/a.ts` is `src/log/b.ts`. */
export function resolveImport(from: string, specifier: string): string {
  const parts = from.split('/').slice(0, -1)
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '.') parts.push(part)
  }
  return parts.join('/')
}

/** The files of the project that a file imports or re-exports. */
export function importedFiles(path: string, source: string): string[] {
  return readSource(path, source)
    .imports.map(({ specifier }) => specifier ?? '')
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => resolveImport(path, specifier))
}

/** The first import cycle found, as the list of its files, or null. `graph` maps a file to what it imports. */
export function findCycle(graph: ReadonlyMap<string, readonly string[]>): string[] | null {
  const finished = new Set<string>()
  const path: string[] = []
  const visit = (file: string): string[] | null => {
    const at = path.indexOf(file)
    if (at >= 0) return [...path.slice(at), file]
    if (finished.has(file)) return null
    path.push(file)
    for (const next of graph.get(file) ?? []) {
      const cycle = visit(next)
      if (cycle !== null) return cycle
    }
    path.pop()
    finished.add(file)
    return null
  }
  for (const file of graph.keys()) {
    const cycle = visit(file)
    if (cycle !== null) return cycle
  }
  return null
}

/** Handler files (`src/api/NN-name.ts`) that the table does not import. */
export function handlersOutsideTable(apiFiles: readonly string[], table: string): string[] {
  const imported = new Set(importedFiles('src/api/table.ts', table))
  return apiFiles.filter((file) => /^src\/api\/\d\d-[^/]+\.ts$/.test(file) && !imported.has(file))
}
