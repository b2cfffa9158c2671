/** The bytes of a number that is not negative, as records have it: zigzag, seven bits at a time. */
export function varint(value: number): number[] {
  const bytes: number[] = []
  let rest = value * 2
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80)
  return [...bytes, rest]
}
