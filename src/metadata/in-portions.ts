/** Changes of the store, or partitions, that are begun together: enough for one write to the device, few for a turn. */
export const PORTION = 256

/** One portion after the other: a topic may have ten thousand partitions, and others want to be served meanwhile. */
export async function inPortions<Item>(
  items: readonly Item[],
  run: (portion: readonly Item[]) => Promise<unknown>,
): Promise<void> {
  for (let at = 0; at < items.length; at += PORTION) await run(items.slice(at, at + PORTION))
}
