// Whether a server is needed: as long as there are rule sets for it, when somebody waits at
// one of its sockets, and for as long as it has connections, which may outlast the rules
// that led them here. A server that nobody needs costs no process.

import { setTimeout as sleep } from 'node:timers/promises'
import { ReadableSet } from '../net/index.ts'
import { check } from '../sys/errors.ts'

/** What a server does: connections and questions that are open, and all that there ever were. */
export type Use = { readonly open: number; readonly ever: number }

/** So long nobody needs a server before it is ended; it is looked at so often meanwhile. */
export const UNNEEDED = { afterMs: 600_000, looks: 20 } as const

/** Resolves when a connection or a datagram waits at one of the sockets, or the signal is aborted. Nothing is taken. */
export async function whenSomebodyWaits(sockets: readonly number[], signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  using readable = new ReadableSet(1)
  for (const fd of sockets) check('watch a listening socket', readable.add(fd))
  const { promise, resolve } = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => resolve(), { once: true })
  readable.watch(resolve)
  await promise
}

/**
 * Resolves when a server has had no rule sets and no use for a while, or the signal is aborted.
 * @param use undefined when the server does not say: then it is in use
 */
export async function whenUnneeded(
  hasRuleSets: () => boolean,
  use: () => Promise<Use | undefined>,
  signal: AbortSignal,
  afterMs: number = UNNEEDED.afterMs,
): Promise<void> {
  let looks = 0
  let ever: number | undefined
  while (looks < UNNEEDED.looks && !signal.aborted) {
    await sleep(afterMs / UNNEEDED.looks, undefined, { signal }).catch(() => undefined)
    const now = hasRuleSets() ? undefined : await use()
    looks = now?.open === 0 && now.ever === ever ? looks + 1 : 0
    ever = now?.ever
  }
}
