import type { LoadHook } from 'node:module'

/** Module hooks that change one line of one module as it is loaded: what `mutant-process.ts` registers. */

export interface Replacement {
  /** Of the compiled module, from the root of what is compiled. */
  readonly file: string
  readonly from: string
  readonly to: string
}

let replacement: Replacement | null = null

export function initialize(data: Replacement): void {
  replacement = data
}

export const load: LoadHook = async (url, context, nextLoad) => {
  const loaded = await nextLoad(url, context)
  if (replacement === null || !url.endsWith(`/${replacement.file}`)) return loaded
  if (!Buffer.isBuffer(loaded.source)) throw new Error(`${replacement.file} is no file`)
  const source = loaded.source.toString()
  const found = source.split(replacement.from).length - 1
  if (found !== 1) throw new Error(`${replacement.file} has ${found} times: ${replacement.from}`)
  return { ...loaded, source: source.replace(replacement.from, () => replacement!.to) }
}
