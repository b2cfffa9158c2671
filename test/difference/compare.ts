/** Where two answers differ, one line for each place. */
import { identityOf } from './normalise.ts'
import type { Step } from './session.ts'
import type { Shown } from './wire.ts'

export interface Difference {
  readonly scenario: string
  /** `2 Metadata 12: topics[t].errorCode` */
  readonly path: string
  /** undefined: not there. */
  readonly kafka: Shown | undefined
  readonly samsa: Shown | undefined
}

export function differencesOf(
  scenario: string,
  kafka: readonly Step[],
  samsa: readonly Step[],
): Difference[] {
  const found: Difference[] = []
  const steps = Math.max(kafka.length, samsa.length)
  for (let i = 0; i < steps; i++) {
    const [theirs, ours] = [kafka[i], samsa[i]]
    const path = `${i + 1} ${(theirs ?? ours)?.ask}: `
    if (theirs?.ask === ours?.ask) collect(scenario, path, theirs?.answer, ours?.answer, found)
    else found.push({ scenario, path, kafka: theirs?.ask, samsa: ours?.ask })
    // What follows depends on it.
    if (theirs?.answer === 'closed' && ours?.answer !== 'closed') break
  }
  return found
}

function collect(
  scenario: string,
  path: string,
  kafka: Shown | undefined,
  samsa: Shown | undefined,
  found: Difference[],
): void {
  if (isStructure(kafka) && isStructure(samsa) && Array.isArray(kafka) === Array.isArray(samsa)) {
    const theirs = byName(kafka)
    const ours = byName(samsa)
    const separator = Array.isArray(kafka) || path.endsWith(': ') ? '' : '.'
    for (const name of new Set([...theirs.keys(), ...ours.keys()]))
      collect(scenario, `${path}${separator}${name}`, theirs.get(name), ours.get(name), found)
    return
  }
  if (kafka !== samsa) found.push({ scenario, path, kafka, samsa })
}

function isStructure(value: Shown | undefined): value is Shown[] | { [field: string]: Shown } {
  return typeof value === 'object' && value !== null
}

/** Elements of an array by what identifies them, so that one more or less does not move all others. */
function byName(value: Shown[] | { [field: string]: Shown }): Map<string, Shown> {
  if (!Array.isArray(value)) return new Map(Object.entries(value))
  const named = new Map<string, Shown>()
  for (const element of value) {
    const identity = String(identityOf(element) ?? 'element')
    let name = `[${identity}]`
    for (let again = 2; named.has(name); again++) name = `[${identity}#${again}]`
    named.set(name, element)
  }
  return named
}

export function describeDifference({ scenario, path, kafka, samsa }: Difference): string {
  return `${scenario} | ${path}\n    Kafka: ${shown(kafka)}\n    Samsa: ${shown(samsa)}`
}

function shown(value: Shown | undefined): string {
  return value === undefined ? 'nothing' : JSON.stringify(value)
}
