// Waiting in tests of the sandbox: asks until it is so, as long as a loaded machine may need.

import { setTimeout as sleep } from 'node:timers/promises'

const PATIENCE_MS = 60_000

/** @throws Error with what is wrong when it takes longer than anything here should */
export async function waitUntil(isSo: () => boolean | Promise<boolean>, whatIsWrong: () => string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(whatIsWrong())
    await sleep(10)
  }
}
