import { children, isNode, parseTree } from '../support/syntax-tree.ts'
import type { Node } from '../support/syntax-tree.ts'

/** What the law wants to know of a TypeScript file, read from its syntax tree. */
export interface SourceFacts {
  /** What the file imports or re-exports, types included, in order of appearance. */
  readonly imports: readonly Import[]
  /** Names used as values that nothing in the file declares: globals. */
  readonly globals: readonly Used[]
  /** Names used as types that stand for no value which the file declares. */
  readonly types: readonly Used[]
  /** Functions that are async, `await`, `for await` and the like. */
  readonly async: readonly Used[]
  /** What is taken out of a module or of `Math` by name: `zlib.gunzip`, `import { gunzip }`, `Math.random`. */
  readonly members: readonly Member[]
  /** Statements at the top that are neither types nor imports. */
  readonly statements: readonly Used[]
  /** Where `import.meta` stands. */
  readonly metaLines: readonly number[]
  /** Accessors of object literals. */
  readonly literalAccessorLines: readonly number[]
}

export interface Import {
  /** Null when it is computed. */
  readonly specifier: string | null
  readonly form: 'static' | 'dynamic' | 'type'
  readonly line: number
}

export interface Used {
  readonly name: string
  readonly line: number
}

export interface Member extends Used {
  /** The global or the module it is a member of. */
  readonly of: string
}

type Scope = Map<string, string | null>

/** Nodes that begin a scope of their own. */
const SCOPES = new Set([
  'Program',
  'FunctionDeclaration',
  'FunctionExpression',
  'ArrowFunctionExpression',
  'BlockStatement',
  'StaticBlock',
  'ForStatement',
  'ForOfStatement',
  'ForInStatement',
  'CatchClause',
  'ClassDeclaration',
  'ClassExpression',
  'SwitchStatement',
  'TSModuleBlock',
])

/** TypeScript's nodes around values; below all others stand types. */
const AROUND_VALUES = new Set([
  'TSAsExpression',
  'TSSatisfiesExpression',
  'TSNonNullExpression',
  'TSTypeAssertion',
  'TSInstantiationExpression',
  'TSParameterProperty',
  'TSExportAssignment',
  'TSEnumDeclaration',
  'TSEnumBody',
  'TSEnumMember',
  'TSModuleDeclaration',
  'TSModuleBlock',
  'TSImportEqualsDeclaration',
  'TSExternalModuleReference',
])

/** Where an identifier is no use of a variable: the keys by node type. `computed` ones are. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  MemberExpression: ['property'],
  Property: ['key'],
  MethodDefinition: ['key'],
  PropertyDefinition: ['key'],
  AccessorProperty: ['key'],
  LabeledStatement: ['label'],
  BreakStatement: ['label'],
  ContinueStatement: ['label'],
  MetaProperty: ['meta', 'property'],
  ImportAttribute: ['key'],
  ExportSpecifier: ['exported'],
  ExportAllDeclaration: ['exported'],
  TSEnumMember: ['id'],
}

export function readSource(path: string, source: string): SourceFacts {
  const reading = new Reading(source)
  reading.visit(parseTree(path, source))
  return reading
}

class Reading implements SourceFacts {
  readonly imports: Import[] = []
  readonly globals: Used[] = []
  readonly types: Used[] = []
  readonly async: Used[] = []
  readonly members: Member[] = []
  readonly statements: Used[] = []
  readonly metaLines: number[] = []
  readonly literalAccessorLines: number[] = []
  readonly #source: string
  /** Innermost last. A name maps to the module it stands for as a whole, to null when it is anything else. */
  readonly #scopes: Scope[] = []

  constructor(source: string) {
    this.#source = source
  }

  visit(node: Node, parent: Node | null = null, inType = false): void {
    if (SCOPES.has(node.type)) {
      this.#scopes.push(declaredIn(node))
      this.#look(node, parent, inType)
      this.#scopes.pop()
    } else this.#look(node, parent, inType || (node.type.startsWith('TS') && !AROUND_VALUES.has(node.type)))
  }

  #look(node: Node, parent: Node | null, inType: boolean): void {
    this.#lookAtImports(node)
    this.#lookAtAsync(node)
    if (parent?.type === 'Program') this.#lookAtStatement(node)
    if (node.type === 'Property' && node['kind'] !== 'init' && parent?.type === 'ObjectExpression')
      this.literalAccessorLines.push(this.#line(node))
    if (node.type === 'TSTypeReference') this.#useType(node['typeName'] as Node)
    if (node.type === 'TSTypeQuery') this.#useValue(rootOf(node['exprName'] as Node), null)
    if (node.type === 'Identifier' && !inType) this.#useValue(node, parent)
    for (const [key, child] of children(node)) {
      if (key === 'specifiers' && isNode(node['source'])) continue
      if (node['computed'] !== true && NAMES[node.type]?.includes(key) === true) continue
      this.visit(child, node, inType)
    }
  }

  #lookAtImports(node: Node): void {
    const isType = node['importKind'] === 'type' || node['exportKind'] === 'type'
    const isDeclaration = node.type.startsWith('Export') || node.type === 'ImportDeclaration'
    if (isDeclaration && isNode(node['source'])) {
      const specifier = textOf(node['source'])
      this.#import(node, node['source'], isType ? 'type' : 'static')
      if (specifier !== null && !isType)
        for (const member of importedNames(node)) this.#member(node, specifier, member)
    } else if (node.type === 'ImportExpression') this.#import(node, node['source'], 'dynamic')
    else if (node.type === 'TSImportType') this.#import(node, node['source'], 'type')
    else if (node.type === 'TSExternalModuleReference') this.#import(node, node['expression'], 'static')
    else if (
      node.type === 'CallExpression' &&
      (node['callee'] as Node)['name'] === 'require' &&
      !this.#isDeclared('require')
    ) {
      this.#import(node, (node['arguments'] as unknown[])[0], 'static')
    } else if (node.type === 'MetaProperty' && (node['meta'] as Node)['name'] === 'import') {
      this.metaLines.push(this.#line(node))
    }
  }

  #import(node: Node, source: unknown, form: Import['form']): void {
    this.imports.push({ specifier: isNode(source) ? textOf(source) : null, form, line: this.#line(node) })
  }

  #lookAtAsync(node: Node): void {
    if (node['async'] === true) this.#asynchronous(node, 'async')
    if (node.type === 'AwaitExpression') this.#asynchronous(node, 'await')
    if (node.type === 'ForOfStatement' && node['await'] === true) this.#asynchronous(node, 'for await')
    if (node.type === 'VariableDeclaration' && node['kind'] === 'await using')
      this.#asynchronous(node, 'await using')
  }

  #asynchronous(node: Node, name: string): void {
    this.async.push({ name, line: this.#line(node) })
  }

  #lookAtStatement(node: Node): void {
    const declared = node.type === 'ExportNamedDeclaration' && isNode(node['declaration'])
    const { type } = declared ? (node['declaration'] as Node) : node
    const isType =
      /^TS(?:Interface|TypeAlias)Declaration$|^ImportDeclaration$/.test(type) || node['exportKind'] === 'type'
    if (!isType) this.statements.push({ name: type, line: this.#line(node) })
  }

  #useType(typeName: Node): void {
    const { name } = rootOf(typeName)
    if (typeof name === 'string' && !this.#isDeclared(name))
      this.types.push({ name, line: this.#line(typeName) })
  }

  #useValue(node: Node, parent: Node | null): void {
    const name = String(node['name'])
    const module = this.#moduleOf(name)
    const taken = parent === null ? [] : takenFrom(node, parent)
    if (module !== null) for (const member of taken) this.#member(node, module, member)
    if (this.#isDeclared(name)) return
    this.globals.push({ name, line: this.#line(node) })
    for (const member of taken) this.#member(node, name, member)
  }

  /** `*` where what is taken cannot be told. */
  #member(node: Node, of: string, name: string | null): void {
    this.members.push({ of, name: name ?? '*', line: this.#line(node) })
  }

  #isDeclared(name: string): boolean {
    return this.#scopes.some((scope) => scope.has(name))
  }

  #moduleOf(name: string): string | null {
    return this.#scopes.findLast((scope) => scope.has(name))?.get(name) ?? null
  }

  #line(node: Node): number {
    return this.#source.slice(0, node.start).split('\n').length
  }
}

/** What is taken out of `math`: `x` of `math.x`, `math['x']` and `const { x } = math`; null for what cannot be told. */
function takenFrom(object: Node, parent: Node): (string | null)[] {
  if (parent.type === 'MemberExpression' && parent['object'] === object) {
    const property = parent['property'] as Node
    return [parent['computed'] === true ? textOf(property) : String(property['name'])]
  }
  const pattern = parent['id']
  if (parent.type !== 'VariableDeclarator' || !isNode(pattern) || pattern.type !== 'ObjectPattern')
    return [null]
  return (pattern['properties'] as Node[]).map((property) => {
    const key = property['key']
    return isNode(key) && property['computed'] !== true ? String(key['name'] ?? key['value']) : null
  })
}

function importedNames(declaration: Node): (string | null)[] {
  if (declaration.type === 'ExportAllDeclaration') return [null]
  return ((declaration['specifiers'] ?? []) as Node[])
    .filter((specifier) => specifier['importKind'] !== 'type' && specifier['exportKind'] !== 'type')
    .map(
      (specifier) =>
        (specifier['imported'] ?? (declaration.type.startsWith('Ex') ? specifier['local'] : null)) as Node,
    )
    .filter((name) => name !== null)
    .map((name) => String(name['name'] ?? name['value']))
}

function textOf(node: Node): string | null {
  if (node.type === 'Literal' && typeof node['value'] === 'string') return node['value']
  if (node.type !== 'TemplateLiteral') return null
  const [first, ...rest] = node['quasis'] as { value: { cooked: string } }[]
  return first !== undefined && rest.length === 0 ? first.value.cooked : null
}

/** `a` of `a.b.c` where types are named. */
function rootOf(node: Node): Node {
  return node.type === 'TSQualifiedName' ? rootOf(node['left'] as Node) : node
}

/** The names that a scope declares for values, without those of the scopes in it. */
function declaredIn(scope: Node): Scope {
  const names: Scope = new Map()
  const add = (pattern: unknown): void => {
    if (!isNode(pattern)) return
    if (pattern.type === 'Identifier') names.set(String(pattern['name']), null)
    else if (pattern.type === 'Property') add(pattern['value'])
    else if (pattern.type === 'AssignmentPattern') add(pattern['left'])
    else if (pattern.type === 'RestElement') add(pattern['argument'])
    else if (pattern.type === 'TSParameterProperty') add(pattern['parameter'])
    else if (/^(?:Object|Array)Pattern$/.test(pattern.type))
      for (const [, child] of children(pattern)) add(child)
  }
  if (/^(?:Function|Class)Expression$/.test(scope.type)) add(scope['id'])
  if (scope.type === 'CatchClause') add(scope['param'])
  for (const parameter of (scope['params'] ?? []) as Node[]) add(parameter)
  for (const statement of statementsOf(scope)) declare(statement, names, add)
  return names
}

function statementsOf(scope: Node): Node[] {
  if (Array.isArray(scope['body'])) return scope['body'] as Node[]
  if (scope.type === 'SwitchStatement')
    return (scope['cases'] as Node[]).flatMap((one) => one['consequent'] as Node[])
  return [scope['init'], scope['left']].filter(isNode)
}

function declare(statement: Node, names: Scope, add: (pattern: unknown) => void): void {
  const declaration = statement['declaration']
  if (statement.type.startsWith('Export') && isNode(declaration)) declare(declaration, names, add)
  else if (statement.type === 'VariableDeclaration')
    for (const declarator of statement['declarations'] as Node[]) add(declarator['id'])
  else if (statement.type === 'ImportDeclaration' && statement['importKind'] !== 'type')
    for (const specifier of statement['specifiers'] as Node[]) {
      if (specifier['importKind'] === 'type') continue
      const whole = specifier.type !== 'ImportSpecifier'
      names.set(
        String((specifier['local'] as Node)['name']),
        whole ? textOf(statement['source'] as Node) : null,
      )
    }
  else if (/^(?:Function|Class|TSEnum|TSModule|TSImportEquals)Declaration$/.test(statement.type))
    add(statement['id'])
}
