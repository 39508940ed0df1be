// Which addresses an answer gives for the name that was asked for: those of the name
// itself, and those of the names that it leads to by CNAME. What else an answer may
// carry is no answer to the question, and teaches nothing.

import type { AnswerRecord } from './message.ts'

/** Longer chains are broken chains: resolvers give up much earlier. */
const MAX_CHAIN = 32

export type ChainAddress = { readonly address: string; readonly ttlSeconds: number }

export type Chain = {
  /** Each once, with the smallest lifetime on the way to it. */
  readonly addresses: readonly ChainAddress[]
  /** The names after the one that was asked for, in their order. */
  readonly cnames: readonly string[]
}

const NO_CHAIN: Chain = { addresses: [], cnames: [] }

/** Records may stand in any order. */
export function followChain(name: string, records: readonly AnswerRecord[]): Chain {
  if (records.length === 0) return NO_CHAIN
  const leads = new Map<string, { target: string; ttlSeconds: number }>()
  for (const record of records) if (record.type === 'CNAME' && !leads.has(record.owner)) leads.set(record.owner, record)
  const lifetimes = new Map([[name, Number.POSITIVE_INFINITY]])
  const cnames: string[] = []
  let at = leads.get(name)
  let lifetime = Number.POSITIVE_INFINITY
  while (at && !lifetimes.has(at.target) && cnames.length < MAX_CHAIN) {
    lifetime = Math.min(lifetime, at.ttlSeconds)
    lifetimes.set(at.target, lifetime)
    cnames.push(at.target)
    at = leads.get(at.target)
  }
  return { addresses: addressesIn(lifetimes, records), cnames }
}

function addressesIn(lifetimes: ReadonlyMap<string, number>, records: readonly AnswerRecord[]): ChainAddress[] {
  const found = new Map<string, number>()
  for (const record of records) {
    if (record.type === 'CNAME') continue
    const lifetime = lifetimes.get(record.owner)
    if (lifetime === undefined) continue
    const ttlSeconds = Math.min(lifetime, record.ttlSeconds, found.get(record.address) ?? Number.POSITIVE_INFINITY)
    found.set(record.address, ttlSeconds)
  }
  return [...found].map(([address, ttlSeconds]) => ({ address, ttlSeconds }))
}
