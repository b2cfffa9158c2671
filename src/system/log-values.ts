import { isError } from '../core/is-error.ts'
import { excerpt, printable } from '../core/printable.ts'
import type { LogFields } from '../ports.ts'

const MAX_TEXT_LENGTH = 1_000
const MAX_MESSAGE_LENGTH = 4_000
const MAX_FRAMES = 30
const MAX_ITEMS = 100
const MAX_DEPTH = 4

/** The fields of a line as they may be written: of bounded size, and nothing in them draws on a terminal. */
export function printableFields(fields: LogFields): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, printableValue(value, 1)]))
}

export function printableMessage(message: string): string {
  return printable(excerpt(message, MAX_MESSAGE_LENGTH))
}

function printableValue(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return printable(excerpt(value, MAX_TEXT_LENGTH))
    case 'object':
      return value === null ? null : printableObject(value, depth)
    case 'bigint':
      return String(value)
    default:
      return value
  }
}

function printableObject(value: object, depth: number): unknown {
  if (depth > MAX_DEPTH) return '…'
  if (isError(value)) return printableError(value, depth)
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`
  if (Array.isArray(value)) {
    return value.slice(0, MAX_ITEMS).map((item: unknown) => printableValue(item, depth + 1))
  }
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, MAX_ITEMS)
      .map(([key, item]) => [printable(excerpt(key, MAX_TEXT_LENGTH)), printableValue(item, depth + 1)]),
  )
}

/** JSON knows nothing of errors: whatever the field is called, they show what they say and where they come from. */
function printableError(error: Error, depth: number): Record<string, unknown> {
  const code = 'code' in error ? { code: printableValue(error.code, depth + 1) } : {}
  const cause = error.cause === undefined ? {} : { cause: printableValue(error.cause, depth + 1) }
  const head = `${error.name}: ${excerpt(error.message, MAX_MESSAGE_LENGTH)}`
  return {
    type: error.constructor.name,
    message: printableMessage(error.message),
    ...code,
    stack: [printable(head), ...framesOf(error)].join('\n'),
    ...cause,
  }
}

/** The message stands before them, and has lines of its own when a client named what is in it. */
function framesOf(error: Error): string[] {
  const stack = error.stack ?? ''
  const at = stack.indexOf(error.message)
  const frames = at < 0 ? stack : stack.slice(at + error.message.length)
  return frames
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, MAX_FRAMES)
    .map((line) => printable(line))
}
