import type { RequestContext } from './handler.ts'

/** How long a request may work before others get their turn. */
const SLICE_MS = 5
/** Elements begun together: what they write to the metadata store becomes durable together. */
const AT_ONCE = 128
/** A request of more elements took time to read, and its answer takes time to write: others go in between. */
const LONG = 1_000

/** Lets others have their turn of the loop. */
export function nextTurn({ broker }: Pick<RequestContext, 'broker'>): Promise<void> {
  return new Promise((resolve) => {
    broker.clock.after(0, resolve)
  })
}

/**
 * `run` over the items in order, some at a time, so that a request of many elements does not keep the loop from
 * others: after a few milliseconds it goes on in a later turn. Stops half way when the client is gone, because
 * nobody will take the answer and the request's memory is not counted any more.
 */
export async function inSlices<Item, Result>(
  items: readonly Item[],
  context: RequestContext,
  run: (some: readonly Item[]) => readonly Result[] | Promise<readonly Result[]>,
): Promise<Result[]> {
  const { clock } = context.broker
  const results: Result[] = []
  let abandoned = false
  context.whenAbandoned(() => {
    abandoned = true
  })
  if (items.length > LONG) await nextTurn(context)
  let sliceEndsMs = clock.monotonicMs() + SLICE_MS
  for (let at = 0; at < items.length && !abandoned; at += AT_ONCE) {
    for (const result of await run(items.slice(at, at + AT_ONCE))) results.push(result)
    if (clock.monotonicMs() < sliceEndsMs) continue
    await nextTurn(context)
    sliceEndsMs = clock.monotonicMs() + SLICE_MS
  }
  if (items.length > LONG && !abandoned) await nextTurn(context)
  return results
}
