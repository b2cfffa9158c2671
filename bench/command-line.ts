import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, resolve } from 'node:path'
import { InvalidArgumentError } from 'commander'
import { fileSystemOf } from './machine.ts'

/** What the command lines of the benchmarks have in common. */

/** Of `npm run bench`. */
export interface Settings {
  readonly target: string
  readonly peer?: string
  readonly quick?: boolean
  readonly rows?: string
  readonly repeats?: number
  readonly seconds?: number
  readonly json?: string
  readonly markdown?: string
  readonly dir?: string
  readonly profile?: string
  readonly list?: boolean
  readonly strict?: boolean
  readonly cluster?: boolean
  readonly kills?: number
}

export function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('not a positive number')
  return value
}

/** Where the data lies: what was asked for, or else a directory on a real disk. */
export function dataDirectory(chosen: string | undefined): string {
  if (chosen !== undefined) return resolve(chosen)
  for (const candidate of ['/var/tmp', tmpdir()]) {
    if (existsSync(candidate) && fileSystemOf(candidate) !== 'tmpfs') return candidate
  }
  return tmpdir()
}

export async function save(path: string, text: string): Promise<void> {
  const file = resolve(path)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, text)
  console.log(`\nwritten to ${file}`)
}
