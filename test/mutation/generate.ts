import { children, isNode, parseTree } from '../support/syntax-tree.ts'
import type { Node } from '../support/syntax-tree.ts'
import type { Mutant } from './campaign.ts'

/** The line of the source is looked up for those that are run. */
type Unplaced = Omit<Mutant, 'place'>

/** What is put in the place of an operator. */
const OPERATORS: Readonly<Record<string, readonly [kind: string, to: string][]>> = {
  '<': [
    ['boundary', '<='],
    ['relation', '>='],
  ],
  '<=': [
    ['boundary', '<'],
    ['relation', '>'],
  ],
  '>': [
    ['boundary', '>='],
    ['relation', '<='],
  ],
  '>=': [
    ['boundary', '>'],
    ['relation', '<'],
  ],
  '===': [['relation', '!==']],
  '!==': [['relation', '===']],
  '&&': [['logic', '||']],
  '||': [['logic', '&&']],
  '+': [['arithmetic', '-']],
  '-': [['arithmetic', '+']],
  '*': [['arithmetic', '+']],
  '%': [['arithmetic', '*']],
}

const LEAVES = new Set(['ReturnStatement', 'ThrowStatement', 'ContinueStatement', 'BreakStatement'])

/** Calls whose arguments nobody is to test: what cannot happen, and what is only told. */
const UNTESTED = /^(?:assert|assertNever|brokenInvariant|invariant)$|^(?:debug|info|warn|error|trace)$/

/**
 * Properties that no test of the code can see: what an element of an array costs is judged by loads, and what an encoder
 * does with a value that its version cannot carry is a question for clients (a response leaves it out in any case).
 */
const UNSEEN = new Set(['cost', 'ignorable'])

/** What grows when more is needed: nothing but its speed depends on the size that it is made with. */
const GROWING = new Set(['GrowingBuffer', 'Writer'])

/** Numbers up to this are changed by one; larger ones are sizes and limits as a rule, and go. */
const SMALL = 64

/** Every mutant of a compiled file, in the order of the text: the same for the same text. */
export function mutantsOf(file: string, compiled: string): Unplaced[] {
  const mutants: Unplaced[] = []
  const add = (kind: string, start: number, end: number, to: string): void => {
    mutants.push({ file, kind, at: start, from: compiled.slice(start, end), to })
  }
  const visit = (node: Node): void => {
    if (isUntested(node)) return
    if (node.type === 'Property' && UNSEEN.has(String((node['key'] as Node)['name']))) return
    mutateNode(node, compiled, add)
    const unseen = firstSize(node)
    for (const [, child] of children(node)) if (child !== unseen) visit(child)
  }
  visit(parseTree('compiled.js', compiled))
  return mutants
}

/** The argument of what grows that says how much it has room for at first. */
function firstSize(node: Node): Node | undefined {
  if (node.type !== 'NewExpression' || !GROWING.has(String((node['callee'] as Node)['name'])))
    return undefined
  return (node['arguments'] as Node[])[0]
}

type Add = (kind: string, start: number, end: number, to: string) => void

function mutateNode(node: Node, text: string, add: Add): void {
  if (node.type === 'BinaryExpression' || node.type === 'LogicalExpression') mutateOperator(node, text, add)
  else if (node.type === 'IfStatement') mutateIf(node, text, add)
  else if (node.type === 'ConditionalExpression') negate(node['test'] as Node, text, add)
  else if (node.type === 'Literal') mutateLiteral(node, text, add)
  else if (node.type === 'MemberExpression') mutateErrorCode(node, add)
  else if (node.type === 'ExpressionStatement' && (node['expression'] as Node).type === 'CallExpression')
    add('call', node.start, node.end, ';')
}

function mutateOperator(node: Node, text: string, add: Add): void {
  const [left, right] = [node['left'] as Node, node['right'] as Node]
  const operator = String(node['operator'])
  if (operator === '+' && (isText(left) || isText(right))) return
  const start = text.indexOf(operator, left.end)
  if (start > right.start) return
  for (const [kind, to] of OPERATORS[operator] ?? []) add(kind, start, start + operator.length, to)
}

function isText(node: Node): boolean {
  if (node.type === 'TemplateLiteral' || (node.type === 'Literal' && typeof node['value'] === 'string'))
    return true
  return node.type === 'BinaryExpression' && (isText(node['left'] as Node) || isText(node['right'] as Node))
}

function mutateIf(node: Node, text: string, add: Add): void {
  negate(node['test'] as Node, text, add)
  const consequent = node['consequent'] as Node
  const statements = consequent.type === 'BlockStatement' ? (consequent['body'] as Node[]) : [consequent]
  if (node['alternate'] === null && LEAVES.has(statements.at(-1)?.type ?? ''))
    add('guard', node.start, node.end, ';')
}

/** Comparisons are negated by their operator. */
function negate(test: Node, text: string, add: Add): void {
  if (test.type !== 'BinaryExpression')
    add('negation', test.start, test.end, `!(${text.slice(test.start, test.end)})`)
}

function mutateLiteral(node: Node, text: string, add: Add): void {
  const { value, start, end } = node
  if (typeof value === 'number')
    add('constant', start, end, value > SMALL ? '0' : `(${text.slice(start, end)} + 1)`)
  if (typeof value === 'boolean') add('constant', start, end, String(!value))
}

function mutateErrorCode(node: Node, add: Add): void {
  if ((node['object'] as Node)['name'] !== 'ErrorCode' || node['computed'] === true) return
  const to = (node['property'] as Node)['name'] === 'NONE' ? 'UNKNOWN_SERVER_ERROR' : 'NONE'
  add('error code', node.start, node.end, `ErrorCode.${to}`)
}

function isUntested(node: Node): boolean {
  const call = node.type === 'ExpressionStatement' ? node['expression'] : node
  if (!isNode(call) || !/^(?:Call|New)Expression$/.test(call.type)) return false
  const callee = call['callee'] as Node
  if (callee.type === 'MemberExpression' && (callee['object'] as Node)['name'] === 'assert') return true
  const name = callee.type === 'MemberExpression' ? (callee['property'] as Node)['name'] : callee['name']
  return UNTESTED.test(String(name))
}
