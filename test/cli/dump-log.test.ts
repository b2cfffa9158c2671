import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import zlib from 'node:zlib'
import { after, test } from 'node:test'
import { setBaseOffset } from '../../protocol/records/record-batch.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import { dumpBatches } from '../../src/cli/dump-batches.ts'
import {
  dumpOffsetIndex,
  dumpProducerSnapshot,
  dumpTimeIndex,
  dumpTransactionIndex,
} from '../../src/cli/dump-indexes.ts'
import type { DumpOptions } from '../../src/cli/dump-options.ts'

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'samsa-dump-'))
after(() => fs.rmSync(directory, { recursive: true, force: true }))
const main = new URL('../../src/cli/samsa.cjs', import.meta.url).pathname

function logFile(...batches: Buffer[]): string {
  const file = path.join(directory, '00000000000000000007.log')
  fs.writeFileSync(file, Buffer.concat(batches))
  return file
}

function dump(file: string, options: DumpOptions = {}): string[] {
  const lines: string[] = []
  dumpBatches(file, options, (line) => lines.push(line))
  return lines
}

const records = [
  {
    timestampMs: 1000,
    key: Buffer.from('k'),
    value: Buffer.from('v1'),
    headers: [{ key: 'h', value: Buffer.from('x') }],
  },
  { timestampMs: 1005, key: null, value: null },
]

function batchAt(offset: number, options: Parameters<typeof buildBatch>[1] = {}): Buffer {
  const batch = buildBatch(records, options)
  setBaseOffset(batch, 0, offset)
  return batch
}

test('batches and records', () => {
  const file = logFile(batchAt(7), batchAt(9, { producerId: 4000, producerEpoch: 1, baseSequence: 5 }))
  const [first, second, ...rest] = dump(file)
  assert.match(
    first ?? '',
    /^baseOffset: 7 lastOffset: 8 count: 2 .*position: 0 CreateTime: 1005 .*compresscodec: none .*isvalid: true$/,
  )
  assert.match(
    second ?? '',
    /^baseOffset: 9 lastOffset: 10 count: 2 baseSequence: 5 lastSequence: 6 producerId: 4000 producerEpoch: 1 /,
  )
  assert.deepEqual(rest, [])
  const deep = dump(file, { printDataLog: true })
  assert.equal(deep.length, 6)
  assert.equal(
    deep[1],
    '| offset: 7 CreateTime: 1000 keySize: 1 valueSize: 2 sequence: -1 headerKeys: [h] key: k payload: v1',
  )
  assert.equal(
    deep[5],
    '| offset: 10 CreateTime: 1005 keySize: -1 valueSize: -1 sequence: 6 headerKeys: [] payload: ',
  )
  assert.equal(
    dump(file, { deepIteration: true })[1],
    '| offset: 7 CreateTime: 1000 keySize: 1 valueSize: 2 sequence: -1 headerKeys: [h]',
  )
})

test('what clients put into keys, values and headers moves no cursor', () => {
  const hostile = 'x\u001b[2J\u009b\u202e\u2028\u007f\nFound'
  const file = logFile(
    buildBatch([
      {
        timestampMs: 1,
        key: Buffer.from(hostile),
        value: Buffer.from(hostile),
        headers: [{ key: hostile, value: null }],
      },
    ]),
  )
  const { status, stdout } = spawnSync(process.execPath, [main, 'dump-log', '--print-data-log', file], {
    encoding: 'utf8',
  })
  assert.equal(status, 0)
  const lines = stdout.trimEnd().split('\n')
  assert.equal(lines.length, 4)
  const shown = 'x\\u001b[2J\\u009b\\u202e\\u2028\\u007f\\nFound'
  assert.ok(lines[3]?.endsWith(`headerKeys: [${shown}] key: ${shown} payload: ${shown}`), lines[3])
})

test('damage is shown and does not stop the batches before it', () => {
  const good = batchAt(0)
  const flipped = batchAt(2)
  flipped[flipped.length - 1] = (flipped.at(-1) ?? 0) ^ 1
  const lines = dump(logFile(good, flipped, batchAt(4).subarray(0, 40)))
  assert.equal(lines.length, 3)
  assert.match(lines[0] ?? '', /isvalid: true$/)
  assert.match(lines[1] ?? '', /isvalid: false$/)
  assert.match(lines[2] ?? '', /^Found 40 invalid bytes at the end of .*goes beyond the end$/)
  assert.match(dump(logFile(Buffer.alloc(100)))[0] ?? '', /^Found 100 invalid bytes/)
  assert.match(dump(logFile(Buffer.alloc(5)))[0] ?? '', /^Found 5 invalid bytes/)
})

test('indexes end where their reserve begins', () => {
  const collect = (run: (print: (line: string) => void) => void): string[] => {
    const lines: string[] = []
    run((line) => lines.push(line))
    return lines
  }
  const index = Buffer.alloc(32)
  index.writeInt32BE(3, 0)
  index.writeInt32BE(4096, 4)
  index.writeInt32BE(9, 8)
  index.writeInt32BE(8192, 12)
  assert.deepEqual(
    collect((print) => dumpOffsetIndex(index, 100, print)),
    ['offset: 103 position: 4096', 'offset: 109 position: 8192'],
  )
  const times = Buffer.alloc(29)
  times.writeBigInt64BE(1_700_000_000_000n, 0)
  times.writeInt32BE(3, 8)
  times.writeBigInt64BE(1_700_000_000_001n, 12)
  times.writeInt32BE(4, 20)
  assert.deepEqual(
    collect((print) => dumpTimeIndex(times, 100, print)),
    [
      'timestamp: 1700000000000 offset: 103',
      'timestamp: 1700000000001 offset: 104',
      '5 bytes behind the last whole entry',
    ],
  )
  assert.equal(collect((print) => dumpTransactionIndex(Buffer.alloc(34), print)).length, 1)
  assert.deepEqual(
    collect((print) => dumpProducerSnapshot(Buffer.alloc(3), print)),
    ['not a snapshot: 3 bytes'],
  )
})

test('the command: files and directories, compressed records, and what it cannot read', () => {
  const partition = path.join(directory, 'topic-0')
  fs.mkdirSync(partition)
  const plain = batchAt(0)
  const gzipped = Buffer.concat([plain.subarray(0, 61), zlib.gzipSync(plain.subarray(61))])
  gzipped.writeInt16BE(1, 21)
  gzipped.writeInt32BE(gzipped.length - 12, 8)
  fs.writeFileSync(path.join(partition, '00000000000000000000.log'), gzipped)
  fs.writeFileSync(path.join(partition, '00000000000000000000.index'), Buffer.alloc(0))
  fs.writeFileSync(path.join(partition, 'leader-epoch-checkpoint'), '0\n1\n0 0\n')
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [main, 'dump-log', ...args], { encoding: 'utf8' })
  const dumped = run('--deep-iteration', '--print-data-log', partition)
  assert.equal(dumped.status, 0, dumped.stderr)
  assert.match(dumped.stdout, /compresscodec: gzip .*isvalid: false\n\| offset: 0 .* key: k payload: v1\n/)
  assert.match(dumped.stdout, /Dumping .*leader-epoch-checkpoint\n0\n1\n0 0\n/)
  fs.writeFileSync(path.join(partition, 'samsa-metadata.log'), 'no batches')
  assert.doesNotMatch(run(partition).stdout, /samsa-metadata|invalid bytes/)
  const missing = run(path.join(directory, 'missing.log'))
  assert.equal(missing.status, 1)
  assert.match(missing.stderr, /^samsa: .*missing\.log' does not exist\n$/)
  assert.equal(run(main).status, 1)
  assert.equal(run().status, 1)
})
