// Waiting for what a controller is about to write.

import type { Row, Table } from '../state/index.ts'

/** The row of a key as soon as it is as wanted; undefined when the signal is aborted first. */
export async function whenRow<R extends Row>(
  table: Table<R>,
  key: string,
  isWanted: (row: R | undefined) => boolean,
  signal?: AbortSignal,
): Promise<R | undefined> {
  using watcher = table.watch()
  for (;;) {
    const row = table.get(key)
    if (isWanted(row)) return row
    watcher.take()
    if (!(await watcher.wait(signal))) return undefined
  }
}
