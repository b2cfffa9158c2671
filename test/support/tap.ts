/** What node's test runner reports in the Test Anything Protocol. */

/** The counts at the end. */
export function countsOf(report: string): string[] {
  return report
    .split('\n')
    .filter((line) => /^# (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/.test(line))
}

/**
 * The tests and suites that did not run, or whose failure would not have counted: one by one, and by the counts at the
 * end. A report without these counts proves nothing.
 */
export function leftOutOf(report: string): string[] {
  const counted = ['skipped', 'todo', 'cancelled'].flatMap((kind) => {
    const count = report.match(new RegExp(`^# ${kind} (\\d+)$`, 'm'))?.[1]
    if (count === undefined) return [`the report does not say how many tests were ${kind}`]
    return count === '0' ? [] : [`${kind}: ${count}`]
  })
  return [...namedIn(report), ...counted]
}

function namedIn(report: string): string[] {
  return report
    .split('\n')
    .filter((line) => /^\s*(?:not )?ok \d+ .*(?<!\\)# (?:SKIP|TODO)(?: |$)/.test(line))
    .map((line) => line.trim())
}

/** What did not run, in one line for whoever reads the end of a run; null when everything did. */
export function skippedLine(report: string): string | null {
  const told = namedIn(report).map((line) => {
    const [, name = line, why = ''] = /ok \d+ (?:- )?(.*?)(?<!\\) # (?:SKIP|TODO) ?(.*)$/.exec(line) ?? []
    return (why === '' ? name : `${name} (${why})`).replace(/\\([#\\])/g, '$1')
  })
  return told.length === 0 ? null : `skipped ${told.length}: ${told.join('; ')}`
}
