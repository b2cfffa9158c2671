import { parseSync } from 'rolldown/utils'

/** A node of a syntax tree (ESTree), with its place in the text. */
export interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [key: string]: unknown
}

/** TypeScript or, by the name, JavaScript. What does not parse throws. */
export function parseTree(path: string, source: string): Node {
  const { program, errors } = parseSync(path.replace(/\.cts$/, '.ts'), source)
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]?.message}`)
  return program as unknown as Node
}

export function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
}

export function* children(node: Node): Generator<[key: string, child: Node]> {
  for (const [key, value] of Object.entries(node)) {
    if (isNode(value)) yield [key, value]
    else if (Array.isArray(value)) for (const item of value) if (isNode(item)) yield [key, item]
  }
}
