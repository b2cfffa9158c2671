/** One portion after the other: a topic may have ten thousand partitions, and others want to be served meanwhile. */
export async function inPortions<Item>(
  items: readonly Item[],
  size: number,
  run: (portion: readonly Item[]) => Promise<unknown>,
): Promise<void> {
  for (let at = 0; at < items.length; at += size) await run(items.slice(at, at + size))
}
