// What policy says of a connection: the egress policy of the pod that opens it, then
// the ingress policy of the pod it is opened to, each where it is a pod of this node.

import { formatIp, isMapped } from '../ip/index.ts'
import {
  type Address,
  type AuditedDenial,
  type DropReason,
  type Endpoint,
  type PolicyEntry,
  policyQuestion,
} from '../maps/index.ts'
import type { Tuple } from './dissect.ts'
import { isLoopback } from './loopback.ts'
import type { Step, World } from './world.ts'

/** Written from its opener to its responder. */
export type Connection = {
  readonly tuple: Tuple
  /** The responder's port; an ICMP message's type. */
  readonly port: number
  /** Opened by a process of this node, not merely from its address. */
  readonly fromHost: boolean
}

/** Pairs are [opener's, responder's]. */
export type Judgement = {
  readonly reason: DropReason
  /** Whose policy dropped it. */
  readonly direction: 'INGRESS' | 'EGRESS' | undefined
  /** The denial that it passes in spite of; of two the sender's, which would have dropped it first. */
  readonly audit: AuditedDenial | undefined
  readonly identity: readonly [number, number]
  readonly endpoint: readonly [number, number]
  readonly egress_rule: number
  readonly ingress_rule: number
  /** Number of the `ProxyKind` that the two ends want to judge what is said, and the numbers of their rule sets. */
  readonly proxy: number
  readonly l7: readonly [number, number]
}

export function judge(world: World, { tuple, port, fromHost }: Connection, steps: Step[]): Judgement {
  const responder = endpointAt(world, tuple.destination)
  const toItself = isLoopback(tuple.source)
  const opener = toItself ? responder : endpointAt(world, tuple.source)
  const from = opener?.identity ?? outsiderIdentity(world, tuple.source, fromHost)
  const to = responder?.identity ?? entryOf(world, tuple.destination)?.identity ?? 0
  const judgement: Judgement = {
    reason: 'NONE',
    direction: undefined,
    audit: undefined,
    identity: [from, to],
    endpoint: [opener?.id ?? 0, responder?.id ?? 0],
    egress_rule: 0,
    ingress_rule: 0,
    proxy: 0,
    l7: [0, 0],
  }
  steps.push({
    at: 'identities',
    found: `${formatIp(tuple.source)} is ${from}, ${formatIp(tuple.destination)} is ${to}`,
  })

  if (toItself && responder) {
    steps.push({ at: 'policy', found: 'not asked: a service gives the pod to itself' })
    return judgement
  }
  const egress =
    opener && decide(world, opener.policy, { direction: 'EGRESS', identity: to, protocol: tuple.protocol, port }, steps)
  const egress_rule = egress?.rule ?? 0
  if (egress && egress.reason !== 'NONE')
    return { ...judgement, reason: egress.reason, direction: 'EGRESS', egress_rule }
  const audit = egress?.audit && ({ reason: egress.audit, direction: 'EGRESS' } as const)
  const proxy = egress?.proxy ?? 0
  const soFar: Judgement = { ...judgement, audit, egress_rule, proxy, l7: [egress?.l7 ?? 0, 0] }
  if (!responder) return soFar
  if (fromHost) {
    steps.push({ at: 'ingress policy', found: 'not asked: the node itself opened the connection' })
    return soFar
  }
  const ingress = decide(
    world,
    responder.policy,
    { direction: 'INGRESS', identity: from, protocol: tuple.protocol, port },
    steps,
  )
  const ingress_rule = ingress.rule
  if (ingress.reason !== 'NONE') return { ...soFar, ingress_rule, reason: ingress.reason, direction: 'INGRESS' }
  const auditOfIngress = ingress.audit && ({ reason: ingress.audit, direction: 'INGRESS' } as const)
  const both: Judgement = { ...soFar, ingress_rule, audit: audit ?? auditOfIngress }
  if (ingress.proxy === 0) return both
  if (proxy !== 0 && proxy !== ingress.proxy) {
    if (ingress.isTried) return both
    if (egress?.isTried) return { ...both, proxy: ingress.proxy, l7: [0, ingress.l7] }
    steps.push({ at: 'proxy', found: "the two ends' policies want different ones" })
    return { ...both, reason: 'PROXY_CONFLICT', direction: 'INGRESS' }
  }
  return { ...both, proxy: ingress.proxy, l7: [soFar.l7[0], ingress.l7] }
}

export function endpointAt(world: World, address: Uint8Array): Endpoint | undefined {
  return world.maps.endpoints.get(addressOf(address))
}

export const addressOf = (bytes: Uint8Array): Address => ({ bytes })

function entryOf(world: World, address: Uint8Array) {
  return world.maps.ipcache.get({ prefix_length: 128, address })
}

/** Whether an address is one of this node's own. */
export function isHostAddress(world: World, address: Uint8Array): boolean {
  return ((entryOf(world, address)?.flags ?? 0) & world.schema.ipcacheFlags.number.HOST) !== 0
}

/** The node's address on a packet that the node did not make stands for somebody outside, translated. */
export function outsiderIdentity(world: World, address: Uint8Array, fromHost: boolean): number {
  if (fromHost || !isHostAddress(world, address)) return entryOf(world, address)?.identity ?? 0
  // Whoever no more special prefix names: the world, under the number that it has today.
  const everybody = { prefix_length: isMapped(address) ? 96 : 0, address }
  return world.maps.ipcache.get(everybody)?.identity ?? 0
}

type Decision = {
  /** NONE: it passes. */
  readonly reason: DropReason
  /** That of a denial that is only recorded. */
  readonly audit?: AuditedDenial['reason']
  readonly rule: number
  readonly proxy: number
  readonly l7: number
  /** Of an allowance: what is said is judged for the record alone. */
  readonly isTried?: boolean
}

/** What the policy of the pod at an address hands such connections to; 0: nobody, or there is no pod. */
export function proxyOf(world: World, pod: Uint8Array, about: PolicyQuestion): number {
  const endpoint = endpointAt(world, pod)
  return endpoint ? decide(world, endpoint.policy, about, []).proxy : 0
}

type PolicyQuestion = {
  readonly direction: 'INGRESS' | 'EGRESS'
  /** Of the other side. */
  readonly identity: number
  readonly protocol: number
  readonly port: number
}

const UNPROXIED = { proxy: 0, l7: 0 } as const

function decide(
  world: World,
  policy: number,
  { direction, identity, protocol, port }: PolicyQuestion,
  steps: Step[],
): Decision {
  const say = (found: string): void => void steps.push({ at: `${direction.toLowerCase()} policy`, found })
  const { schema } = world
  const map = world.policyMap(policy)
  if (!map) {
    say(`policy ${policy} is not there: fail closed`)
    return { reason: 'POLICY_MISSING', rule: 0, ...UNPROXIED }
  }
  const ask = (peer: number): PolicyEntry | undefined =>
    map.get(
      policyQuestion(schema, { identity: peer, direction: schema.trafficDirection.number[direction], protocol, port }),
    )
  const candidates = [ask(identity), ask(0)].filter(entry => entry !== undefined)
  // The higher precedence decides; on a tie the entry that names the peer.
  const entry = candidates.reduce<PolicyEntry | undefined>(
    (best, next) => (best && best.precedence >= next.precedence ? best : next),
    undefined,
  )
  if (!entry) {
    say(`no entry for identity ${identity}, protocol ${protocol}, port ${port}: denied`)
    return { reason: 'POLICY_DENIED', rule: 0, ...UNPROXIED }
  }
  const { AUDIT, BY_DEFAULT } = schema.policyFlags.number
  const allowed = entry.verdict === schema.policyVerdict.number.ALLOW
  const audited = (entry.flags & AUDIT) !== 0
  const does = allowed ? 'allows' : audited ? 'denies, for the record alone,' : 'denies'
  say(`rule ${entry.rule} ${does} identity ${identity}, protocol ${protocol}, port ${port}`)
  if (allowed)
    return { reason: 'NONE', rule: entry.rule, proxy: entry.proxy, l7: entry.proxy ? entry.l7 : 0, isTried: audited }
  const reason = (entry.flags & BY_DEFAULT) !== 0 ? 'POLICY_DENIED' : 'POLICY_DENY'
  return { ...(audited ? { reason: 'NONE', audit: reason } : { reason }), rule: entry.rule, ...UNPROXIED }
}
