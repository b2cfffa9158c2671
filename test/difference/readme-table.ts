/** The README's table of differences, which is made from `intended.ts`. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { repositoryRoot } from '../support/processes.ts'
import { intendedDifferences } from './intended.ts'

const README = join(repositoryRoot, 'README.md')
const HEAD = '| | Apache Kafka 4.3.1 | Samsa | why |\n|---|---|---|---|\n'

export function tableOfDifferences(): string {
  const rows = intendedDifferences.map(
    ({ subject, kafka, samsa, reason }) => `| ${subject} | ${kafka} | ${samsa} | ${reason} |\n`,
  )
  return HEAD + rows.join('')
}

/** The table as it stands in the README. */
export function readmeTable(): string {
  const text = readFileSync(README, 'utf8')
  const [start, end] = bounds(text)
  return text.slice(start, end)
}

export function writeReadmeTable(): void {
  const text = readFileSync(README, 'utf8')
  const [start, end] = bounds(text)
  writeFileSync(README, text.slice(0, start) + tableOfDifferences() + text.slice(end))
}

function bounds(text: string): [start: number, end: number] {
  const start = text.indexOf(HEAD)
  if (start < 0) throw new Error('the README has no table of differences')
  return [start, text.indexOf('\n\n', start) + 1]
}
