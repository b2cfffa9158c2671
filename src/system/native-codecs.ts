import { createRequire } from 'node:module'
import zlib from 'node:zlib'
import type * as NodeZstd from '@toondepauw/node-zstd'
import type * as Lz4 from 'lz4-napi'
import type * as Snappy from 'snappy'

/**
 * What compresses and decompresses outside of JavaScript, or null where it is not. The packages are optional and bring
 * their binaries for each platform; each is loaded when a batch asks for it, for a start must not wait for it.
 */
export interface NativeSnappy {
  decode(block: Buffer): Buffer
  decodeOnPool(block: Buffer): Promise<Buffer>
  encode(block: Buffer): Buffer
}

export interface NativeLz4 {
  /** Throws when the block becomes longer. */
  decode(block: Buffer, maxOutputBytes: number): Buffer
  encode(block: Buffer): Buffer
}

export interface NativeZstd {
  /** One frame. */
  decode(frame: Buffer, maxOutputBytes: number): Buffer
  decodeOnPool(frame: Buffer): Promise<Buffer>
  encode(data: Buffer, level: number): Buffer
  encodeOnPool(data: Buffer, level: number): Promise<Buffer>
  /** Null where a frame can only be decoded as a whole. */
  readonly stream: ((chunkSize: number) => zlib.Gunzip) | null
}

export interface NativeCodecs {
  readonly snappy: () => NativeSnappy | null
  readonly lz4: () => NativeLz4 | null
  readonly zstd: () => NativeZstd | null
}

const load = createRequire(import.meta.url)

const snappy = once((): NativeSnappy => {
  const library = load('snappy') as typeof Snappy
  // Buffers of the library's own are collected late.
  const options = { copyOutputData: true }
  return {
    decode: (block) => library.uncompressSync(block, options) as Buffer,
    decodeOnPool: (block) => library.uncompress(block, options) as Promise<Buffer>,
    encode: (block) => library.compressSync(block, options),
  }
})

/** The library has the length of the output before the block. */
const SIZE_BYTES = 4
/** What a block becomes as a rule, at most; the library clears all that it may become. */
const USUAL_RATIO = 8
const LEAST_GUESS_BYTES = 4096

const lz4 = once((): NativeLz4 => {
  const library = load('lz4-napi') as typeof Lz4
  const sized = (block: Buffer, maxOutputBytes: number): Buffer => {
    const input = Buffer.allocUnsafe(SIZE_BYTES + block.length)
    block.copy(input, SIZE_BYTES)
    input.writeUInt32LE(maxOutputBytes, 0)
    return input
  }
  return {
    decode(block, maxOutputBytes) {
      const least = Math.max(LEAST_GUESS_BYTES, block.length * USUAL_RATIO)
      for (let guessed = least; guessed < maxOutputBytes; guessed *= USUAL_RATIO) {
        try {
          return library.uncompressSync(sized(block, guessed))
        } catch {
          // It becomes longer, or it is no block at all.
        }
      }
      return library.uncompressSync(sized(block, maxOutputBytes))
    },
    encode: (block) => library.compressSync(block).subarray(SIZE_BYTES),
  }
})

/** Node.js has its own from 22.15 on. */
const zstd = once((): NativeZstd => nodeZstd() ?? zstdPackage())

function zstdPackage(): NativeZstd {
  const { Decoder, Encoder } = load('@toondepauw/node-zstd') as typeof NodeZstd
  const decoder = new Decoder()
  return {
    decode: (frame) => decoder.decodeSync(frame),
    decodeOnPool: (frame) => decoder.decode(frame),
    encode: (data, level) => new Encoder(level).encodeSync(data),
    encodeOnPool: (data, level) => new Encoder(level).encode(data),
    stream: null,
  }
}

export const installedCodecs: NativeCodecs = { snappy, lz4, zstd }

type Call = (data: Buffer, options: object, done: (error: Error | null, bytes: Buffer) => void) => void

function nodeZstd(): NativeZstd | null {
  const [decode, decodeOnPool, encode, encodeOnPool, create, constants] = [
    'zstdDecompressSync',
    'zstdDecompress',
    'zstdCompressSync',
    'zstdCompress',
    'createZstdDecompress',
    'constants',
  ].map((name): unknown => Reflect.get(zlib, name))
  if (typeof decode !== 'function') return null
  const levelKey = (constants as Record<string, number>)['ZSTD_c_compressionLevel']!
  return {
    decode: (frame, maxOutputBytes) => {
      const bytes = Math.max(64, maxOutputBytes)
      return Reflect.apply(decode, zlib, [frame, { maxOutputLength: bytes, chunkSize: bytes }]) as Buffer
    },
    decodeOnPool: (frame) => onPool(decodeOnPool as Call, frame, {}),
    encode: (data, level) =>
      Reflect.apply(encode as () => unknown, zlib, [data, { params: { [levelKey]: level } }]) as Buffer,
    encodeOnPool: (data, level) => onPool(encodeOnPool as Call, data, { params: { [levelKey]: level } }),
    stream: (chunkSize) => Reflect.apply(create as () => unknown, zlib, [{ chunkSize }]) as zlib.Gunzip,
  }
}

export function onPool(call: Call, data: Buffer, options: object): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    call(data, options, (error, bytes) => {
      if (error === null) resolve(bytes)
      else reject(error)
    })
  })
}

function once<Native>(make: () => Native): () => Native | null {
  let made: Native | null | undefined
  return () => {
    if (made !== undefined) return made
    try {
      made = make()
    } catch {
      made = null
    }
    return made
  }
}
