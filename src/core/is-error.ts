import { types } from 'node:util'

/**
 * Whether something that was thrown is an error. Not `instanceof`: test runners (Jest) run code in a realm of its own,
 * where the errors of Node.js are of another class of that name.
 */
export function isError(thrown: unknown): thrown is Error {
  return types.isNativeError(thrown)
}
