import type { LoadHook } from 'node:module'

/** Module hooks that change one place of one module as it is loaded. */

export interface Replacement {
  /** Of the compiled module, from the root of what is compiled. */
  readonly file: string
  readonly from: string
  readonly to: string
  /** Where `from` stands; without it, it must stand there once. */
  readonly at?: number
}

let replacement: Replacement | null = null

export function initialize(data: Replacement): void {
  replacement = data
}

export const load: LoadHook = async (url, context, nextLoad) => {
  const loaded = await nextLoad(url, context)
  if (replacement === null || !url.endsWith(`/dist/${replacement.file}`)) return loaded
  if (!Buffer.isBuffer(loaded.source)) throw new Error(`${replacement.file} is no file`)
  return { ...loaded, source: replaced(loaded.source.toString(), replacement) }
}

export function replaced(source: string, { file, from, to, at }: Replacement): string {
  if (at !== undefined) {
    if (!source.startsWith(from, at)) throw new Error(`${file} is not what it was when its mutants were made`)
    return source.slice(0, at) + to + source.slice(at + from.length)
  }
  const found = source.split(from).length - 1
  if (found !== 1) throw new Error(`${file} has ${found} times: ${from}`)
  return source.replace(from, () => to)
}
