/**
 * Where a segment is in its life.
 *
 * `making`: not part of the log yet. Compaction fills it, or it was found on the disk and is being looked at.
 * `active`: the last of the log, the one that is appended to.
 * `rolled`: full. Its bytes may still be on their way, its side files are not written.
 * `closed`: everything is on the disk, so what is in memory of it can be dropped.
 * `retired`: no longer part of the log. Who holds its file reads on; nobody else gets it, and nothing is made in its name.
 */
export type SegmentState = 'making' | 'active' | 'rolled' | 'closed' | 'retired'

/** A truncation makes a segment active again. */
export const FOLLOWS: Readonly<Record<SegmentState, readonly SegmentState[]>> = {
  making: ['active', 'closed', 'retired'],
  active: ['rolled', 'retired'],
  rolled: ['closed', 'active', 'retired'],
  closed: ['active', 'retired'],
  retired: [],
}
