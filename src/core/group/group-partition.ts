/**
 * The partition of the offsets topic that holds a group: Java's `String.hashCode` over UTF-16 units, as Kafka
 * computes it, so that a data directory can change hands.
 */
export function groupPartition(groupId: string, partitionCount: number): number {
  let hash = 0
  for (let i = 0; i < groupId.length; i++) hash = (Math.imul(31, hash) + groupId.charCodeAt(i)) | 0
  // Kafka's Utils.abs: the one int32 that has no positive counterpart becomes 0.
  const positive = hash === -0x8000_0000 ? 0 : Math.abs(hash)
  return positive % partitionCount
}
