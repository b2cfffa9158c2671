import { readFileSync, readdirSync } from 'node:fs'
import { SourceMap, type SourceMapPayload } from 'node:module'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

interface CallFrame {
  readonly functionName: string
  readonly url: string
  readonly lineNumber: number
  readonly columnNumber: number
}

/** What `node --cpu-prof` writes. */
export interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: CallFrame }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

export interface ProfileEntry {
  readonly place: string
  /** Share of the time the thread was not idle. */
  readonly share: number
}

/** Functions by the time spent in themselves, the idle time left out. */
export function selfTimes(profile: CpuProfile, placeOf: (frame: CallFrame) => string): ProfileEntry[] {
  const frames = new Map(profile.nodes.map((node) => [node.id, node.callFrame]))
  const times = new Map<string, number>()
  let busy = 0
  for (const [i, id] of profile.samples.entries()) {
    const frame = frames.get(id)
    if (frame === undefined || frame.functionName === '(idle)') continue
    const delta = profile.timeDeltas[i] ?? 0
    const place = placeOf(frame)
    busy += delta
    times.set(place, (times.get(place) ?? 0) + delta)
  }
  return [...times]
    .map(([place, time]) => ({ place, share: time / busy }))
    .toSorted((a, b) => b.share - a.share)
}

/** The function and where its source is: the TypeScript behind the compiled file where there is a map. */
export function sourcePlaces(root: string): (frame: CallFrame) => string {
  const maps = new Map<string, SourceMap | null>()
  return ({ functionName, url, lineNumber, columnNumber }) => {
    const name = functionName === '' ? '(anonymous)' : functionName
    if (!url.startsWith('file:')) return url === '' ? name : `${name} ${url}:${lineNumber + 1}`
    const file = fileURLToPath(url)
    if (!maps.has(file)) maps.set(file, sourceMapOf(file))
    const entry = maps.get(file)?.findEntry(lineNumber, columnNumber)
    if (entry !== undefined && 'originalLine' in entry) {
      const source = relative(join(root, 'dist'), file).replace(/\.js$/, '.ts')
      return `${name} ${source}:${entry.originalLine + 1}`
    }
    return `${name} ${relative(root, file)}:${lineNumber + 1}`
  }
}

function sourceMapOf(file: string): SourceMap | null {
  try {
    return new SourceMap(JSON.parse(readFileSync(`${file}.map`, 'utf8')) as SourceMapPayload)
  } catch {
    return null
  }
}

/** The profiles in a directory, each with its busiest functions. */
export function describeProfiles(directory: string, root: string, most: number): string {
  const parts: string[] = []
  const placeOf = sourcePlaces(root)
  for (const name of readdirSync(directory).toSorted()) {
    if (!name.endsWith('.cpuprofile')) continue
    const profile = JSON.parse(readFileSync(join(directory, name), 'utf8')) as CpuProfile
    const lines = selfTimes(profile, placeOf)
      .slice(0, most)
      .map(({ place, share }) => `${(share * 100).toFixed(1).padStart(5)}%  ${place}`)
    parts.push(`${name}: time in functions themselves\n${lines.join('\n')}`)
  }
  return parts.join('\n\n')
}
