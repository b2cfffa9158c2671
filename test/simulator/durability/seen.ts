/** What came about in a run: a test that never met a situation says nothing about it. */
export class Seen {
  acknowledged = 0
  /** Known before, and gone. */
  lost = 0
  commits = 0
  readonly situations = new Map<string, number>()

  count(situation: string, times = 1): void {
    if (times > 0) this.situations.set(situation, (this.situations.get(situation) ?? 0) + times)
  }
}

/** Lines of the broker's log that tell of a situation. */
const LINES: readonly (readonly [RegExp, string])[] = [
  [/^cut a torn tail/, 'torn tail cut'],
  [/^CORRUPTION/, 'unclean detected'],
  [/^RECORDS ARE MISSING/, 'missing records noticed'],
  [/^log directory failed and is offline/, 'directory dead'],
  [/^volume is almost full/, 'disk almost full'],
  [/^deleted old segments/, 'segments deleted'],
  [/^log compacted/, 'log compacted'],
  [/does not read back/, 'bad batch found by a read'],
  [/^logs recovered after an unclean stop/, 'recovered'],
]

export function countLines(seen: Seen, lines: readonly { readonly message: string }[]): void {
  for (const { message } of lines)
    for (const [pattern, situation] of LINES) if (pattern.test(message)) seen.count(situation)
}
