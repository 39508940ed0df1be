// Puts streams of flows together in the order of their times. Records of the kernel and
// of proxies take different ways and come a little late, so none is told before others
// have had a moment to come.

import type { Flow } from './flow.ts'

/** A flow, or word that the reader was too slow and how many it missed. */
export type FlowItem = Flow | { readonly missed: number }

/** Longer than a record is on its way. */
const HELD_MS = 50

type Waiting = {
  readonly stream: AsyncIterator<FlowItem>
  /** Undefined while the next one is awaited. */
  head?: FlowItem | undefined
  ended: boolean
}

/** Ends when all streams have. @param nowMs the time of day, of the clock that flows are told by */
export async function* inTimeOrder(
  streams: readonly AsyncIterator<FlowItem>[],
  nowMs: () => number = Date.now,
): AsyncGenerator<FlowItem> {
  const all = streams.map((stream): Waiting => ({ stream, ended: false }))
  let failure: { readonly error: unknown } | undefined
  let wake = (): void => undefined
  const pull = async (one: Waiting): Promise<void> => {
    one.head = undefined
    try {
      const { value, done } = await one.stream.next()
      if (done) one.ended = true
      else one.head = value
    } catch (error) {
      failure = { error }
    }
    wake()
  }
  try {
    for (const one of all) void pull(one)
    while (true) {
      if (failure) throw failure.error
      const open = all.filter(({ ended }) => !ended)
      if (open.length === 0) return
      const first = earliest(open)
      const waitMs = first && open.some(({ head }) => !head) ? heldMs(first.item, nowMs()) : 0
      if (first && waitMs <= 0) {
        void pull(first.one)
        yield first.item
        continue
      }
      const { promise, resolve } = Promise.withResolvers<void>()
      wake = resolve
      const timer = first && setTimeout(resolve, waitMs)
      await promise
      clearTimeout(timer)
    }
  } finally {
    // Not awaited: one that waits for its next flow ends when its signal is aborted.
    for (const stream of streams) void stream.return?.().catch(() => undefined)
  }
}

function earliest(open: readonly Waiting[]): { readonly one: Waiting; readonly item: FlowItem } | undefined {
  let found: { readonly one: Waiting; readonly item: FlowItem } | undefined
  for (const one of open)
    if (one.head && (!found || timeOf(one.head) < timeOf(found.item))) found = { one, item: one.head }
  return found
}

/** Times are of one length. What says only that others were missed goes at once. */
const timeOf = (item: FlowItem): string => ('missed' in item ? '' : item.time)

const heldMs = (item: FlowItem, nowMs: number): number =>
  'missed' in item ? 0 : Date.parse(item.time) + HELD_MS - nowMs

/** The newest flows of several lists, each with its newest first. */
export function* newestOf(lists: readonly Iterable<Flow>[]): Generator<Flow> {
  const heads = lists.map(list => {
    const iterator = list[Symbol.iterator]()
    return { iterator, next: iterator.next() }
  })
  while (true) {
    let newest: (typeof heads)[number] | undefined
    for (const head of heads)
      if (!head.next.done && (!newest || newest.next.done || head.next.value.time > newest.next.value.time))
        newest = head
    if (!newest || newest.next.done) return
    yield newest.next.value
    newest.next = newest.iterator.next()
  }
}
