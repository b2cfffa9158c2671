const LEGAL_NAME = /^[a-zA-Z0-9._-]{1,249}$/
/** Committed offsets and groups: written by the broker, never by clients. */
export const OFFSETS_TOPIC = '__consumer_offsets'
/** Topics that brokers keep for themselves. */
const INTERNAL_TOPICS: ReadonlySet<string> = new Set([
  OFFSETS_TOPIC,
  '__transaction_state',
  '__share_group_state',
])
/** Where Kafka's controllers keep their log: a directory of this name is not a topic's. */
export const CLUSTER_METADATA = '__cluster_metadata'

export function isInternalTopic(name: string): boolean {
  return INTERNAL_TOPICS.has(name)
}

/** Null when a topic may have the name; otherwise a sentence for the client. */
export function topicNameProblem(name: string): string | null {
  if (name === '') return 'Topic name is invalid: it must not be empty.'
  if (name === '.' || name === '..') return `Topic name is invalid: it must not be '${name}'.`
  if (name.length > 249) return 'Topic name is invalid: it must not be longer than 249 characters.'
  if (!LEGAL_NAME.test(name))
    return `Topic name is invalid: '${name}' holds characters other than ASCII letters, digits, '.', '_' and '-'.`
  return null
}

/** Metric names cannot tell `.` from `_`, so of two topics that differ only there one is refused. */
export function collisionKey(name: string): string {
  return name.replaceAll('.', '_')
}
