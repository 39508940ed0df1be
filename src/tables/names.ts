// Names of DNS: what answers taught. Written by controllers/names.ts; survives the agent
// in its journal.

import { defineTable } from '../state/index.ts'

/** A name and an address that it was answered with. */
export type LearntName = {
  /** Canonical: in lower case, without the last dot. */
  readonly name: string
  readonly address: string
  /** When it was answered last, and until when that holds. Milliseconds since the Unix epoch. */
  readonly seenMs: number
  readonly untilMs: number
  /** Who asked last, and who answered. */
  readonly client: string
  readonly server: string
  /** `in-use`: its time is over, and connections use the address still. */
  readonly state: 'valid' | 'in-use'
}

export const learntNameKey = ({ name, address }: Pick<LearntName, 'name' | 'address'>): string => `${name} ${address}`

export const learntNameTable = defineTable({
  name: 'names',
  key: (learnt: LearntName) => learntNameKey(learnt),
  indexes: { name: learnt => [learnt.name], address: learnt => [learnt.address] },
  columns: {
    NAME: learnt => learnt.name,
    ADDRESS: learnt => learnt.address,
    UNTIL: learnt => new Date(learnt.untilMs).toISOString(),
    STATE: learnt => learnt.state,
    CLIENT: learnt => learnt.client,
    SERVER: learnt => learnt.server,
  },
})
