import zlib from 'node:zlib'
import type { Steps } from '../../protocol/compile.ts'
import { CompressionError } from '../../protocol/compression-error.ts'
import { Codec, allSteps } from '../../protocol/compression.ts'
import { lz4FrameInSteps } from '../../protocol/lz4.ts'
import { compressSnappyInSteps } from '../../protocol/snappy.ts'
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
  const steps = compressedInSteps(natives, codec, data)
  if (steps !== null) return allSteps(steps)
  switch (codec) {
    case Codec.NONE:
      return data
    case Codec.GZIP:
      return zlib.gzipSync(data, { level: level ?? zlib.constants.Z_DEFAULT_COMPRESSION })
    case Codec.ZSTD: {
      const native = natives.zstd()
      if (native !== null) return native.encode(data, level ?? DEFAULT_ZSTD_LEVEL)
      break
    }
  }
  throw new CompressionError('unsupported', `codec ${codec} cannot be written here`)
}

/** What takes long on the thread pool, or in turns. */
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
  const steps = compressedInSteps(natives, codec, data)
  return steps === null ? compressNow(natives, codec, level, data) : await inTurns(steps)
}

/** The codecs whose blocks do not depend on each other. Null for the others, and what cannot be written. */
function compressedInSteps(natives: NativeCodecs, codec: number, data: Buffer): Steps<Buffer> | null {
  if (codec === Codec.SNAPPY) {
    const native = natives.snappy()
    return native === null
      ? compressSnappyInSteps(data)
      : compressSnappyInSteps(data, (block) => native.encode(block))
  }
  const native = codec === Codec.LZ4 ? natives.lz4() : null
  return native === null ? null : lz4FrameInSteps(data, (block) => native.encode(block))
}

/** Lets others have theirs in between. */
async function inTurns<Result>(steps: Steps<Result>): Promise<Result> {
  for (let endsMs = performance.now() + SLICE_MS; ;) {
    const step = steps.next()
    if (step.done === true) return step.value
    if (performance.now() < endsMs) continue
    await new Promise(setImmediate)
    endsMs = performance.now() + SLICE_MS
  }
}

const DEFAULT_ZSTD_LEVEL = 3
/** What may be done in one turn. */
const SLICE_MS = 4
