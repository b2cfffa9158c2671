/** What clients of a cluster were told, held against what its partitions hold: every record's fate. */

/** An acknowledged record. Its value is `NAME KEY N`: the N-th of a key of one producer. */
interface Acknowledged {
  readonly value: string
  readonly partition: number
  /** -1: the broker had it already and did not say where. */
  readonly offset: number
}

/** The values of a partition, by offset. */
export type Contents = readonly string[]

/** Records of a key that may be under way at a time. */
const UNDER_WAY = 100

/** What the members of a group were told. */
export class GroupHistory {
  /** That were acknowledged, each of one partition. */
  commits = 0
  readonly #report: (problem: string) => void
  readonly #name: string
  readonly #read: Set<number>[] = []
  readonly #committed: number[] = []

  constructor(name: string, report: (problem: string) => void) {
    this.#name = name
    this.#report = report
  }

  read(partition: number, offset: number): void {
    ;(this.#read[partition] ??= new Set()).add(offset)
  }

  /** A member was told that its commit is kept. */
  committed(partition: number, offset: number): void {
    this.commits++
    this.#committed[partition] = Math.max(this.committedAt(partition), offset)
  }

  /** What the group has committed at least; -1: nothing is known. */
  committedAt(partition: number): number {
    return this.#committed[partition] ?? -1
  }

  /** What the group says it has committed. `floor` was known before it was asked. */
  isAt(partition: number, offset: number, floor: number, asked: string): void {
    if (offset < floor)
      this.#report(`${asked}: ${this.#name} is at ${offset} of ${partition}, and was at ${floor}`)
    this.#committed[partition] = Math.max(this.committedAt(partition), offset)
  }

  /** How many records it has not read yet. */
  unread(contents: readonly Contents[]): number {
    let unread = 0
    for (const [partition, found] of contents.entries()) {
      const read = this.#read[partition] ?? new Set()
      for (let offset = 0; offset < found.length; offset++) if (!read.has(offset)) unread++
    }
    return unread
  }
}

export class History {
  /** Broken promises, in words. */
  readonly problems: string[] = []
  /** Records that producers gave up, and why. */
  readonly givenUp: string[] = []
  /** Answers that came after the last one by this much, with when: monotonic milliseconds. */
  longestGapMs = 0
  readonly #acknowledged: Acknowledged[] = []
  readonly #idempotent = new Set<string>()
  /** The last record of each key that was acknowledged. */
  readonly #lastOfKey = new Map<string, number>()
  /** The same of one producer, each time that it began a new epoch. */
  readonly #epochs: ReadonlyMap<string, number>[] = []
  readonly #groups = new Map<string, GroupHistory>()
  #before: readonly Contents[] = []
  #checked = 0
  #lastAckMs = 0

  /** Each record of this producer may be there once only. */
  isIdempotent(producer: string): void {
    this.#idempotent.add(producer)
  }

  get acknowledged(): number {
    return this.#acknowledged.length
  }

  /** From now on gaps are those of what follows. */
  forgetGaps(): void {
    this.longestGapMs = 0
    this.#lastAckMs = performance.now()
  }

  acked(value: string, partition: number, offset: number): void {
    const nowMs = performance.now()
    if (this.#lastAckMs > 0) this.longestGapMs = Math.max(this.longestGapMs, nowMs - this.#lastAckMs)
    this.#lastAckMs = nowMs
    this.#acknowledged.push({ value, partition, offset })
    const [name, key, count] = value.split(' ')
    const last = this.#lastOfKey.get(`${name} ${key}`) ?? -1
    this.#lastOfKey.set(`${name} ${key}`, Math.max(last, Number(count)))
  }

  /**
   * A producer gives its sequence up, and sends what is under way again in a new epoch, of which brokers cannot know it. librdkafka
   * does so for all partitions when one of them is sent a record before the one in front of it was answered; and it takes
   * NOT_LEADER_OR_FOLLOWER for a word that nothing was written, which of Kafka's brokers it is not either.
   */
  beginsEpoch(name: string): void {
    const under = [...this.#lastOfKey].filter(([key]) => key.startsWith(`${name} `))
    this.#epochs.push(new Map(under))
  }

  #wasUnderWay(ofKey: string, n: number): boolean {
    return this.#epochs.some((begun) => {
      const last = begun.get(ofKey) ?? Infinity
      return n > last - UNDER_WAY && n <= last + UNDER_WAY
    })
  }

  gaveUp(value: string, why: string): void {
    this.givenUp.push(`${value}: ${why}`)
  }

  group(name: string): GroupHistory {
    const found = this.#groups.get(name) ?? new GroupHistory(name, (problem) => this.#report(problem))
    this.#groups.set(name, found)
    return found
  }

  /** `contents`: of each partition from its first offset on, read when the first `known` records were acknowledged. */
  check(contents: readonly Contents[], known: number): void {
    for (const [partition, found] of contents.entries()) {
      this.#checkSeen(partition, found)
      this.#checkOrder(partition, found)
    }
    const where = new Map<string, number>()
    for (const [partition, found] of contents.entries())
      for (const value of found) where.set(value, partition)
    // Positions of records that were right once are covered by what was seen.
    for (const { value, partition, offset } of this.#acknowledged.slice(this.#checked, known)) {
      if (offset < 0) {
        if (where.get(value) !== partition) this.#report(`${value} was acknowledged, and is lost`)
      } else if (contents[partition]?.[offset] !== value) {
        const there = contents[partition]?.[offset] ?? 'nothing'
        const fate = where.has(value) ? 'is elsewhere' : 'is lost'
        this.#report(`${value} was acknowledged at ${partition}/${offset}, where ${there} is: it ${fate}`)
      }
    }
    this.#checked = Math.max(this.#checked, known)
    this.#before = contents
  }

  /** How many records a partition has, as far as clients know. */
  get atLeast(): readonly number[] {
    const counts = this.#before.map(({ length }) => length)
    for (const { partition, offset } of this.#acknowledged.slice(this.#checked))
      counts[partition] = Math.max(counts[partition] ?? 0, offset + 1)
    return counts
  }

  /** How many records the groups have not read yet. */
  unread(contents: readonly Contents[]): number {
    return [...this.#groups.values()].reduce((sum, group) => sum + group.unread(contents), 0)
  }

  /** What clients could read stays as it was. */
  #checkSeen(partition: number, found: Contents): void {
    const before = this.#before[partition] ?? []
    if (found.length < before.length)
      this.#report(`partition ${partition} had ${before.length} records and has ${found.length}`)
    const changed = before.findIndex((value, offset) => offset < found.length && found[offset] !== value)
    if (changed >= 0)
      this.#report(`${partition}/${changed} was ${before[changed]} and is ${String(found[changed])}`)
  }

  #checkOrder(partition: number, found: Contents): void {
    const last = new Map<string, number>()
    const seen = new Set<string>()
    for (const [offset, value] of found.entries()) {
      const [name = '', key = '', count = ''] = value.split(' ')
      const n = Number(count)
      const previous = last.get(`${name} ${key}`) ?? -1
      if (seen.has(value)) {
        if (this.#idempotent.has(name) && !this.#wasUnderWay(`${name} ${key}`, n))
          this.#report(`${value} is there twice, again at ${partition}/${offset}`)
        continue
      }
      if (n <= previous)
        this.#report(`${value} at ${partition}/${offset} follows the ${previous}th of its key`)
      seen.add(value)
      last.set(`${name} ${key}`, n)
    }
  }

  #report(problem: string): void {
    if (this.problems.length < 20) this.problems.push(problem)
  }
}
