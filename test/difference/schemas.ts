/** The messages by the names of their APIs, and the versions in which they change. */
import type { ApiName } from '../../protocol/keys.ts'
import { ApiKey } from '../../protocol/keys.ts'
import type { Fields, MessageSchema, Type } from '../../protocol/schema.ts'
import { apis } from '../../src/api/table.ts'
import { allSchemas, isMessage } from '../protocol/all-schemas.ts'

export type { ApiName }

const messages = new Map(
  (await allSchemas()).filter(isMessage).map((schema) => [`${schema.kind} ${schema.key}`, schema]),
)

export function schemaOf(api: ApiName, kind: 'request' | 'response'): MessageSchema {
  const schema = messages.get(`${kind} ${ApiKey[api]}`)
  if (schema === undefined) throw new Error(`protocol/messages has no ${kind} of ${api}`)
  return schema
}

/** Served versions of an API in which its messages are not as before, the lowest and the highest: all that can differ. */
export function edges(api: ApiName): number[] {
  const served = apis.get(ApiKey[api])
  if (served === undefined) throw new Error(`${api} is not served`)
  const found = new Set([served.minVersion, served.maxVersion])
  for (const { fields, flexibleFrom } of [schemaOf(api, 'request'), schemaOf(api, 'response')]) {
    found.add(flexibleFrom)
    addEdges(fields, found)
  }
  return [...found]
    .filter((version) => version >= served.minVersion && version <= served.maxVersion)
    .toSorted((a, b) => a - b)
}

function addEdges(fields: Fields, found: Set<number>): void {
  for (const { type, options } of Object.values(fields)) {
    found.add(options.since ?? 0)
    found.add((options.until ?? -1) + 1)
    if (typeof options.nullable === 'number') found.add(options.nullable)
    addEdgesOf(type, found)
  }
}

function addEdgesOf(type: Type, found: Set<number>): void {
  if (typeof type === 'string') return
  if ('array' in type) addEdgesOf(type.array, found)
  else addEdges(type.struct, found)
}
