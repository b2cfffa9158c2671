/** Topics of an answer but those of which no partition was named: as Kafka, that says nothing of them. */
export function withoutEmpty<Topic extends { readonly partitions: readonly unknown[] }>(
  topics: readonly Topic[],
): Topic[] {
  return topics.filter(({ partitions }) => partitions.length > 0)
}
