// What the kernel does with policy entries, in TypeScript: the look-up of one packet's
// question, and the verdict of a connection from the policies of both ends. A
// connection passes when the sender's egress and the receiver's ingress both allow it.

import type { L7Rules } from '../model/l7.ts'
import { type Audit, type Direction, VISIBILITY } from '../model/rule.ts'
import { ANY_PEER, type PolicyEntry } from './entries.ts'
import { judgeOf, tlsMeaning } from './l7-rules.ts'
import type { ResolvedPolicy } from './subject.ts'

/** What a look-up asks: one direction, one peer, one port. */
export type PolicyQuestion = {
  readonly direction: Direction
  /** Of the other side. */
  readonly identity: number
  readonly protocol: number
  /** Of the destination; for ICMP the type. */
  readonly port: number
}

/** The entry that decides, or undefined: denied because nothing matches. */
export function lookup(entries: readonly PolicyEntry[], question: PolicyQuestion): PolicyEntry | undefined {
  const index = indexOf(entries)
  const specific = longestMatch(index, question, question.identity)
  const any = longestMatch(index, question, ANY_PEER)
  if (!specific || !any) return specific ?? any
  return any.precedence > specific.precedence ? any : specific
}

/** One end of a connection. */
export type Party = {
  readonly identity: number
  /** Undefined where nothing is enforced: the world, nodes, pods on the host's network. */
  readonly policy: ResolvedPolicy | undefined
  /** A process of the node that the other end runs on. It is always let in; a source address alone does not make it one. */
  readonly isOwnNode?: boolean
}

/** What the policies of both ends say of a connection. */
export type ConnectionVerdict = {
  readonly verdict: 'allowed' | 'denied'
  /** Of the sender's policy; undefined when nothing is enforced there. */
  readonly egress: Judgement | undefined
  /** Of the receiver's policy. */
  readonly ingress: Judgement | undefined
  /** Both ends allow it, each with rules for what is said, and nobody can judge by both: they speak different protocols, or want TLS to end in different ways. */
  readonly isTorn?: true
}

/**
 * What the policy of one end says of a connection. `entry` undefined: the default of an isolated end. `audit`: the entry
 * denies for the record alone, so the verdict is `allowed`.
 */
export type Judgement = Audit & { readonly verdict: 'allowed' | 'denied'; readonly entry: PolicyEntry | undefined }

/** Whether `from` may open a connection to a port of `to`; for ICMP the port is the type. */
export function verdict(from: Party, to: Party, protocol: number, port: number): ConnectionVerdict {
  const egress = judge(from, to, 'egress', protocol, port)
  const ingress = from.isOwnNode ? undefined : judge(to, from, 'ingress', protocol, port)
  if (egress?.verdict === 'denied' || ingress?.verdict === 'denied') return { verdict: 'denied', egress, ingress }
  const [one, other] = [rulesOf(egress), rulesOf(ingress)]
  // Rules that are only tried out give way.
  const isTorn =
    one &&
    other &&
    !one.audit &&
    !other.audit &&
    (judgeOf(one) !== judgeOf(other) || tlsMeaning(one) !== tlsMeaning(other))
  if (isTorn) return { verdict: 'denied', egress, ingress, isTorn: true }
  return { verdict: 'allowed', egress, ingress }
}

/** The API-level rules that what is said is judged by, if only for the record; undefined: nobody judges it. */
export function rulesOf(judgement: Judgement | undefined): L7Rules | undefined {
  return judgement?.verdict === 'allowed' ? judgement.entry?.treatment?.l7?.rules : undefined
}

/** Whether rules deny what none of them allows: not those that are only tried out, or that nobody wrote, for what is said to be seen. */
export const areLimiting = (rules: L7Rules): boolean => !rules.audit && !isOnlySeen(rules)

/** Whether rules only have what is said seen: nobody wrote them, and they allow everything. */
export const isOnlySeen = ({ rules }: L7Rules): boolean =>
  rules.length > 0 && rules.every(({ rule }) => rule === VISIBILITY)

function judge(
  { policy }: Party,
  peer: Party,
  direction: Direction,
  protocol: number,
  port: number,
): Judgement | undefined {
  if (!policy) return undefined
  const entry = lookup(policy.entries, { direction, identity: peer.identity, protocol, port })
  if (entry?.treatment?.audit) return { verdict: 'allowed', audit: true, entry }
  return { verdict: entry?.verdict === 'allow' ? 'allowed' : 'denied', entry }
}

/** Entries of one direction, identity and protocol by prefix. */
type PortTable = { readonly lengths: number[]; readonly byPrefix: Map<number, PolicyEntry> }
const newPortTable = (): PortTable => ({ lengths: [], byPrefix: new Map() })
type EntryIndex = ReadonlyMap<number, PortTable>

const indexes = new WeakMap<readonly PolicyEntry[], EntryIndex>()

function indexOf(entries: readonly PolicyEntry[]): EntryIndex {
  const known = indexes.get(entries)
  if (known) return known
  const index = new Map<number, PortTable>()
  for (const entry of entries) {
    const key = tableKey(entry.direction, entry.identity, entry.protocol)
    const table = index.get(key) ?? newPortTable()
    index.set(key, table)
    table.byPrefix.set(prefixKey(entry.port, entry.portPrefixLength), entry)
    if (!table.lengths.includes(entry.portPrefixLength)) table.lengths.push(entry.portPrefixLength)
  }
  for (const { lengths } of index.values()) lengths.sort((a, b) => b - a)
  indexes.set(entries, index)
  return index
}

function longestMatch(index: EntryIndex, question: PolicyQuestion, identity: number): PolicyEntry | undefined {
  const { direction, protocol, port } = question
  return (
    matchPort(index.get(tableKey(direction, identity, protocol)), port) ??
    matchPort(index.get(tableKey(direction, identity, 0)), 0)
  )
}

function matchPort(table: PortTable | undefined, port: number): PolicyEntry | undefined {
  for (const length of table?.lengths ?? []) {
    const entry = table?.byPrefix.get(prefixKey(port, length))
    if (entry) return entry
  }
  return undefined
}

/** Identities have at most 32 bits, so the key stays an exact integer. */
const tableKey = (direction: Direction, identity: number, protocol: number): number =>
  identity * 512 + (direction === 'egress' ? 256 : 0) + protocol

const prefixKey = (port: number, length: number): number => length * 65536 + (port & (0xffff << (16 - length)) & 0xffff)
