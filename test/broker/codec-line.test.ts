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
      .decompress(job(), codec, nothing, () => true)
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
    void line.run(each, each, () => codecs.decompress(codec, nothing, () => true))
  assert.equal(line.leave(jobs[0]!, jobs[0]!), false, 'it is under way')
  assert.equal(line.leave(jobs[16]!, jobs[16]!), true)
  assert.equal(line.leave(jobs[16]!, jobs[16]!), false)
  begun[0]!.end()
  await turn()
  assert.deepEqual(
    begun.map(({ codec }) => codec),
    [...upTo(16), 17],
  )
})

test('a client with very many large batches leaves places to others, and they take turns when there is none', async () => {
  const { codecs, begun } = heldCodecs()
  const line = new CodecLine(codecs)
  const send = (client: object, codec: number): void => {
    void line.decompress(client, codec, nothing, () => true)
  }
  const order = () => begun.map(({ codec }) => codec)
  const [greedy, other, third] = [job(), job(), job()]
  for (let i = 0; i < 30; i++) send(greedy, 1)
  assert.equal(begun.length, 8, 'as many as it leaves free')
  for (let i = 0; i < 30; i++) send(other, 2)
  assert.equal(begun.length, 12)
  // Each newcomer finds a place while there is one.
  const newcomers = Array.from({ length: 6 }, (_, i) => send(job(), 10 + i))
  assert.equal(newcomers.length, 6)
  assert.deepEqual(order().slice(12), [10, 11, 12, 13])
  send(third, 3)
  for (const [i, { end }] of begun.entries()) if (i < 3) end()
  await turn()
  assert.deepEqual(order().slice(16), [14, 15, 3], 'who has none under way comes before who has')
  for (let at = 3; at < begun.length; at++) {
    begun[at]!.end()
    await turn()
  }
  assert.equal(begun.length, 30 + 30 + 6 + 1, 'and nobody is left waiting')
  send(greedy, 1)
  assert.equal(begun.length, 68)
})
