import { isActive } from '../../core/replication/partition-state.ts'
import type { MetadataImage, PartitionImage } from '../image/metadata-image.ts'

/** More of a broker's share than this is led by others: it gets it back. Kafka's default, which nobody changes. */
const IMBALANCE = 0.1

/**
 * Partitions whose first replica should lead them again, because a broker that is the first one of many leads too few. Only
 * those that can: it serves, and is in sync.
 */
export function imbalanced({ topics, brokers }: MetadataImage): PartitionImage[] {
  const shares = new Map<number, { all: number; elsewhere: PartitionImage[] }>()
  for (const { partitions } of topics.values())
    for (const partition of partitions) {
      const preferred = partition.replicas[0]!
      const share = shares.get(preferred) ?? { all: 0, elsewhere: [] }
      shares.set(preferred, share)
      share.all += 1
      if (partition.leader !== preferred) share.elsewhere.push(partition)
    }
  return [...shares].flatMap(([id, { all, elsewhere }]) => {
    if (!isActive(brokers.get(id)) || elsewhere.length / all <= IMBALANCE) return []
    return elsewhere.filter(({ isr, leader }) => leader !== -1 && isr.includes(id))
  })
}
