/** No valid answer holds it by chance: it is no UTF-8, no small number and no size. */
export const POISON: Buffer = Buffer.from([0xde, 0xa5, 0xfb, 0x9c])

/** Two in a row, at any alignment. */
const LEAK = Buffer.concat([POISON, POISON])

export function holdsPoison(bytes: Buffer): boolean {
  return bytes.includes(LEAK)
}
