// A map in memory whose writes are seen one element at a time: to count them, to make
// them fail, to hold them up, and to look at the maps between any two of them.

import type { BpfMap } from '../../src/bpf/index.ts'

export type Write = { readonly map: string; readonly kind: 'set' | 'delete'; readonly key: unknown }

export type Hooks = {
  /** May throw: then the element is not written, nor is what comes behind it in the same call. */
  readonly before: (write: Write) => void
  readonly after: (write: Write) => void
  /** Awaited before each element of an asynchronous call. */
  readonly pause: () => Promise<void>
}

/** The same map; only its writes go through the hooks. */
export function watchedMap<Key, Value, Input>(
  map: BpfMap<Key, Value, Input>,
  { before, after, pause }: Hooks,
): BpfMap<Key, Value, Input> {
  const set: typeof map.set = (key, value, mode) => {
    const write = { map: map.name, kind: 'set', key } as const
    before(write)
    map.set(key, value, mode)
    after(write)
  }
  const remove: typeof map.delete = key => {
    const write = { map: map.name, kind: 'delete', key } as const
    before(write)
    const existed = map.delete(key)
    if (existed) after(write)
    return existed
  }
  const own: Partial<BpfMap<Key, Value, Input>> = {
    set,
    delete: remove,
    updateBatch(entries, mode) {
      let count = 0
      for (const [key, value] of entries) {
        set(key, value, mode)
        count++
      }
      return count
    },
    deleteBatch: keys => [...keys].filter(remove).length,
    async updateBatchAsync(entries, mode) {
      let count = 0
      for (const [key, value] of entries) {
        await pause()
        set(key, value, mode)
        count++
      }
      return count
    },
    async deleteBatchAsync(keys) {
      let count = 0
      for (const key of keys) {
        await pause()
        if (remove(key)) count++
      }
      return count
    },
  }
  return new Proxy(map, {
    get(target, name) {
      const value: unknown = Reflect.get(own, name) ?? Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
