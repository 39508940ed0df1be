// Identity numbers that mean the same after a restart: every new number is written to
// the journal before anybody sees it.

import type { Memory } from '../controllers/index.ts'
import { type IdentityAllocator, type LabelSet, LocalIdentityAllocator, parseLabelSet } from '../labels/index.ts'

const JOURNAL_KIND = 'identity'

export type RememberedIdentities = IdentityAllocator & {
  /** To be called once every source has told all it knows. */
  releaseUnclaimed(): void
}

export function rememberedIdentities(memory: Memory, now: () => number): RememberedIdentities {
  const restored = [...memory.entries(JOURNAL_KIND)].flatMap(([number, key]) => {
    const labels = typeof key === 'string' ? parseLabelSet(key) : undefined
    return labels ? [{ number: Number(number), labels }] : []
  })
  const allocator = new LocalIdentityAllocator({ now, restored })
  const written = new Set(restored.map(({ number }) => number))
  const claimed = new Set<number>()
  return {
    allocate(labels: LabelSet): number {
      const number = allocator.allocate(labels)
      claimed.add(number)
      // A number that went to other labels after its rest is written again.
      if (!written.has(number) || memory.entries(JOURNAL_KIND).get(String(number)) !== labels.key) {
        memory.set(JOURNAL_KIND, String(number), labels.key)
        written.add(number)
      }
      return number
    },
    release: number => allocator.release(number),
    lookup: number => allocator.lookup(number),
    entries: () => allocator.entries(),
    releaseUnclaimed() {
      allocator.releaseUnclaimed()
      for (const number of written)
        if (!claimed.has(number)) {
          memory.delete(JOURNAL_KIND, String(number))
          written.delete(number)
        }
    },
  }
}
