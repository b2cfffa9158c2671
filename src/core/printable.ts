/**
 * Clients name things: themselves, groups, members, keys of headers. What they name ends up on terminals and in files
 * that are read line by line, so there is one way to show it.
 */

/**
 * What is no visible text: control characters (C0, DEL, C1), what turns the direction of writing or has no width, line
 * and paragraph separators, halves of surrogate pairs, and what Unicode has not assigned.
 */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu

const SHORT_ESCAPES: ReadonlyMap<string, string> = new Map([
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
])

/** What is left of the end of a text that was cut: ids tell themselves apart there. */
const TAIL_LENGTH = 40

/** The text as one line that shows every character and moves no cursor. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escaped)
}

/** As `printable`, of texts that have lines: these stay. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}

/** Start and end of a text that is too long to be shown as a whole. */
export function excerpt(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text
  const tail = Math.min(TAIL_LENGTH, maxLength >> 1)
  return `${text.slice(0, maxLength - tail)}…(${text.length} characters)…${text.slice(-tail)}`
}

function escaped(character: string): string {
  const short = SHORT_ESCAPES.get(character)
  if (short !== undefined) return short
  const hex = (character.codePointAt(0) ?? 0).toString(16)
  return hex.length <= 4 ? `\\u${hex.padStart(4, '0')}` : `\\u{${hex}}`
}
