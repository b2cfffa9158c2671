import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { LineSink } from '../../src/system/line-sink.ts'
import { createLogger } from '../../src/system/pino-logger.ts'
import { until } from '../support/until.ts'

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'samsa-sink-'))
after(() => fs.rmSync(directory, { recursive: true, force: true }))

let pipes = 0

/** A pipe as a shell makes one: writing to `input` waits when nobody reads. */
function makePipe() {
  const name = path.join(directory, `pipe-${pipes++}`)
  execFileSync('mkfifo', [name])
  const output = fs.openSync(name, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
  const input = fs.openSync(name, fs.constants.O_WRONLY)
  let text = ''
  const read = (): string => {
    const into = Buffer.alloc(1 << 16)
    try {
      for (let count = 1; count > 0;) {
        count = fs.readSync(output, into)
        text += into.toString('utf8', 0, count)
      }
    } catch (error) {
      assert.ok(error instanceof Error && 'code' in error && error.code === 'EAGAIN')
    }
    return text
  }
  const until = async (condition: () => boolean): Promise<void> => {
    for (let tries = 0; !condition(); tries++) {
      assert.ok(tries < 1_000, text.slice(-500))
      read()
      await sleep(5)
    }
  }
  const close = (): void => {
    fs.closeSync(output)
    fs.closeSync(input)
  }
  return { input, output, read, until, close }
}

const line = (n: number): string => `${String(n).padStart(99, '0')}\n`

test('while somebody reads, a line is out when write returns', () => {
  const pipe = makePipe()
  const sink = new LineSink(pipe.input)
  sink.write('one\n')
  assert.equal(pipe.read(), 'one\n')
  sink.write('two\n')
  assert.equal(pipe.read(), 'one\ntwo\n')
  assert.deepEqual([sink.queuedBytes, sink.droppedLines], [0, 0])
  pipe.close()
})

test('nobody reads: writes return, memory is bounded, and the gap is told where it is', async () => {
  const pipe = makePipe()
  const maxBytes = 100_000
  const sink = new LineSink(pipe.input, maxBytes)
  const told: number[] = []
  sink.onDropped = (lines) => {
    told.push(lines)
    sink.write(`dropped ${lines}\n`)
  }
  const count = 10_000
  for (let n = 0; n < count; n++) {
    sink.write(line(n))
    assert.ok(sink.queuedBytes <= maxBytes)
  }
  const { droppedLines } = sink
  assert.ok(droppedLines > 5_000, `${droppedLines} dropped`)
  assert.deepEqual(told, [])
  await pipe.until(() => pipe.read().includes('dropped'))
  await pipe.until(() => sink.queuedBytes === 0)
  const lines = pipe.read().trimEnd().split('\n')
  // Those from before the gap, in order and whole, then how many are missing.
  assert.deepEqual(lines, [
    ...Array.from({ length: count - droppedLines }, (_, n) => line(n).trimEnd()),
    `dropped ${droppedLines}`,
  ])
  sink.write('after\n')
  assert.ok(pipe.read().endsWith('\nafter\n'))
  assert.deepEqual(told, [droppedLines])
  pipe.close()
})

test('a reader that comes back in the middle: lines go on behind the gap', async () => {
  const pipe = makePipe()
  const sink = new LineSink(pipe.input, 100_000)
  sink.onDropped = (lines) => sink.write(`dropped ${lines}\n`)
  let n = 0
  while (sink.droppedLines === 0) sink.write(line(n++))
  const firstDropped = n - 1
  await until(() => {
    pipe.read()
    return sink.queuedBytes <= 40_000
  })
  sink.write(line(n))
  await pipe.until(() => sink.queuedBytes === 0 && pipe.read().includes(line(n)))
  const tail = pipe.read().split(line(firstDropped - 1))[1]
  assert.equal(tail, `dropped 1\n${line(n)}`)
  pipe.close()
})

test('the end of the process waits for a reader, but not for ever', () => {
  const pipe = makePipe()
  const sink = new LineSink(pipe.input, 1_000_000)
  for (let n = 0; n < 2_000; n++) sink.write(line(n))
  const kept = sink.queuedBytes
  assert.ok(kept > 0)
  const startMs = performance.now()
  sink.flushSync(50)
  assert.ok(performance.now() - startMs < 5_000)
  const before = pipe.read().length
  sink.flushSync(50)
  assert.ok(pipe.read().length > before)
  pipe.close()
})

test('a reader that is gone, and a full device, lose lines and nothing else', () => {
  const pipe = makePipe()
  const sink = new LineSink(pipe.input)
  let told = 0
  sink.onDropped = () => {
    told++
    sink.write('dropped\n')
  }
  fs.closeSync(pipe.output)
  for (let n = 0; n < 10; n++) sink.write(line(n))
  assert.deepEqual([sink.droppedLines, sink.queuedBytes, told], [10, 0, 0])
  fs.closeSync(pipe.input)
  if (!fs.existsSync('/dev/full')) return
  const full = fs.openSync('/dev/full', 'w')
  const onFull = new LineSink(full)
  onFull.write('x\n')
  assert.deepEqual([onFull.droppedLines, onFull.queuedBytes], [1, 0])
  fs.closeSync(full)
})

test('files get every line, behind what is in them', () => {
  const file = path.join(directory, 'log')
  fs.writeFileSync(file, 'before\n')
  const fd = fs.openSync(file, 'a')
  const sink = new LineSink(fd)
  for (let n = 0; n < 5_000; n++) sink.write(line(n))
  const text = fs.readFileSync(file, 'utf8')
  assert.equal(text.length, 7 + 5_000 * 100)
  assert.ok(text.startsWith('before\n0'))
  assert.equal(sink.droppedLines, 0)
  fs.closeSync(fd)
})

test('a logger says how many of its lines are missing', async () => {
  const pipe = makePipe()
  const sink = new LineSink(pipe.input, 50_000)
  const logger = await createLogger({ level: 'info', format: 'json', destination: sink })
  for (let n = 0; n < 2_000; n++) logger.info({ n }, 'x'.repeat(200))
  await pipe.until(() => pipe.read().includes('droppedLines'))
  const last: unknown = JSON.parse(pipe.read().trimEnd().split('\n').at(-1) ?? '')
  assert.ok(typeof last === 'object' && last !== null && 'droppedLines' in last)
  assert.equal(last.droppedLines, sink.droppedLines)
  pipe.close()
})
