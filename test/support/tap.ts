/** What node's test runner reports in the Test Anything Protocol. */

/** The counts at the end. */
export function countsOf(report: string): string[] {
  return report
    .split('\n')
    .filter((line) => /^# (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/.test(line))
}

/** The tests and suites that did not run, or whose failure would not have counted. */
export function leftOutOf(report: string): string[] {
  return report
    .split('\n')
    .filter((line) => /^\s*(?:not )?ok \d+ .*(?<!\\)# (?:SKIP|TODO)(?: |$)/.test(line))
    .map((line) => line.trim())
}
