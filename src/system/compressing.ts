import zlib from 'node:zlib'
import { CompressionError } from '../../protocol/compression-error.ts'
import { Codec } from '../../protocol/compression.ts'
import { lz4Frame } from '../../protocol/lz4.ts'
import { compressSnappy } from '../../protocol/snappy.ts'
import { onPool } from './native-codecs.ts'
import type { NativeCodecs } from './native-codecs.ts'

/** Whether there is something here that writes the codec. */
export function canCompress(natives: NativeCodecs, codec: number): boolean {
  if (codec === Codec.LZ4) return natives.lz4() !== null
  return codec === Codec.ZSTD ? natives.zstd() !== null : true
}

/** On the loop. `level`: null for the codec's own; lz4 and snappy have one. */
export function compressNow(
  natives: NativeCodecs,
  codec: number,
  level: number | null,
  data: Buffer,
): Buffer {
  switch (codec) {
    case Codec.NONE:
      return data
    case Codec.GZIP:
      return zlib.gzipSync(data, { level: level ?? zlib.constants.Z_DEFAULT_COMPRESSION })
    case Codec.SNAPPY: {
      const native = natives.snappy()
      return native === null ? compressSnappy(data) : compressSnappy(data, (block) => native.encode(block))
    }
    case Codec.LZ4: {
      const native = natives.lz4()
      if (native !== null) return lz4Frame(data, (block) => native.encode(block))
      break
    }
    case Codec.ZSTD: {
      const native = natives.zstd()
      if (native !== null) return native.encode(data, level ?? DEFAULT_ZSTD_LEVEL)
      break
    }
  }
  throw new CompressionError('unsupported', `codec ${codec} cannot be written here`)
}

/** What takes long on the thread pool. */
export async function compressOnPool(
  natives: NativeCodecs,
  codec: number,
  level: number | null,
  data: Buffer,
): Promise<Buffer> {
  if (codec === Codec.GZIP)
    return await onPool(zlib.gzip, data, { level: level ?? zlib.constants.Z_DEFAULT_COMPRESSION })
  const zstd = codec === Codec.ZSTD ? natives.zstd() : null
  if (zstd !== null) return await zstd.encodeOnPool(data, level ?? DEFAULT_ZSTD_LEVEL)
  return compressNow(natives, codec, level, data)
}

const DEFAULT_ZSTD_LEVEL = 3
