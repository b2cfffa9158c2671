/** Values that nobody may read: what shows a value of the configuration to anybody asks here first. */

import { excerpt, printable } from '../printable.ts'

/** What stands in the place of a secret, as in Kafka. */
export const HIDDEN = '[hidden]'

/**
 * Names that speak of secrets. Most keys of Kafka's kind end up here without a definition: those of TLS and SASL, of
 * plugins, of listeners (`listener.name.x.ssl.key.password`), and misspelt ones. Too many is better than one too few.
 */
const SECRET_NAME =
  /passw|passphrase|secret|credential|token|jaas|private|certificate|(?:^|[._-])(?:api|access|auth|encryption)?key$/i

export function isSecretKey(key: string): boolean {
  return SECRET_NAME.test(key)
}

/** Secrets inside of other values: `//user:secret@host`, `password="secret"`. */
const SECRET_PARTS: readonly (readonly [RegExp, string])[] = [
  [/(\/\/)[^\s/@]*@/g, `$1${HIDDEN}@`],
  [/((?:passw\w*|secret|token)["']?\s*[=:]\s*)(?:"[^"]*"|'[^']*'|[^\s,;]+)/gi, `$1${HIDDEN}`],
]

const MAX_SHOWN_LENGTH = 1_000

/** The value of a key for messages. */
export function shownValue(key: string, text: string): string {
  if (isSecretKey(key)) return HIDDEN
  const shown = SECRET_PARTS.reduce((rest, [secret, instead]) => rest.replace(secret, instead), text)
  return printable(excerpt(shown, MAX_SHOWN_LENGTH))
}

/** How a wrong value is called in a message to whoever starts the broker. */
export function wrongSetting(key: string, text: string, where: string, allowed: string): string {
  return `${key}=${shownValue(key, text)}${where}: ${allowed}`
}

/** The same to clients, in Kafka's words. */
export function wrongValue(key: string, text: string, allowed: string): string {
  return `Invalid value ${shownValue(key, text)} for configuration ${key}: ${allowed}.`
}
