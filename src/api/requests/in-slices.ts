import type { RequestContext } from './handler.ts'

/** Elements begun together: what they write to the metadata store becomes durable together. */
const AT_ONCE = 128

type SlicesContext = Pick<RequestContext, 'broker' | 'abandoned'>

/**
 * `run` over the items in order, some at a time, so that a request of many elements does not keep the loop from
 * others: after a few milliseconds it goes on in a later turn. Stops half way when the client is gone, because
 * nobody will take the answer and the request's memory is not counted any more.
 */
export async function inSlices<Item, Result>(
  items: readonly Item[],
  context: SlicesContext,
  run: (some: readonly Item[]) => readonly Result[] | Promise<readonly Result[]>,
): Promise<Result[]> {
  const { clock, slices } = context.broker
  const results: Result[] = []
  if (items.length > AT_ONCE) await slices.next()
  let endsMs = slices.sliceEndsMs()
  for (let at = 0; at < items.length && !context.abandoned; at += AT_ONCE) {
    const some = run(items.slice(at, at + AT_ONCE))
    for (const result of some instanceof Promise ? await some : some) results.push(result)
    if (clock.monotonicMs() < endsMs || at + AT_ONCE >= items.length) continue
    await slices.next()
    endsMs = slices.sliceEndsMs()
  }
  return results
}

/** As `inSlices`, one item after the other: for items that are waited for, and may be much work each. */
export async function eachInSlices<Item, Result>(
  items: readonly Item[],
  context: SlicesContext,
  run: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const { clock, slices } = context.broker
  const results: Result[] = []
  let endsMs = slices.sliceEndsMs()
  for (const item of items) {
    if (context.abandoned) break
    if (clock.monotonicMs() >= endsMs) {
      await slices.next()
      endsMs = slices.sliceEndsMs()
    }
    results.push(await run(item))
  }
  return results
}
