import { countDeletable } from '../segment/retention.ts'
import type { LogBody } from './log-body.ts'

/** One round of retention over one log. Resolves to how many segments went. A task of the log. */
export async function applyRetention(body: LogBody, nowMs: number, highWatermark: number): Promise<number> {
  const { config, list, names, producers } = body
  producers.expire(nowMs, config.producerIdExpirationMs)
  const count = countDeletable(body, config, nowMs, Math.min(highWatermark, body.writtenEndOffset))
  if (count === 0 || body.closing) return count
  if (count === list.count) body.roll()
  const segments = list.all.slice(0, count)
  list.removeOldest(count)
  body.startAt(Math.max(body.logStartOffset, list.oldest.baseOffset))
  for (const [i, segment] of segments.entries()) {
    await names.removing()
    await body.retire(segment, (segments[i + 1] ?? list.oldest).baseOffset)
  }
  body.logger.info({ segments: count, logStartOffset: body.logStartOffset }, 'deleted old segments')
  return count
}
