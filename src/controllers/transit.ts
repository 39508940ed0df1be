// Several pods whose labels change at one moment, as by a change of their namespace's:
// the kernel gives them their new identities one after the other. Until all have theirs,
// each is judged by a policy that allows what it may before and after, whichever of the
// two identities it meets its peer under. Pure.

import { ANY_PEER, type PolicyEntry, type ResolvedPolicy } from '../policy/index.ts'
import type { Address, EndpointEntry } from '../tables/index.ts'
import { hostPrefix } from './identities.ts'
import { overlap } from './overlap.ts'

/** Whom a number stands for: those who have the identity `pre` before a change and `post` after it. */
export type Meaning = { readonly pre: number; readonly post: number }

/** For each number that somebody gets or gives up, all that it may stand for on the way. */
type Meanings = ReadonlyMap<number, readonly Meaning[]>

/** An endpoint's entry before and after a change that gives it another identity or policy. */
type Mover = { readonly before: EndpointEntry; readonly after: EndpointEntry }

export type Transit = { readonly movers: readonly Mover[]; readonly meanings: Meanings }

type State = { readonly addresses: readonly Address[]; readonly entries: readonly EndpointEntry[] }

/** The endpoints that move, where more than one pod does: who moves alone meets nobody on the way who moves too. */
export function transitOf(before: State, after: State): Transit | undefined {
  const known = new Map(before.entries.map(entry => [entry.address, entry]))
  const movers = after.entries.flatMap((entry): Mover[] => {
    const old = known.get(entry.address)
    const isSame = old?.identity === entry.identity && old.policy === entry.policy
    return old && old.containerId === entry.containerId && !isSame ? [{ before: old, after: entry }] : []
  })
  if (!movers.some(mover => mover.before.identity !== mover.after.identity)) return undefined
  const identities = identitiesOf(before.addresses, after.addresses)
  const moved = identities.filter(({ pre, post }) => pre !== post)
  const containers = new Map(movers.map(mover => [hostPrefix(mover.after.address), mover.after.containerId]))
  const others = moved.filter(({ prefix }) => !containers.has(prefix)).map(({ owner }) => owner)
  if (new Set([...containers.values(), ...others]).size < 2) return undefined
  return { movers, meanings: meaningsOf(identities, moved) }
}

type AddressMeaning = Meaning & Pick<Address, 'prefix' | 'owner'>

function identitiesOf(before: readonly Address[], after: readonly Address[]): AddressMeaning[] {
  const old = new Map(before.map(({ prefix, identity }) => [prefix, identity]))
  const there = new Set(after.map(({ prefix }) => prefix))
  const gone = before.filter(({ prefix }) => !there.has(prefix))
  return [...after, ...gone].map(({ prefix, identity, owner }) => ({
    prefix,
    owner,
    pre: old.get(prefix) ?? identity,
    post: identity,
  }))
}

function meaningsOf(identities: readonly Meaning[], moved: readonly Meaning[]): Meanings {
  const meanings = new Map<number, Map<string, Meaning>>()
  for (const { pre, post } of moved)
    for (const number of [pre, post]) if (number !== ANY_PEER) meanings.set(number, new Map())
  for (const { pre, post } of identities)
    for (const number of [pre, post]) meanings.get(number)?.set(`${pre} ${post}`, { pre, post })
  return new Map([...meanings].map(([number, all]) => [number, [...all.values()]]))
}

/**
 * Allows what the old policy of a mover and its new one both allow, asked about each peer by the identity that it has in
 * that state. A number that may stand for several is allowed only what all of them are.
 */
export function transitPolicy(before: ResolvedPolicy, after: ResolvedPolicy, meanings: Meanings): ResolvedPolicy {
  const rounds = Math.max(1, ...[...meanings.values()].map(all => all.length))
  const parts = Array.from({ length: rounds }, (_, round) => {
    const meant = new Map([...meanings].map(([number, all]) => [number, all[round % all.length] as Meaning]))
    const old = new Map([...meant].map(([number, { pre }]) => [number, pre]))
    const next = new Map([...meant].map(([number, { post }]) => [number, post]))
    return overlap(renamed(before.entries, old), renamed(after.entries, next)).entries
  })
  const entries = parts.reduce((all, part) => overlap(all, part).entries)
  const names = [...meanings].map(
    ([number, all]) => `${number}: ${all.map(({ pre, post }) => `${pre} ${post}`).join()}`,
  )
  return { key: `${before.key} to ${after.key} by ${names.join('; ')}`, entries, isolatedBy: after.isolatedBy }
}

/** Entries in which each of the numbers has the answers of the identity that it stands for. */
function renamed(entries: readonly PolicyEntry[], meant: ReadonlyMap<number, number>): PolicyEntry[] {
  const byIdentity = Map.groupBy(entries, ({ identity }) => identity)
  const others = entries.filter(({ identity }) => !meant.has(identity))
  const answers = [...meant].flatMap(([number, identity]) =>
    (byIdentity.get(identity) ?? []).map(entry => ({ ...entry, identity: number })),
  )
  return [...others, ...answers]
}
