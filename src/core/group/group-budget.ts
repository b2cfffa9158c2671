import type { Now } from '../deadline-queue.ts'
import type { Group } from './group.ts'
import type { GroupOwner } from './group-owner.ts'
import type { GroupConfig } from './group-types.ts'

type GroupLimits = Pick<GroupConfig, 'maxGroups' | 'maxStateBytes'>

/**
 * `members`: somebody joins or joined. `offsets`: only commits are known, of a consumer that manages its partitions
 * itself. Each kind has a budget of its own: the second is kept for a week, and must not bar the way of the first.
 */
export type GroupKind = 'members' | 'offsets'

/** Nobody's group goes that was heard of in this time: consumers send heartbeats every three seconds. */
const MIN_IDLE_MS = 10_000
/** Evictions that one request can cause. */
const MAX_EVICTIONS = 4

/** What somebody holds: all, a host, a client of a host, or a connection of a client. */
class Holding {
  groups = 0
  bytes = 0
  /** Groups without offsets, and when they were put there; without members, then with. */
  readonly idle: readonly [Map<Group, number>, Map<Group, number>] = [new Map(), new Map()]
  /** Those it is made of, as far as they hold something. */
  readonly parts = new Map<string, Holding>()

  /** The one to go: not heard of for a while. Who was heard of meanwhile goes to the end. */
  oldestIdle(nowMs: number): Group | null {
    for (const groups of this.idle) {
      for (const [group, queuedMs] of groups) {
        if (nowMs - queuedMs < MIN_IDLE_MS) break
        if (nowMs - group.lastActiveMs >= MIN_IDLE_MS) return group
        groups.delete(group)
        groups.set(group, nowMs)
      }
    }
    return null
  }
}

/** All, then the host, the client and the connection, when they are known. */
type Path = readonly Holding[]

/** What a group was charged for, and to whom. */
interface Charge {
  readonly kind: GroupKind
  readonly owner: GroupOwner | null
  readonly path: Path
  readonly tier: number | null
  bytes: number
}

/**
 * What all groups of the broker use up together.
 *
 * Nobody can fill it: a connection may hold as much as would be left if its client, its host and all hosts held as much
 * again. So one connection gets a quarter at most, one client a third and one host half, and whoever comes next still
 * finds room. Who has used its share up makes room by its own groups, the oldest first, those without members before others, and never one with offsets:
 * Kafka would keep these. Groups read from the log belong to nobody until a client is heard of.
 */
export class GroupBudget {
  readonly #limits: GroupLimits
  readonly #totals: Readonly<Record<GroupKind, Holding>> = { members: new Holding(), offsets: new Holding() }
  readonly #charges = new Map<Group, Charge>()

  constructor(limits: GroupLimits) {
    this.#limits = limits
  }

  get groups(): number {
    return this.#totals.members.groups + this.#totals.offsets.groups
  }

  get bytes(): number {
    return this.#totals.members.bytes + this.#totals.offsets.bytes
  }

  /** Whether a client may have another group; idle ones go, if need be. */
  makeRoomForGroup(kind: GroupKind, owner: GroupOwner, now: Now): boolean {
    return this.#makeRoom(kind, owner, 1, 1, now)
  }

  /** Whether a group may grow; idle ones go, if need be. */
  makeRoomToGrow(group: Group, growthBytes: number, now: Now): boolean {
    return growthBytes <= 0 || this.#makeRoom(kindOf(group), group.owner, 0, growthBytes, now)
  }

  /** As `makeRoomToGrow`, by offsets: the first ones of a group without members decide what kind it is. */
  makeRoomForOffsets(group: Group, growthBytes: number, now: Now): boolean {
    const kind = group.protocolType === null ? 'offsets' : 'members'
    return this.#makeRoom(kind, group.owner, 0, growthBytes, now)
  }

  #makeRoom(kind: GroupKind, owner: GroupOwner | null, groups: number, bytes: number, now: Now): boolean {
    for (let evictions = 0; ; evictions++) {
      const path = this.#pathOf(kind, owner)
      const hasGroups = groups === 0 || left(path, 'groups', this.#limits.maxGroups) >= groups
      if (hasGroups && left(path, 'bytes', this.#limits.maxStateBytes) >= bytes) return true
      if (evictions === MAX_EVICTIONS) return false
      const group = toBlame(path, hasGroups ? 'bytes' : 'groups').oldestIdle(now.monotonicMs)
      if (group === null) return false
      group.evict(now)
    }
  }

  /** After anything that made a group, or what it counts as, another one. Those on their way out count no more. */
  charge(group: Group): void {
    const before = this.#charges.get(group)
    if (group.state === 'Dead') {
      if (before !== undefined) this.remove(group)
      return
    }
    const kind = kindOf(group)
    const { owner, bytes } = group
    const tier = tierOf(group)
    if (before?.kind === kind && before.owner === owner && before.tier === tier) {
      for (const holding of before.path) holding.bytes += bytes - before.bytes
      before.bytes = bytes
      return
    }
    if (before !== undefined) this.remove(group)
    const path = this.#pathOf(kind, owner)
    link(path, owner)
    for (const holding of path) {
      holding.groups++
      holding.bytes += bytes
      if (tier !== null) holding.idle[tier]!.set(group, group.lastActiveMs)
    }
    this.#charges.set(group, { kind, owner, path, tier, bytes })
  }

  remove(group: Group): void {
    const charge = this.#charges.get(group)
    if (charge === undefined) return
    this.#charges.delete(group)
    for (const holding of charge.path) {
      holding.groups--
      holding.bytes -= charge.bytes
      if (charge.tier !== null) holding.idle[charge.tier]!.delete(group)
    }
    unlink(charge.path, charge.owner)
  }

  #pathOf(kind: GroupKind, owner: GroupOwner | null): Path {
    const path = [this.#totals[kind]]
    for (const name of namesOf(owner)) path.push(path.at(-1)!.parts.get(name) ?? new Holding())
    return path
  }
}

/** From the outermost part of all to the innermost. */
function namesOf(owner: GroupOwner | null): readonly string[] {
  return owner === null ? [] : [owner.clientHost, owner.clientId, String(owner.clientPort)]
}

/** Puts the parts of a path, which now hold something, into those they are parts of. */
function link(path: Path, owner: GroupOwner | null): void {
  for (const [i, name] of namesOf(owner).entries()) path[i]!.parts.set(name, path[i + 1]!)
}

/** Takes out those that hold nothing any more. */
function unlink(path: Path, owner: GroupOwner | null): void {
  for (const [i, name] of namesOf(owner).entries()) if (path[i + 1]!.groups === 0) path[i]!.parts.delete(name)
}

function kindOf(group: Group): GroupKind {
  return group.protocolType === null && group.offsets.size > 0 ? 'offsets' : 'members'
}

/** In which of `Holding.idle` a group stands: 0 before 1, and null never goes. */
function tierOf(group: Group): number | null {
  if (group.offsets.size > 0) return null
  return group.state === 'Empty' ? 0 : 1
}

type Measure = 'groups' | 'bytes'

/** What the last of this path may still take: each level counts once more what it holds already. */
function left(path: Path, measure: Measure, limit: number): number {
  return path.reduce((rest, holding) => rest - holding[measure], limit)
}

/** The innermost that holds the better part of what it is part of. */
function toBlame(path: Path, measure: Measure): Holding {
  for (let level = path.length - 1; level > 0; level--) {
    const held = path[level]![measure]
    if (held > 0 && held * 2 >= path[level - 1]![measure]) return path[level]!
  }
  return path[0]!
}
