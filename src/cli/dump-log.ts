import fs from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { codeOf } from '../core/is-error.ts'
import { printable } from '../core/printable.ts'
import { SamsaError } from '../core/samsa-error.ts'
import { dumpBatches } from './dump-batches.ts'
import { dumpOffsetIndex, dumpProducerSnapshot, dumpTimeIndex, dumpTransactionIndex } from './dump-indexes.ts'
import type { DumpOptions, Print } from './dump-options.ts'

/** `samsa dump-log`: the files' contents in the manner of kafka-dump-log. Throws when a file cannot be read. */
export function dumpLog(files: readonly string[], options: DumpOptions): void {
  const out = new LineWriter()
  for (const file of files.flatMap(expand)) {
    out.print(`Dumping ${file}`)
    dumpFile(file, options, out.print)
  }
  out.flush()
}

/** A directory stands for the files in it that can be printed. */
function expand(file: string): string[] {
  if (!fs.existsSync(file)) throw new SamsaError('SAMSA_CONFIG', `'${file}' does not exist`)
  if (!fs.statSync(file).isDirectory()) return [file]
  const names = fs.readdirSync(file).filter((name) => kindOf(name) !== null)
  if (names.length === 0)
    throw new SamsaError('SAMSA_CONFIG', `${file}: there are no files of a log in this directory`)
  return names.toSorted().map((name) => path.join(file, name))
}

type Kind = 'log' | 'index' | 'timeindex' | 'txnindex' | 'snapshot' | 'text'

/** Also of files that are on their way in or out (`.deleted`, `.cleaned`, `.swap`). */
function kindOf(name: string): Kind | null {
  // The embedded store's own, beside the partitions.
  if (path.basename(name).startsWith('samsa-metadata.')) return null
  const found = /\.(log|index|timeindex|txnindex|snapshot)(?:\.(?:deleted|cleaned|swap))?$/.exec(name)?.[1]
  if (found === 'log' || found === 'index' || found === 'timeindex' || found === 'txnindex') return found
  if (found === 'snapshot') return found
  return /-checkpoint$|^partition\.metadata$|^meta\.properties$/.test(path.basename(name)) ? 'text' : null
}

function dumpFile(file: string, options: DumpOptions, print: Print): void {
  const baseOffset = Number(/^(\d{20})\./.exec(path.basename(file))?.[1] ?? '0')
  const kind = kindOf(file)
  switch (kind) {
    case 'log':
      print(`Log starting offset: ${baseOffset}`)
      dumpBatches(file, options, print)
      return
    case 'index':
      dumpOffsetIndex(fs.readFileSync(file), baseOffset, print)
      return
    case 'timeindex':
      dumpTimeIndex(fs.readFileSync(file), baseOffset, print)
      return
    case 'txnindex':
      dumpTransactionIndex(fs.readFileSync(file), print)
      return
    case 'snapshot':
      dumpProducerSnapshot(fs.readFileSync(file), print)
      return
    case 'text':
      for (const line of fs.readFileSync(file, 'utf8').trimEnd().split('\n')) print(line)
      return
    case null:
      throw new SamsaError(
        'SAMSA_CONFIG',
        `${file}: not a file of a log; there are .log .index .timeindex .txnindex .snapshot`,
      )
  }
}

/**
 * Standard output in large pieces, written at once: nothing piles up, and a closed pipe ends the command quietly. What
 * clients put into names, keys and values moves no cursor.
 */
class LineWriter {
  #lines: string[] = []
  #length = 0
  readonly print: Print = (line) => {
    const shown = printable(line)
    this.#lines.push(shown)
    this.#length += shown.length
    if (this.#length > 1 << 16) this.flush()
  }

  flush(): void {
    if (this.#lines.length === 0) return
    const bytes = Buffer.from(`${this.#lines.join('\n')}\n`)
    this.#lines = []
    this.#length = 0
    for (let at = 0; at < bytes.length;) at += writeSome(bytes, at)
  }
}

function writeSome(bytes: Buffer, at: number): number {
  try {
    return fs.writeSync(1, bytes, at)
  } catch (error) {
    const code = codeOf(error)
    if (code === 'EAGAIN') return 0
    if (code === 'EPIPE') process.exit(0)
    throw error
  }
}
