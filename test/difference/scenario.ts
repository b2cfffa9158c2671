/** What a scenario is. */
import { edges } from './schemas.ts'
import type { ApiName } from './schemas.ts'
import type { Session } from './session.ts'

export type Scenario = (session: Session) => Promise<unknown>

/** Scenarios of one subject by their names; each file of `scenarios/` exports one area, or several. */
export interface Area {
  readonly name: string
  readonly scenarios: ReadonlyMap<string, Scenario>
  /** One after the other, when nothing else runs: they change what others see. */
  readonly alone: boolean
}

export class AreaBuilder implements Area {
  readonly name: string
  readonly alone: boolean
  readonly scenarios = new Map<string, Scenario>()

  constructor(name: string, { alone = false } = {}) {
    this.name = name
    this.alone = alone
  }

  add(name: string, scenario: Scenario): void {
    if (this.scenarios.has(name)) throw new Error(`${this.name} has two scenarios "${name}"`)
    this.scenarios.set(name, scenario)
  }

  /** One for each version in which the messages of the API change, or those given. */
  addVersions(
    name: string,
    api: ApiName,
    scenario: (session: Session, version: number) => Promise<unknown>,
    versions: readonly number[] = edges(api),
  ): void {
    for (const version of versions)
      this.add(`${name}, ${api} v${version}`, (session) => scenario(session, version))
  }
}
