/** The answers of Apache Kafka, one file for each area, written so that a changed answer is a changed line. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { repositoryRoot } from '../support/processes.ts'
import type { Step } from './session.ts'

const DIRECTORY = join(repositoryRoot, 'test/difference/golden')
const LINE = 110

export type Recording = Readonly<Record<string, readonly Step[]>>

export function readGolden(area: string): Recording {
  const file = join(DIRECTORY, `${area}.json`)
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Recording) : {}
}

export function writeGolden(area: string, recording: Recording): void {
  writeFileSync(join(DIRECTORY, `${area}.json`), `${compactJson(recording, '')}\n`)
}

/** JSON in which everything that fits into a line stands in one. */
function compactJson(value: unknown, indent: string): string {
  const line = JSON.stringify(value)
  if (line.length + indent.length <= LINE || typeof value !== 'object' || value === null) return line
  const inner = `${indent} `
  const [open, close] = Array.isArray(value) ? '[]' : '{}'
  const parts = Array.isArray(value)
    ? value.map((each) => compactJson(each, inner))
    : Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${compactJson(each, inner)}`)
  return `${open}\n${parts.map((part) => inner + part).join(',\n')}\n${indent}${close}`
}
