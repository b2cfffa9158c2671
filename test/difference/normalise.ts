/** Makes answers of two runs, or of two brokers, comparable: what is by chance, by time or by place gets a common name. */
import { errorName } from '../../protocol/errors.ts'
import type { Answer, PlayedStep, Step } from './session.ts'
import type { Shown, Struct } from './wire.ts'

/** Where a run happened. */
export interface Place {
  readonly port: number
  readonly dataDir: string
  /** What all names of the run begin with. */
  readonly runPrefix: string
}

/** Texts for people: that an error has one is compared, what it says is not. */
const TEXTS = new Set(['errorMessage', 'batchIndexErrorMessage', 'documentation', 'statusMessage'])
/** By the names of their fields: of the machine. */
const OF_THE_MACHINE: Readonly<Record<string, string>> = {
  clusterId: 'cluster',
  logDir: 'directory',
  totalBytes: 'bytes',
  usableBytes: 'bytes',
  finalizedFeaturesEpoch: 'epoch',
}
/** By the names of their fields: a number of its own stands for each value from this one on, as they appear. */
const NUMBERED: Readonly<Record<string, number>> = { producerId: 0, sessionId: 1 }
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g
const ID = /uuid:[\w-]{22}/g
const A_DAY_MS = 86_400_000
/** What identifies an element of an array, the first that it has. */
const IDENTITIES =
  'apiKey resourceName transactionalId feature name topic groupId partitionIndex partition partitionId index key nodeId brokerId producerId baseOffset user groupInstanceId topicId'.split(
    ' ',
  )

export function normalise(steps: readonly PlayedStep[], prefix: string, place: Place): Step[] {
  const normaliser = new Normaliser(prefix, place)
  return steps.map(({ ask, answer, without = [] }) => ({
    ask,
    answer: normaliser.answer(typeof answer === 'string' ? answer : (left(answer, without) as Struct)),
  }))
}

/** What is left of an answer without some of its fields. */
function left(value: Shown, without: readonly string[]): Shown {
  if (typeof value !== 'object' || value === null || without.length === 0) return value
  if (Array.isArray(value)) return value.map((each) => left(each, without))
  const kept = Object.entries(value).filter(([field]) => !without.includes(field))
  return Object.fromEntries(kept.map(([field, inside]) => [field, left(inside, without)]))
}

class Normaliser {
  readonly #prefix: string
  readonly #place: Place
  readonly #numbers = new Map<string, string>()

  constructor(prefix: string, place: Place) {
    this.#prefix = prefix
    this.#place = place
  }

  answer(answer: Answer): Answer {
    if (typeof answer === 'string') return answer
    return this.#numbered(this.#plain('', answer)) as Struct
  }

  /** All that depends on the value alone. */
  #plain(name: string, value: Shown): Shown {
    if (typeof value === 'string') return this.#text(name, value)
    if (typeof value === 'number') return this.#number(name, value)
    if (value === null || typeof value === 'boolean') return value
    if (Array.isArray(value)) {
      const own = value.filter((element) => !this.#isOfOthers(element)).map((each) => this.#plain(name, each))
      return merged(own)
    }
    const isFine = value['errorCode'] === 0
    return Object.fromEntries(
      Object.entries(value).map(([field, inside]) => [
        field,
        isFine && TEXTS.has(field) ? null : this.#plain(field, inside),
      ]),
    )
  }

  #text(name: string, text: string): Shown {
    if (TEXTS.has(name)) return 'text'
    if (Object.hasOwn(OF_THE_MACHINE, name)) return OF_THE_MACHINE[name]!
    return text
      .replaceAll(this.#prefix, '')
      .replaceAll(this.#place.dataDir, 'DIRECTORY')
      .replaceAll(new RegExp(`:${this.#place.port}\\b`, 'g'), ':PORT')
  }

  #number(name: string, value: number): Shown {
    if (name === 'errorCode') return errorName(value)
    if (name === 'port' && value === this.#place.port) return 'PORT'
    if (Object.hasOwn(OF_THE_MACHINE, name) && value > 0) return OF_THE_MACHINE[name]!
    return Math.abs(value - Date.now()) < A_DAY_MS ? 'now' : value
  }

  #isOfOthers(element: Shown): boolean {
    const name = identityOf(element)
    return (
      typeof name === 'string' && name.startsWith(this.#place.runPrefix) && !name.startsWith(this.#prefix)
    )
  }

  /** What comes by chance is numbered in the order of the sorted arrays, which therefore cannot depend on it. */
  #numbered(value: Shown, name = ''): Shown {
    if (typeof value === 'string') {
      if (value === 'uuid:AAAAAAAAAAAAAAAAAAAAAA') return 'no id'
      if (value.startsWith('uuid:')) return this.#numberOf('id', value)
      return value.replaceAll(UUID, (uuid) => this.#numberOf('uuid', uuid))
    }
    if (typeof value === 'number')
      return value >= (NUMBERED[name] ?? Infinity) ? this.#numberOf(name, value) : value
    if (value === null || typeof value === 'boolean') return value
    if (Array.isArray(value)) {
      const inOrder = name === 'records' ? value : this.#sorted(value)
      return inOrder.map((each) => this.#numbered(each, name))
    }
    return Object.fromEntries(
      Object.entries(value).map(([field, inside]) => [field, this.#numbered(inside, field)]),
    )
  }

  /** Few clients look at the order, and Apache Kafka's is that of its hash maps. */
  #sorted(elements: readonly Shown[]): Shown[] {
    const keyed = elements.map((element) => ({ element, key: this.#sortKey(element) }))
    return keyed
      .toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
      .map(({ element }) => element)
  }

  #sortKey(element: Shown): string {
    const identity = identityOf(element)
    const first = typeof identity === 'number' ? String(identity + 1e6).padStart(12, '0') : (identity ?? '')
    return `${first} ${JSON.stringify(element)}`
      .replaceAll(ID, (id) => this.#numbers.get(`id ${id}`) ?? '')
      .replaceAll(UUID, (uuid) => this.#numbers.get(`uuid ${uuid}`) ?? '')
  }

  #numberOf(kind: string, value: string | number): string {
    const key = `${kind} ${value}`
    let number = this.#numbers.get(key)
    if (number === undefined) {
      const before = [...this.#numbers.values()].filter((each) => each.startsWith(`${kind} `)).length
      number = `${kind} ${before + 1}`
      this.#numbers.set(key, number)
    }
    return number
  }
}

/** What names an element among others; the element itself when it is not a struct. */
export function identityOf(element: Shown): string | number | null {
  if (typeof element === 'string' || typeof element === 'number') return element
  if (element === null || typeof element !== 'object' || Array.isArray(element)) return null
  const field = IDENTITIES.find((each) => element[each] !== undefined && element[each] !== null)
  const identity = field === undefined ? null : element[field]
  return typeof identity === 'string' || typeof identity === 'number' ? identity : null
}

/** Kafka names a topic again for partitions of which it thinks later, as for those that it refuses. */
function merged(elements: readonly Shown[]): Shown[] {
  const topics = new Map<string, Shown[]>()
  return elements.filter((element) => {
    const identity = identityOf(element)
    const partitions = partitionsOf(element)
    if (typeof identity !== 'string' || partitions === null) return true
    const before = topics.get(identity)
    if (before === undefined) topics.set(identity, partitions)
    else before.push(...partitions)
    return before === undefined
  })
}

function partitionsOf(element: Shown): Shown[] | null {
  if (typeof element !== 'object' || element === null || Array.isArray(element)) return null
  const { partitions, errorCode } = element
  return errorCode === undefined && Array.isArray(partitions) ? partitions : null
}
