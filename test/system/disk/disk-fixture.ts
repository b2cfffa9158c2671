import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import type { DiskError, File } from '../../../src/ports.ts'
import type { Seeded } from '../../support/seed.ts'

/** Paths in a directory that is removed after the tests of this file. */
export function freshPaths(): { readonly directory: string; next(): string } {
  const directory = fs.mkdtempSync(join(os.tmpdir(), 'samsa-disk-'))
  after(() => fs.rmSync(directory, { recursive: true, force: true }))
  let names = 0
  return { directory, next: () => join(directory, `file-${names++}`) }
}

type Done = (error: DiskError | null) => void

function finished(start: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => start((error) => (error === null ? resolve() : reject(error))))
}

export function write(file: File, position: number, buffers: Buffer[], durable = false): Promise<void> {
  return finished((done) => file.write(position, buffers, durable, done))
}

export function truncate(file: File, sizeBytes: number): Promise<void> {
  return finished((done) => file.truncate(sizeBytes, done))
}

export function reserve(file: File, sizeBytes: number): Promise<void> {
  return finished((done) => file.reserve(sizeBytes, done))
}

export function sync(file: File): Promise<void> {
  return finished((done) => file.sync(done))
}

export function read(file: File, position: number, length: number): Promise<Buffer> {
  const into = Buffer.alloc(length)
  return new Promise((resolve, reject) => {
    file.read(position, into, (error, count) =>
      error === null ? resolve(into.subarray(0, count)) : reject(error),
    )
  })
}

/** Random bytes without a zero among them, so that padding is never taken for them. */
export function randomBytes(random: Seeded, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  let state = random.uint32() | 1
  for (let i = 0; i < length; i++) {
    state = Math.imul(state, 1_664_525) + 1_013_904_223
    bytes[i] = ((state >>> 24) % 255) + 1
  }
  return bytes
}

/** Cuts bytes into buffers of random lengths, some of them empty. */
export function inPieces(random: Seeded, bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = []
  let at = 0
  while (at < bytes.length) {
    const length = random.between(0, 3) === 0 ? 0 : random.between(1, bytes.length - at)
    pieces.push(bytes.subarray(at, at + length))
    at += length
  }
  return pieces
}

/** What a file must look like: the expected bytes, then nothing but zeros. Returns what is wrong; null for nothing. */
export function difference(path: string, expected: Buffer): string | null {
  const actual = fs.readFileSync(path)
  if (actual.length < expected.length) return `${actual.length} bytes in place of ${expected.length}`
  if (!actual.subarray(0, expected.length).equals(expected)) {
    let at = 0
    while (actual[at] === expected[at]) at++
    return `byte ${at} of ${expected.length} is ${actual[at]} in place of ${expected[at]}`
  }
  for (let at = expected.length; at < actual.length; at++) {
    if (actual[at] !== 0) return `byte ${at}, behind the end at ${expected.length}, is ${actual[at]}`
  }
  return null
}
