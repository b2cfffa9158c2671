import { syncDirectory, syncFile } from '../files/disk-calls.ts'
import { floorSegment } from '../read/log-reader.ts'
import { loadProducers } from '../recovery/producer-recovery.ts'
import type { LogBody } from './log-body.ts'

/** Drops all records at and above `offset`, which is in the log. A task of the log. */
export async function truncate(body: LogBody, offset: number): Promise<void> {
  const { list, epochs, producers, snapshots, transactions, world } = body
  const keep = floorSegment(list.all, offset)
  for (const segment of list.keepOldest(keep + 1)) await body.bin.remove(segment)
  const { active } = list
  await active.reopenUpTo(offset)
  active.mayGrowLoose()
  await active.cutToSize()
  await syncFile(active.openFile())
  epochs.truncateFromEnd(offset)
  transactions.truncateFromEnd(offset)
  body.endAt(offset)
  await snapshots.removeAbove(offset)
  await loadProducers(snapshots, list.all, producers, offset, world.clock)
  await syncDirectory(world.disk, body.directory)
}

/** Drops all records; the next one gets `offset`. A task of the log. */
export async function startOver(body: LogBody, offset: number): Promise<void> {
  const { list, epochs, producers, snapshots, transactions, world } = body
  for (const segment of list.all) await body.bin.remove(segment)
  await snapshots.removeAbove(-1)
  producers.clear()
  epochs.clear()
  transactions.truncateFromEnd(0)
  body.logStartOffset = offset
  list.startOver(body.makeSegment(offset))
  body.endAt(offset)
  await syncDirectory(world.disk, body.directory)
}
