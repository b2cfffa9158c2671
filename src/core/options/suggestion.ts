/** What somebody meant who misspelt a name. */

/** Mistakes that a suggestion forgives: this many, and no more than this part of the name. */
const MAX_MISTAKES = 3
const MAX_MISTAKEN_PART = 0.4

/** A name that another begins or ends with says what is meant when it is at least this long. */
const MIN_PART_LENGTH = 4

/** The candidate that a name most likely stands for; null when none is close. */
export function closest(name: string, candidates: Iterable<string>): string | null {
  const wanted = plain(name)
  let best: string | null = null
  let bestMistakes = Math.min(MAX_MISTAKES, Math.floor(wanted.length * MAX_MISTAKEN_PART)) + 1
  let akin: string | null = null
  for (const candidate of candidates) {
    const text = plain(candidate)
    if (isPart(wanted, text) && (akin === null || candidate.length < akin.length)) akin = candidate
    if (Math.abs(text.length - wanted.length) >= bestMistakes) continue
    const mistakes = mistakesBetween(wanted, text)
    if (mistakes >= bestMistakes) continue
    bestMistakes = mistakes
    best = candidate
  }
  // `retention.ms` rather stands for `log.retention.ms` than for another key with as few letters.
  return bestMistakes <= 1 ? best : (akin ?? best)
}

/** `conf` of `config`, `retention.ms` of `log.retention.ms`. */
function isPart(wanted: string, text: string): boolean {
  return wanted.length >= MIN_PART_LENGTH && (text.startsWith(wanted) || text.endsWith(wanted))
}

/** The sentence's end for a name that means nothing. */
export function didYouMean(name: string, candidates: Iterable<string>): string {
  const found = closest(name, candidates)
  return found === null ? '' : `; did you mean ${found}?`
}

/** `logRetentionMs` and `log_retention_ms` are `log.retention.ms`. */
function plain(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '')
}

/** Letters to add, remove, replace or swap with their neighbour until one text is the other. */
function mistakesBetween(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const differs = a[i - 1] === b[j - 1] ? 0 : 1
      let least = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + differs)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, beforeLast[j - 2]! + 1)
      row.push(least)
    }
    beforeLast = last
    last = row
  }
  return last[b.length]!
}
