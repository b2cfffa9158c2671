/** Which brokers get the replicas of new partitions. */

export interface Candidate {
  readonly id: number
  /** Null: nobody said. */
  readonly rack: string | null
}

/**
 * Replicas of `count` partitions, the first of which has the index `from`: leaders in turn, and each time round the followers
 * of a leader are others, so that the load of one that dies falls on all. Where every broker has a rack, no rack gets a
 * second replica of a partition before each has one. `start`: the broker that leads partition 0.
 */
export function assignReplicas(
  count: number,
  replicas: number,
  from: number,
  start: number,
  candidates: readonly Candidate[],
): number[][] {
  const brokers = alternatingRacks(candidates)
  return Array.from({ length: count }, (_, at) => {
    const index = from + at
    const shift = Math.floor(index / brokers.length)
    return choose(brokers, (start + index) % brokers.length, shift, replicas)
  })
}

function choose(brokers: readonly Candidate[], first: number, shift: number, replicas: number): number[] {
  const leader = brokers[first]!
  const others = brokers.length - 1
  // All but the leader, beginning at another place each time round.
  const order = Array.from(
    { length: others },
    (_, at) => brokers[(first + 1 + ((shift + at) % others)) % brokers.length]!,
  )
  const racks = new Set([leader.rack])
  const chosen = [leader]
  const allRacks = new Set(brokers.map(({ rack }) => rack))
  while (chosen.length < replicas) {
    const isFresh = ({ rack }: Candidate): boolean =>
      allRacks.has(null) || !racks.has(rack) || racks.size === allRacks.size
    const at = order.findIndex(isFresh)
    const [next] = order.splice(at === -1 ? 0 : at, 1)
    chosen.push(next!)
    racks.add(next!.rack)
  }
  return chosen.map(({ id }) => id)
}

/** Neighbours are in different racks, as far as that goes. */
function alternatingRacks(candidates: readonly Candidate[]): readonly Candidate[] {
  const sorted = candidates.toSorted((left, right) => left.id - right.id)
  if (sorted.some(({ rack }) => rack === null)) return sorted
  const byRack = new Map<string, Candidate[]>()
  for (const candidate of sorted) {
    const inRack = byRack.get(candidate.rack!)
    if (inRack === undefined) byRack.set(candidate.rack!, [candidate])
    else inRack.push(candidate)
  }
  const racks = [...byRack.keys()].toSorted().map((rack) => byRack.get(rack)!)
  const rounds = Math.max(...racks.map((inRack) => inRack.length))
  return Array.from({ length: rounds }, (_, round) => racks.flatMap((inRack) => inRack[round] ?? [])).flat()
}
