import { children, isNode, parseTree } from '../support/syntax-tree.ts'
import type { Node } from '../support/syntax-tree.ts'

const LOOPS = new Set(['WhileStatement', 'DoWhileStatement', 'ForStatement'])

/** Calls that only pass time: what is awaited in between may never come. */
const PASSES_TIME = /^(?:sleep|pause|delay|settle|nextTurn|setImmediate|setTimeout|once|Promise)$/

/** Somebody looks at a clock, gives up in another way, or is told to. */
const GIVES_UP = /performance\.now|Date\.now|\bassert\b|\bthrow\b|\bstop\(\)/

/** The lines of loops that wait for something which may never be so. Tests wait by `support/until.ts`, which ends. */
export function endlessWaits(path: string, source: string): number[] {
  const lines: number[] = []
  const visit = (node: Node): void => {
    if (
      LOOPS.has(node.type) &&
      !isCounted(node) &&
      passesTime(node) &&
      !GIVES_UP.test(source.slice(node.start, node.end))
    )
      lines.push(source.slice(0, node.start).split('\n').length)
    for (const [, child] of children(node)) visit(child)
  }
  visit(parseTree(path, source))
  return lines
}

/** `for (let i = 0; i < 10; i++)`. */
function isCounted(loop: Node): boolean {
  return loop.type === 'ForStatement' && isNode(loop['test']) && isNode(loop['update'])
}

/** Whether it awaits such a call. Those of a simulated world end with the world (`RunLimits`). */
function passesTime(node: Node): boolean {
  if (node.type === 'AwaitExpression' && isNode(node['argument'])) {
    const { callee } = node['argument'] as Node & { callee?: Node }
    if (isNode(callee) && PASSES_TIME.test(String(callee['name']))) return true
  }
  return [...children(node)].some(([, child]) => passesTime(child))
}
