import { types } from 'node:util'

/**
 * Whether something that was thrown is an error. Not `instanceof`: test runners (Jest) run code in a realm of its own,
 * where the errors of Node.js are of another class of that name.
 */
export function isError(thrown: unknown): thrown is Error {
  return types.isNativeError(thrown)
}

/** What went wrong, in words. */
export function messageOf(thrown: unknown): string {
  return isError(thrown) ? thrown.message : String(thrown)
}

/** The code of an error of the system or of a library; of what has none all there is. */
export function codeOf(thrown: unknown): string {
  return isError(thrown) && 'code' in thrown ? String(thrown.code) : String(thrown)
}
