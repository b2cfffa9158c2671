import zlib from 'node:zlib'

/** zstd of Node.js itself, from 22.15 on. */
export interface NativeZstd {
  decode(frame: Buffer, maxOutputBytes: number): Buffer
  stream(chunkSize: number): zlib.Gunzip
}

type Decode = (data: Buffer, options: zlib.ZlibOptions) => Buffer
type Create = (options: zlib.ZlibOptions) => zlib.Gunzip

/** Null below. */
export const nativeZstd: NativeZstd | null = nodeZstd()

function nodeZstd(): NativeZstd | null {
  const decode: unknown = Reflect.get(zlib, 'zstdDecompressSync')
  const create: unknown = Reflect.get(zlib, 'createZstdDecompress')
  if (typeof decode !== 'function' || typeof create !== 'function') return null
  return {
    decode: (frame, maxOutputBytes) => {
      const bytes = Math.max(64, maxOutputBytes)
      return (decode as Decode)(frame, { maxOutputLength: bytes, chunkSize: bytes })
    },
    stream: (chunkSize) => (create as Create)({ chunkSize }),
  }
}
