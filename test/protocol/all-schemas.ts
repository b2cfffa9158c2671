import { readdirSync } from 'node:fs'
import type { MessageSchema, Schema } from '../../protocol/schema.ts'

/** Every schema of `protocol/messages`, read from the directory so that none can be forgotten. */
export async function allSchemas(): Promise<Schema[]> {
  const directory = new URL('../../protocol/messages/', import.meta.url)
  const schemas: Schema[] = []
  for (const file of readdirSync(directory).toSorted()) {
    if (!/\.(ts|js)$/.test(file) || file.endsWith('.d.ts')) continue
    const exported = (await import(new URL(file, directory).href)) as Record<string, unknown>
    schemas.push(...Object.values(exported).filter((value) => isSchema(value)))
  }
  return schemas
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && 'kind' in value && 'fields' in value
}

/** APIs of Kafka before 4.0: of these only bytes are known. */
export const GIVEN_UP: ReadonlySet<number> = new Set([7])

/** Messages of Samsa's brokers among themselves: Kafka knows none of them. */
export function isOfSamsa(schema: Schema): boolean {
  return isMessage(schema) && schema.key >= 1_000
}

export function isMessage(schema: Schema): schema is MessageSchema {
  return 'key' in schema
}

export function versionsOf(schema: Schema): number[] {
  const [first, last] = schema.versions
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}
