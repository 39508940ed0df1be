// Identity numbers that mean the same after a restart: every new number is written to
// the journal before anybody sees it, and stands there for as long as the allocator
// knows it.

import type { Memory } from '../controllers/index.ts'
import {
  type Identity,
  type IdentityAllocator,
  type LabelSet,
  LocalIdentityAllocator,
  parseLabelSet,
} from '../labels/index.ts'

const JOURNAL_KIND = 'identity'

export type RememberedIdentities = IdentityAllocator & Pick<LocalIdentityAllocator, 'releaseUnclaimed'>

export function rememberedIdentities(memory: Memory, now: () => number): RememberedIdentities {
  const allocator = new LocalIdentityAllocator({
    now,
    restored: restoredFrom(memory),
    onForgotten: number => memory.delete(JOURNAL_KIND, String(number)),
  })
  return {
    allocate(labels: LabelSet): number {
      const number = allocator.allocate(labels)
      if (memory.entries(JOURNAL_KIND).get(String(number)) !== labels.key)
        memory.set(JOURNAL_KIND, String(number), labels.key)
      return number
    },
    release: number => allocator.release(number),
    lookup: number => allocator.lookup(number),
    entries: () => allocator.entries(),
    releaseUnclaimed: () => allocator.releaseUnclaimed(),
  }
}

/** One number for each label set: the allocator refuses two, and an agent that cannot start helps nobody. */
function restoredFrom(memory: Memory): Iterable<Identity> {
  const restored = new Map<string, Identity>()
  for (const [number, key] of memory.entries(JOURNAL_KIND)) {
    const labels = typeof key === 'string' ? parseLabelSet(key) : undefined
    if (labels) restored.set(labels.key, { number: Number(number), labels })
  }
  return restored.values()
}
