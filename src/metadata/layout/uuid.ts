import type { Random } from '../../ports.ts'

/** A random id as Kafka writes it: 22 characters of base64url. Never one of Kafka's reserved ids, never with a leading dash. */
export function randomUuid(random: Random): string {
  for (;;) {
    const bytes = random.bytes(16)
    bytes[6] = (bytes[6]! & 0x0f) | 0x40
    bytes[8] = (bytes[8]! & 0x3f) | 0x80
    const text = bytes.toString('base64url')
    // Command-line tools would take it for an option.
    if (!text.startsWith('-')) return text
  }
}
