/** Protocol type of consumers: only for these may the coordinator look into the members' metadata. */
export const CONSUMER_PROTOCOL_TYPE = 'consumer'

/**
 * The topics of a ConsumerProtocolSubscription: int16 version, then an array of strings in every version, which is
 * all that is read, so that versions to come do no harm. Null when the bytes are something else.
 */
export function subscribedTopics(metadata: Buffer): string[] | null {
  if (metadata.length < 6 || metadata.readInt16BE(0) < 0) return null
  const count = metadata.readInt32BE(2)
  // Each topic takes two bytes at least: a count from the wire is never believed.
  if (count < 0 || count * 2 > metadata.length - 6) return null
  const topics: string[] = []
  let position = 6
  for (let i = 0; i < count; i++) {
    if (position + 2 > metadata.length) return null
    const length = metadata.readInt16BE(position)
    position += 2
    if (length < 0 || position + length > metadata.length) return null
    topics.push(metadata.toString('utf8', position, position + length))
    position += length
  }
  return topics
}
