import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { CodecLine } from '../../src/broker/codec-line.ts'
import type { Codecs } from '../../src/ports.ts'

/** Codecs whose work ends when the test says so. */
function heldCodecs() {
  const begun: { codec: number; end: () => void; fail: (error: Error) => void }[] = []
  const codecs: Codecs = {
    summarizeNow: () => null,
    summarizeBeside: () => false,
    decompressNow: () => null,
    canCompress: () => false,
    compress: (_codec, _level, data) => Promise.resolve(data),
    decompress: (codec) =>
      new Promise((resolve, reject) => {
        begun.push({ codec, end: resolve, fail: reject })
      }),
  }
  return { codecs, begun }
}

const upTo = (count: number) => Array.from({ length: count }, (_, codec) => codec)
const nothing = Buffer.alloc(0)
const job = () => ({})

test('a few at once, in the order they came, and a failure keeps nobody', async () => {
  const { codecs, begun } = heldCodecs()
  const line = new CodecLine(codecs)
  const ended: string[] = []
  for (let codec = 0; codec < 19; codec++)
    line
      .decompress(codec, nothing, () => true)
      .then(
        () => ended.push(`${codec}`),
        () => ended.push(`${codec} failed`),
      )
  const order = () => begun.map(({ codec }) => codec)
  assert.deepEqual(order(), upTo(16))
  begun[1]!.end()
  begun[0]!.fail(new Error('broken'))
  await turn()
  assert.deepEqual(order(), upTo(18))
  for (const { end } of begun) end()
  await turn()
  begun[18]!.end()
  await turn()
  assert.deepEqual(order(), upTo(19))
  assert.equal(ended.length, 19)
  assert.ok(ended.includes('0 failed'))
})

test('who still waits may leave, and never begins', async () => {
  const { codecs, begun } = heldCodecs()
  const line = new CodecLine(codecs)
  const jobs = Array.from({ length: 18 }, job)
  for (const [codec, each] of jobs.entries())
    void line.run(each, () => codecs.decompress(codec, nothing, () => true))
  assert.equal(line.leave(jobs[0]!), false, 'it is under way')
  assert.equal(line.leave(jobs[16]!), true)
  assert.equal(line.leave(jobs[16]!), false)
  begun[0]!.end()
  await turn()
  assert.deepEqual(
    begun.map(({ codec }) => codec),
    [...upTo(16), 17],
  )
})
