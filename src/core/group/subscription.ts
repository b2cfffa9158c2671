/** Protocol type of consumers: only for these may the coordinator look into the members' metadata. */
export const CONSUMER_PROTOCOL_TYPE = 'consumer'

/** int16 version and int32 count of topics. */
const HEADER_BYTES = 6
const VERSION_BYTES = 2
/** Topics that are read of all members together: some milliseconds. Who lists more is taken for somebody unreadable. */
export const MAX_TOPICS_READ = 100_000

/**
 * Which of these topics are among what members subscribe to, by their ConsumerProtocolSubscription: int16 version,
 * then an array of strings in every version, which is all that is read, so that versions to come do no harm. Null when
 * it cannot be known: the bytes are something else, or there are too many of them.
 *
 * Nothing of it is remembered: members may list millions of topics, and the question comes rarely.
 */
export function subscribedAmong(
  topics: ReadonlySet<string>,
  subscriptions: Iterable<Buffer>,
): ReadonlySet<string> | null {
  const found = new Set<string>()
  let read = 0
  let before: Buffer | null = null
  for (const metadata of subscriptions) {
    if (metadata.length < HEADER_BYTES || metadata.readInt16BE(0) < 0) return null
    // Members of a group subscribe to the same as a rule.
    if (before !== null && listsSame(metadata, before)) continue
    const count = metadata.readInt32BE(VERSION_BYTES)
    read += count
    if (count < 0 || read > MAX_TOPICS_READ) return null
    const end = readTopics(metadata, count, topics, found)
    if (end === null) return null
    before = metadata.subarray(VERSION_BYTES, end)
  }
  return found
}

/** Adds those of `topics` that are listed to `found`; where the list ends, or null when the bytes end before. */
function readTopics(
  metadata: Buffer,
  count: number,
  topics: ReadonlySet<string>,
  found: Set<string>,
): number | null {
  let position = HEADER_BYTES
  for (let i = 0; i < count; i++) {
    if (position + 2 > metadata.length) return null
    const length = metadata.readInt16BE(position)
    position += 2
    if (length < 0 || position + length > metadata.length) return null
    const topic = metadata.toString('utf8', position, position + length)
    if (topics.has(topic)) found.add(topic)
    position += length
  }
  return position
}

function listsSame(metadata: Buffer, list: Buffer): boolean {
  const end = VERSION_BYTES + list.length
  return metadata.length >= end && metadata.compare(list, 0, list.length, VERSION_BYTES, end) === 0
}
