import { closeSync, constants, fdatasync, fsyncSync, openSync, unlinkSync, write, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type NativeAddon, loadNativeAddon } from '../../src/system/native-addon.ts'
import { nowUs } from '../load/clock.ts'
import { LatencyMeter, UsageMeter } from '../load/meters.ts'
import type {
  FilesProbe,
  FilesResult,
  FlushProbe,
  FlushResult,
  Probe,
  ProbeReply,
  ReadProbe,
  ReadResult,
  RingProbe,
  RingResult,
} from './probe-spec.ts'
import { RingLoop } from './ring-loop.ts'

/** Measures the disk by itself, in a process of its own: one probe over IPC, one answer, and the end. */

const BLOCK_BYTES = 4_096
const ZEROS_BYTES = 1 << 20

class Unavailable extends Error {}

function addon(): NativeAddon {
  const loaded = loadNativeAddon()
  if (loaded.addon === null) throw new Unavailable(`no addon: ${loaded.reason ?? ''}`)
  return loaded.addon
}

/** Files whose blocks exist and are written, so that a write over them changes no metadata. */
function zeroWritten(directory: string, count: number, bytes: number, flags: number): number[] {
  const zeros = Buffer.alloc(Math.min(ZEROS_BYTES, bytes))
  const fds: number[] = []
  for (let i = 0; i < count; i++) {
    const path = join(directory, String(i))
    const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, 0o600)
    for (let at = 0; at < bytes; at += zeros.length) writeSync(fd, zeros, 0, zeros.length, at)
    fsyncSync(fd)
    closeSync(fd)
    fds.push(openSync(path, flags))
  }
  return fds
}

function removeAll(directory: string, fds: readonly number[]): void {
  for (const [i, fd] of fds.entries()) {
    closeSync(fd)
    unlinkSync(join(directory, String(i)))
  }
}

function flush({ directory, measureMs, blockStatPath }: FlushProbe): FlushResult {
  const bytes = 16 << 20
  const [fd] = zeroWritten(directory, 1, bytes, constants.O_RDWR | constants.O_DSYNC)
  if (fd === undefined) throw new Error('no file')
  const block = Buffer.alloc(BLOCK_BYTES, 0x5a)
  const latency = new LatencyMeter()
  const usage = new UsageMeter([0], blockStatPath)
  const startUs = nowUs()
  let now = startUs
  for (let at = 0; now - startUs < measureMs * 1_000; at = (at + BLOCK_BYTES) % bytes) {
    writeSync(fd, block, 0, BLOCK_BYTES, at)
    const done = nowUs()
    latency.record(done - now)
    now = done
  }
  const used = usage.stop()
  removeAll(directory, [fd])
  const { count, p50, p99 } = latency.summary()
  return { count, p50, p99, perSecond: (count * 1e6) / (now - startUs), block: used.block }
}

const DIRECT_DSYNC = constants.O_RDWR | constants.O_DIRECT | constants.O_DSYNC

/** No more than this is written with zeros beforehand, all files together. */
const RING_TOTAL_BYTES = 512 << 20

async function ring(probe: RingProbe): Promise<RingResult> {
  const { directory, files, inFlight, writeBytes, measureMs, blockStatPath } = probe
  const native = addon()
  const places = Math.max(1, Math.min(1_024, Math.floor(RING_TOTAL_BYTES / files / writeBytes)))
  const fds = zeroWritten(directory, files, places * writeBytes, DIRECT_DSYNC)
  const memory = native.alignedBuffer(inFlight * writeBytes)
  memory.fill(0x5a)
  const latency = new LatencyMeter()
  const sentUs = new Float64Array(inFlight)
  let next = 0
  let measuring = false
  const loop = new RingLoop(native, inFlight, {
    queue: (ring, slot) => {
      const file = next % files
      const place = Math.floor(next / files) % places
      next++
      sentUs[slot] = nowUs()
      return ring.write(slot, fds[file]!, memory, slot * writeBytes, writeBytes, place * writeBytes, false)
    },
    done: (slot, bytes) => {
      if (bytes !== writeBytes) throw new Error(`a write of ${writeBytes} bytes wrote ${bytes}`)
      if (measuring) latency.record(nowUs() - sentUs[slot]!)
    },
  })
  await loop.run(measureMs / 4)
  measuring = true
  const usage = new UsageMeter([0], blockStatPath)
  const startUs = nowUs()
  await loop.run(measureMs)
  const elapsedUs = nowUs() - startUs
  const used = usage.stop()
  loop.close()
  removeAll(directory, fds)
  const { count, p50, p99 } = latency.summary()
  const cpu = used.generatorCpu.user + used.generatorCpu.system
  return {
    files,
    inFlight,
    writeBytes,
    perSecond: (count * 1e6) / elapsedUs,
    p50,
    p99,
    cpuUs: cpu / count,
    writes: count,
    block: used.block,
  }
}

async function appendToFiles(probe: FilesProbe): Promise<FilesResult> {
  const { method, files, appends, writeBytes, blockStatPath } = probe
  const direct = method === 'ring-1' || method === 'ring-256'
  const append = direct ? ringAppends(probe) : plainAppends(probe)
  const usage = new UsageMeter([0], blockStatPath)
  const startUs = nowUs()
  await append.run()
  const elapsedUs = nowUs() - startUs
  const used = usage.stop()
  append.close()
  const cpu = used.generatorCpu.user + used.generatorCpu.system
  return {
    method,
    files,
    appends,
    writeBytes,
    perSecond: (appends * 1e6) / elapsedUs,
    cpuUs: cpu / appends,
    block: used.block,
  }
}

interface Appends {
  run(): Promise<void>
  close(): void
}

function emptyFiles({ directory, files }: FilesProbe): number[] {
  const fds: number[] = []
  for (let i = 0; i < files; i++) fds.push(openSync(join(directory, String(i)), 'w', 0o600))
  const folder = openSync(directory, 'r')
  fsyncSync(folder)
  closeSync(folder)
  return fds
}

const POOL_FILES = 64

function plainAppends(probe: FilesProbe): Appends {
  const { method, files, appends, writeBytes, directory } = probe
  const fds = emptyFiles(probe)
  const batch = Buffer.alloc(writeBytes, 0x5a)
  const close = (): void => removeAll(directory, fds)
  if (method === 'fsync') {
    const run = async (): Promise<void> => {
      for (let i = 0; i < appends; i++) {
        const fd = fds[i % files]!
        writeSync(fd, batch)
        fsyncSync(fd)
      }
    }
    return { run, close }
  }
  let next = 0
  // Appends of one file follow each other, those of different files need not.
  const worker = async (): Promise<void> => {
    for (let i = next++; i < appends; i = next++) await appendOnce(fds[i % files]!, batch)
  }
  const run = async (): Promise<void> => {
    await Promise.all(Array.from({ length: Math.min(POOL_FILES, files) }, worker))
  }
  return { run, close }
}

function appendOnce(fd: number, batch: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    write(fd, batch, (failed) => {
      if (failed !== null) reject(failed)
      else fdatasync(fd, (error) => (error === null ? resolve() : reject(error)))
    })
  })
}

function ringAppends(probe: FilesProbe): Appends {
  const { method, files, appends, writeBytes, directory } = probe
  const native = addon()
  const inFlight = method === 'ring-1' ? 1 : 256
  const fds = zeroWritten(directory, files, Math.ceil(appends / files) * writeBytes, DIRECT_DSYNC)
  const memory = native.alignedBuffer(inFlight * writeBytes)
  memory.fill(0x5a)
  let next = 0
  const loop = new RingLoop(native, inFlight, {
    queue: (ring, slot) => {
      const position = Math.floor(next / files) * writeBytes
      const fd = fds[next % files]!
      next++
      return ring.write(slot, fd, memory, slot * writeBytes, writeBytes, position, false)
    },
    done: (_slot, bytes) => {
      if (bytes !== writeBytes) throw new Error(`a write of ${writeBytes} bytes wrote ${bytes}`)
    },
  })
  return {
    run: () => loop.count(appends),
    close: () => {
      loop.close()
      removeAll(directory, fds)
    },
  }
}

const READ_BYTES = 1 << 20

async function read(probe: ReadProbe): Promise<ReadResult> {
  const { directory, inFlight, fileBytes, measureMs } = probe
  const native = addon()
  const fds = zeroWritten(directory, 1, fileBytes, constants.O_RDONLY | constants.O_DIRECT)
  const memory = native.alignedBuffer(inFlight * READ_BYTES)
  const places = Math.floor(fileBytes / READ_BYTES)
  let next = 0
  let bytesRead = 0
  const loop = new RingLoop(native, inFlight, {
    queue: (ring, slot) =>
      ring.read(slot, fds[0]!, memory, slot * READ_BYTES, READ_BYTES, (next++ % places) * READ_BYTES, false),
    done: (_slot, bytes) => {
      if (bytes !== READ_BYTES) throw new Error(`a read of ${READ_BYTES} bytes got ${bytes}`)
      bytesRead += bytes
    },
  })
  const startUs = nowUs()
  await loop.run(measureMs)
  const elapsedUs = nowUs() - startUs
  loop.close()
  removeAll(directory, fds)
  return { bytesPerSecond: (bytesRead * 1e6) / elapsedUs }
}

async function measure(probe: Probe): Promise<FlushResult | RingResult | FilesResult | ReadResult> {
  switch (probe.kind) {
    case 'flush':
      return flush(probe)
    case 'ring':
      return ring(probe)
    case 'files':
      return appendToFiles(probe)
    case 'read':
      return read(probe)
  }
}

function reply(message: ProbeReply): void {
  process.send?.(message, () => process.exit(message.kind === 'failed' ? 1 : 0))
}

function failed(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error)
  reply({ kind: error instanceof Unavailable ? 'unavailable' : 'failed', message })
}

process.on('uncaughtException', failed)
process.once('disconnect', () => process.exit(1))
process.once('message', (probe: Probe) => {
  measure(probe).then((result) => reply({ kind: 'result', result }), failed)
})
