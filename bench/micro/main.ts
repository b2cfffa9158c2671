/** How long single steps take, one at a time on a warm processor. */
import process from 'node:process'
import { loadNativeAddon } from '../../src/system/native-addon.ts'
import { formatFigure, formatTable } from '../report.ts'
import { appends } from './appends.ts'
import { measure } from './cases.ts'
import type { CaseResult, Effort, Group } from './cases.ts'
import { checksums } from './checksums.ts'
import { compressedAppends } from './compressed.ts'
import { messages } from './messages.ts'

const thorough: Effort = { minSamples: 30, maxSeconds: 1.5 }
const quick: Effort = { minSamples: 10, maxSeconds: 0.3 }

const USAGE = `Usage: npm run bench:micro -- [--quick] [word ...]

Measures how long single steps take, one at a time on a warm processor. With words, only the groups whose title
contains one of them; --quick takes less time for each.`

function main(): void {
  const given = process.argv.slice(2)
  const words = given.filter((word) => !word.startsWith('-'))
  const unknown = given.find((word) => word.startsWith('-') && word !== '--quick')
  if (unknown !== undefined) {
    const asked = unknown === '--help' || unknown === '-h'
    if (asked) console.log(USAGE)
    else console.error(`unknown option '${unknown}'\n\n${USAGE}`)
    process.exitCode = asked ? 0 : 2
    return
  }
  const effort = given.includes('--quick') ? quick : thorough
  const { addon, reason } = loadNativeAddon()
  if (addon === null) console.log(`no native addon: ${reason}\n`)
  const groups = [...messages(), ...appends(addon), ...compressedAppends(), ...checksums(addon)].filter(
    ({ title }) =>
      words.length === 0 || words.some((word) => title.toLowerCase().includes(word.toLowerCase())),
  )
  if (groups.length === 0) {
    console.error(`no group matches: ${words.join(' ')}`)
    process.exitCode = 1
  }
  for (const group of groups) print(group, effort)
}

function print({ title, compared, cases }: Group, effort: Effort): void {
  const results = cases.map((one) => measure(one, effort))
  const first = results[0]?.perSecond ?? NaN
  const head = [title, 'per second', 'margin', 'ns', ...(compared ? ['MB/s', 'relative'] : [])]
  const rows = results.map((result) => [...row(result), ...(compared ? comparison(result, first) : [])])
  console.log(`${formatTable(head, rows)}\n`)
}

function row({ name, perSecond, marginPercent }: CaseResult): string[] {
  return [name, formatFigure(perSecond), `±${marginPercent.toFixed(1)} %`, formatFigure(1e9 / perSecond)]
}

function comparison({ perSecond, megabytesPerSecond }: CaseResult, first: number): string[] {
  return [
    megabytesPerSecond === null ? '' : formatFigure(megabytesPerSecond),
    `${(perSecond / first).toFixed(2)} x`,
  ]
}

main()
