import { writeFileSync } from 'node:fs'
import { register } from 'node:module'
import { join } from 'node:path'
import type { Replacement } from './mutating-loader.ts'

/** Loaded before anything else of a process (`--import`): the code has its bug before anybody sees it. */
const text = process.env['SAMSA_MUTANT']
if (text !== undefined) {
  register<Replacement>('./mutating-loader.js', import.meta.url, { data: JSON.parse(text) as Replacement })
}

/** Beside the coverage: the milliseconds of processor time that it took. */
const coverage = process.env['NODE_V8_COVERAGE']
if (coverage !== undefined)
  process.on('exit', () => {
    const { user, system } = process.cpuUsage()
    writeFileSync(join(coverage, `cpu-${process.pid}`), String((user + system) / 1_000))
  })
