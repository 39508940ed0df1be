// The source without files passes the contract of all sources. It has no behaviour
// beyond that.

import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import { sourceContract } from './contract.ts'
import { MemorySource } from './memory.ts'

sourceContract('memory source', () => {
  const source = new MemorySource()
  let declared: readonly string[] = []
  return {
    source,
    declare(texts) {
      const gone = declared.filter(name => !(name in texts))
      source.set({ ...Object.fromEntries(gone.map(name => [name, undefined])), ...texts })
      declared = Object.keys(texts)
    },
    tick: () => eventLoopTurn(),
    close() {},
  }
})
