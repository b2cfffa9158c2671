/** The law of the house as plain functions over source texts, so that the law itself can be tested. */

/** A source text without comments and without what is inside strings and regular expressions. */
export interface Scanned {
  readonly code: string
  /** What the file imports or re-exports, types included, in order of appearance. */
  readonly imports: readonly string[]
}

/** Which rooms a room may import from (itself always). `ports.ts` counts as a room. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  core: ['protocol'],
  ports: [],
  log: ['core', 'protocol', 'ports'],
  metadata: ['core', 'protocol', 'ports'],
  broker: ['log', 'metadata', 'core', 'protocol', 'ports'],
  api: ['broker', 'log', 'metadata', 'core', 'protocol', 'ports'],
  server: ['api', 'broker', 'log', 'metadata', 'core', 'protocol', 'ports'],
  system: ['core', 'protocol', 'ports'],
  cli: ['index', 'system', 'server', 'api', 'broker', 'log', 'metadata', 'core', 'protocol', 'ports'],
  index: ['system', 'server', 'api', 'broker', 'log', 'metadata', 'core', 'protocol', 'ports'],
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
  metadata: { ground: [], order: 'layout image changes .'.split(' ') },
  system: {
    ground: ['disk-failure', 'for-all', 'native-addon', 'turn'],
    order: 'native uring disk network store figures .'.split(' '),
  },
}

/** Rooms that touch the real world. */
const REAL = new Set(['system', 'cli', 'index'])

/** What the other rooms may use of Node.js: pure functions over bytes. */
const PURE_MODULES = new Set(['node:assert', 'node:assert/strict', 'node:buffer', 'node:util', 'node:zlib'])

/** npm packages outside the real rooms: codecs and checksums, for `protocol` only. */
const PURE_PACKAGES = new Set(['@node-rs/crc32', 'snappyjs', 'fzstd', 'lz4js', '@mongodb-js/zstd'])

const IMPURE: readonly (readonly [RegExp, string])[] = [
  [/(?<![.\w$#])process\s*(?:\.|\?\.|\[)/, 'process'],
  [/(?<![.\w$#])Date\s*\.\s*now\b/, 'Date.now'],
  [/(?<![.\w$#])new\s+Date\b/, 'new Date'],
  [/(?<![.\w$#])performance\s*\./, 'performance'],
  [/(?<![.\w$#])Math\s*\.\s*random\b/, 'Math.random'],
  [/(?<![.\w$#])crypto\s*\./, 'crypto'],
  [/(?<![.\w$#])setTimeout\b/, 'setTimeout'],
  [/(?<![.\w$#])setInterval\b/, 'setInterval'],
  [/(?<![.\w$#])setImmediate\b/, 'setImmediate'],
  [/(?<![.\w$#])globalThis\b/, 'globalThis'],
  [/(?<![.\w$#])console\s*\./, 'console'],
]

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
  const { code, imports } = scan(source)
  for (const specifier of imports) {
    const reason = importViolation(path, room, mayImport, specifier)
    if (reason !== null) found.push(`${path}: ${reason}`)
  }
  if (!REAL.has(room)) {
    for (const [pattern, name] of IMPURE) {
      if (pattern.test(code)) found.push(`${path}: ${name} belongs to src/system`)
    }
  }
  if (room === 'ports' && /^\s*export\s+(?:abstract\s+)?(?:class|function|const|let|async)\b/m.test(code)) {
    found.push(`${path}: ports.ts holds types only`)
  }
  return found
}

function importViolation(
  path: string,
  room: string,
  mayImport: readonly string[],
  specifier: string,
): string | null {
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
  const imported = new Set(
    scan(table).imports.map((specifier) => resolveImport('src/api/table.ts', specifier)),
  )
  return apiFiles.filter((file) => /^src\/api\/\d\d-[^/]+\.ts$/.test(file) && !imported.has(file))
}

/** Takes comments, strings and regular expressions out of a TypeScript source. */
export function scan(source: string): Scanned {
  const scanner = new Scanner(source)
  scanner.run()
  return { code: scanner.code, imports: scanner.imports }
}

class Scanner {
  code = ''
  readonly imports: string[] = []
  readonly #source: string
  #at = 0
  /** Open braces per template expression we are inside of. */
  readonly #templates: number[] = []

  constructor(source: string) {
    this.#source = source
  }

  run(): void {
    while (this.#at < this.#source.length) this.#step()
  }

  #step(): void {
    const char = this.#source[this.#at] ?? ''
    const next = this.#source[this.#at + 1]
    if (char === '/' && next === '/') this.#skipTo('\n')
    else if (char === '/' && next === '*') this.#skipTo('*/', 2)
    else if (char === "'" || char === '"') this.#string(char)
    else if (char === '`') this.#template()
    else if (char === '/' && this.#regexMayStart()) this.#regex()
    else if (char === '}' && this.#templates.at(-1) === 0) {
      this.#templates.pop()
      this.#template()
    } else {
      const depth = this.#templates.at(-1)
      if (depth !== undefined && char === '{') this.#templates[this.#templates.length - 1] = depth + 1
      if (depth !== undefined && char === '}') this.#templates[this.#templates.length - 1] = depth - 1
      this.code += char
      this.#at++
    }
  }

  #skipTo(end: string, extra = 0): void {
    const found = this.#source.indexOf(end, this.#at + extra)
    this.#at = found < 0 ? this.#source.length : found + (end === '\n' ? 0 : end.length)
  }

  #string(quote: string): void {
    const start = this.#at + 1
    let at = start
    while (at < this.#source.length && this.#source[at] !== quote) at += this.#source[at] === '\\' ? 2 : 1
    if (/(?:\bfrom|\bimport|\bimport\()\s*$/.test(this.code.slice(-20))) {
      this.imports.push(this.#source.slice(start, at))
    }
    this.code += quote + quote
    this.#at = at + 1
  }

  /** From a backtick, or from the brace that ends an expression inside a template. */
  #template(): void {
    this.code += '`'
    let at = this.#at + 1
    while (at < this.#source.length) {
      const char = this.#source[at]
      if (char === '\\') at += 2
      else if (char === '`') {
        this.code += '`'
        this.#at = at + 1
        return
      } else if (char === '$' && this.#source[at + 1] === '{') {
        this.#templates.push(0)
        this.code += '` '
        this.#at = at + 2
        return
      } else at++
    }
    this.#at = at
  }

  #regexMayStart(): boolean {
    const before = this.code.trimEnd()
    return (
      before === '' ||
      /[(,=:[!&|?{};+*%~^<>-]$/.test(before) ||
      /\b(?:return|typeof|case|in|of)$/.test(before)
    )
  }

  #regex(): void {
    let at = this.#at + 1
    let inClass = false
    while (at < this.#source.length) {
      const char = this.#source[at]
      if (char === '\\') at++
      else if (char === '[') inClass = true
      else if (char === ']') inClass = false
      else if (char === '\n' || (char === '/' && !inClass)) break
      at++
    }
    this.code += '/ /'
    this.#at = at + 1
  }
}
