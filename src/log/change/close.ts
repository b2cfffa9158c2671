import { SamsaError } from '../../core/samsa-error.ts'
import { syncFile } from '../files/disk-calls.ts'
import type { LogBody } from './log-body.ts'

/** Ends a log, once. `clean`: everything is durable, and the files are what a start without a scan takes them for. */
export async function closeLog(body: LogBody, clean: boolean): Promise<void> {
  if (body.closing) return
  body.closing = true
  await body.writer.drained()
  body.writer.stop()
  let settled = true
  if (clean) {
    settled = await body.flusher.run(() => settle(body))
    // A power loss may take the names of a log that was never written to: they are made again.
    if (settled && (body.sideFilesStale || body.logEndOffset > 0)) settled = await body.flusher.close()
  }
  await body.flusher.run(() => body.bin.empty())
  body.flusher.stop()
  body.closed = true
  // A fresh start that failed half way leaves some that are.
  for (const segment of body.segments) if (!segment.retired) segment.become('retired')
  if (!settled && !body.failed)
    throw new SamsaError('SAMSA_DISK_IO', `no descriptor to close ${body.directory} with`)
}

/**
 * Makes everything durable and writes the files that a clean stop leaves, and the log goes on. Nothing may be appended
 * meanwhile. False: the log failed.
 */
export async function settleLog(body: LogBody): Promise<boolean> {
  await body.writer.drained()
  // What waits for `flush.messages` is seen by readers once it is on the device.
  if (!(await body.flusher.flush()) || !(await body.flusher.run(() => writeSideFiles(body)))) return false
  return (await body.flusher.close()) && !body.failed && body.writtenEndOffset === body.logEndOffset
}

async function settle(body: LogBody): Promise<void> {
  const { names } = body
  const { active } = body.list
  if (active.loose) {
    if (active.recycled) await names.persist()
    await active.cutToSize()
    await syncFile(active.openFile())
  }
  await writeSideFiles(body)
}

async function writeSideFiles(body: LogBody): Promise<void> {
  const { flusher, logEndOffset, names } = body
  const { active } = body.list
  if (body.sideFilesStale) {
    await active.writeIndexes(true)
    await flusher.writeTransactionIndex(active, logEndOffset)
    await body.snapshots.write(logEndOffset, body.producers.encodeSnapshot())
    names.changed()
  } else if (active.sizeBytes === 0) {
    await active.makeIndexFiles()
  }
}
