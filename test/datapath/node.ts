// A node for the tests of the datapath: devices in a network namespace of its own,
// the real programs in the kernel, and the predictor's maps beside the kernel's.
// Every packet that is sent goes through both; where they disagree, the test fails.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before } from 'node:test'
import { type ObjectSpec, RingBuffer } from '../../src/bpf/index.ts'
import { cidr, compareBytes, formatMac, ip, mac } from '../../src/ip/index.ts'
import {
  type Datapath,
  type DatapathConstants,
  decodeFlowEvent,
  type Endpoint,
  type Flow,
  type FlowEvent,
  type FlowKey,
  ipcacheKey,
  loadDatapath,
  type MapName,
  MemoryDatapath,
  type PolicyTerm,
  policyElement,
  worldEntries,
} from '../../src/maps/index.ts'
import { createLink, createNamespace, type Namespace, NetlinkSocket, withNamespace } from '../../src/net/index.ts'
import {
  applyPrediction,
  type Choice,
  type Prediction,
  predict,
  type Question,
  type World,
  worldOf,
} from '../../src/trace/index.ts'
import { assertAgreement } from './agreement.ts'

/** For the `skip` option of a test. */
export const needsRoot: string | false = process.getuid?.() === 0 ? false : 'needs root: BPF and network namespaces'

export const OBJECT = readFileSync(new URL('../../build/pod.o', import.meta.url))
export const HOST_MAC = mac('0a:00:00:00:00:01')

/** Somebody with an address in both families. */
export type Party = {
  readonly name: string
  readonly 4: Uint8Array
  readonly 6: Uint8Array
  readonly mac: Uint8Array
}
export type Pod = Party & {
  readonly ifindex: number
  readonly id: number
  readonly identity: number
  readonly policy: number
}

export type Sent = {
  readonly hook: 'from_pod' | 'to_pod'
  readonly frame: Uint8Array
  readonly ifindex: number
  /** 0: made by the node itself. */
  readonly ingressIfindex: number
  readonly mark?: number | undefined
}

export type Observed = {
  readonly action: 'pass' | 'drop' | 'redirect'
  readonly frame: Uint8Array
  readonly event: FlowEvent | undefined
  readonly prediction: Prediction
}

/** A rule for both directions' tables; what is left out is "any". */
export type Rule = Partial<PolicyTerm> & { readonly direction: 'ingress' | 'egress'; readonly rule: number }

const party = (name: string, four: string, six: string, ether: string): Party => ({
  name,
  4: ip(four).bytes,
  6: ip(six).bytes,
  mac: mac(ether),
})

export const OUTSIDE = party('outside', '198.51.100.7', '2001:db8::7', '0a:00:00:00:99:01')
export const ROUTER = party('router', '198.51.100.1', '2001:db8::1', '0a:00:00:00:99:02')
/** The node's own addresses. */
export const HOST = party('host', '172.30.0.2', 'fd00:172:30::2', '0a:00:00:00:00:01')

const ACTIONS: Readonly<Record<number, Observed['action']>> = { 0: 'pass', 2: 'drop', 7: 'redirect' }
/** Longer than any test: periodic reports come only where a test asks for them. */
export const NEVER_SECONDS = 1_000_000

export type PodName = 'a' | 'b' | 'c'
export type PolicyOfPods = { readonly [Name in PodName]?: readonly Rule[] }

export type NodeOptions = {
  readonly object?: ObjectSpec
  readonly constants?: DatapathConstants
  readonly sizes?: Partial<Readonly<Record<MapName, number>>>
  /** Where the other end of a party's device is; beside it unless given. */
  readonly peerNamespace?: (party: Party) => Namespace | undefined
}

const pod = (name: string, id: number): Pod => ({
  ...party(name, `10.244.0.${id}`, `fd00:10:244::${id}`, `0a:00:00:00:01:${id}`),
  ifindex: 100 + id,
  id,
  identity: 1000 + id,
  policy: id,
})
export const A = pod('a', 10)
export const B = pod('b', 11)
export const C = pod('c', 12)
export const PODS: readonly Pod[] = [A, B, C]
/** Device towards everybody else. */
export const UPLINK = 100

/** A node for all tests of a file. */
export function nodeForTests(options: NodeOptions = {}): () => TestNode {
  let node: TestNode | undefined
  before(() => {
    if (!needsRoot) node = new TestNode(options)
  })
  after(() => node?.[Symbol.dispose]())
  return () => node ?? assert.fail('there is no node before the tests run')
}

export class TestNode implements Disposable {
  readonly datapath: Datapath
  readonly memory: MemoryDatapath
  readonly world: World
  readonly namespace: Namespace
  readonly #events: RingBuffer
  #inside = false

  constructor(options: NodeOptions = {}) {
    const constants = { report_interval_seconds: NEVER_SECONDS, ...options.constants }
    const sizes = { flows: 10_000, ipcache: 10_000, endpoints: 1_000, translations: 10_000, ...options.sizes }
    const object = options.object ?? OBJECT
    this.memory = new MemoryDatapath(object, sizes)
    this.world = worldOf(this.memory, HOST_MAC, constants)
    this.datapath = loadDatapath({ object, hostMac: HOST_MAC, constants, sizes })
    this.#events = RingBuffer.open(this.datapath.maps.events)
    this.namespace = createNamespace()
    using netlink = NetlinkSocket.open({ namespace: this.namespace })
    const ends = [{ party: OUTSIDE, index: UPLINK }, ...PODS.map(pod => ({ party: pod, index: pod.ifindex }))]
    for (const { party, index } of ends) {
      const namespace = options.peerNamespace?.(party)
      const peer = {
        name: namespace ? 'eth0' : `${party.name}-peer`,
        mac: formatMac(party.mac),
        ...(namespace ? { namespace } : {}),
      }
      netlink.run(createLink({ kind: 'veth', name: party.name, index, mac: formatMac(HOST_MAC), peer }))
    }
    this.reset()
  }

  /** Three pods, that nothing isolates unless rules are given; the node, the world; no connections; revision 1; proxies in use if so. */
  reset(policy: PolicyOfPods = {}, proxies = false): void {
    for (const { maps } of [this.datapath, this.memory]) {
      for (const map of [
        maps.endpoints,
        maps.ipcache,
        maps.flows,
        maps.fragments,
        maps.frontends,
        maps.backends,
        maps.affinities,
        maps.affinity_backends,
        maps.translations,
        maps.tls_contexts,
      ])
        (map as { clear(): void }).clear()
      maps.ipcache.updateBatch(worldEntries(this.world.schema.reservedIdentity))
    }
    this.setIpcache('172.30.0.2/32', 1, true)
    this.setIpcache('fd00:172:30::2/128', 1, true)
    for (const pod of PODS) this.addEndpoint(pod)
    this.setPolicies(PODS.map(pod => [pod.policy, policy[pod.name as PodName] ?? openPolicy()]))
    this.setRevision(1, proxies ? 1 : 0)
    this.drainEvents()
  }

  addEndpoint(pod: Pod, change: Partial<Endpoint> = {}, families: readonly (4 | 6)[] = [4, 6]): void {
    const { ifindex, id, identity, policy, mac } = pod
    const endpoint = { ifindex, id, identity, policy, mac, flags: 0, ...change }
    for (const family of families) {
      for (const { maps } of [this.datapath, this.memory]) maps.endpoints.set({ bytes: pod[family] }, endpoint)
      this.setIpcache(family === 4 ? `10.244.0.${id}/32` : `fd00:10:244::${id}/128`, endpoint.identity)
    }
  }

  removeEndpoint(pod: Pod): void {
    for (const { maps } of [this.datapath, this.memory])
      for (const family of [4, 6] as const) maps.endpoints.delete({ bytes: pod[family] })
  }

  setIpcache(prefix: string, identity: number, host = false): void {
    const flags = host ? this.world.schema.ipcacheFlags.number.HOST : 0
    for (const { maps } of [this.datapath, this.memory]) maps.ipcache.set(ipcacheKey(cidr(prefix)), { identity, flags })
  }

  /** In one batch: the kernel waits for a grace period at each. */
  setPolicies(policies: readonly (readonly [number, readonly Rule[]])[]): void {
    const elements = policies.map(([number, rules]) => [number, rules.map(rule => this.#elementOf(rule))] as const)
    const inner = elements.map(([number, list]) => [number, this.datapath.createPolicyMap(list)] as const)
    this.datapath.maps.policy_maps.updateBatch(inner)
    for (const [, map] of inner) map.close()
    for (const [number, list] of elements) this.memory.maps.policy_maps.set(number, this.memory.createPolicyMap(list))
  }

  setPolicy(pod: Pod, rules: readonly Rule[]): void {
    this.setPolicies([[pod.policy, rules]])
  }

  #elementOf({ rule, ...term }: Rule): ReturnType<typeof policyElement> {
    const whole: PolicyTerm = {
      identity: 0,
      protocol: 0,
      port: 0,
      portPrefixLength: term.port === undefined ? 0 : 16,
      verdict: 'allow',
      precedence: 0,
      ...term,
    }
    return policyElement(this.world.schema, whole, rule)
  }

  removePolicy(number: number): void {
    for (const { maps } of [this.datapath, this.memory]) maps.policy_maps.delete(number)
  }

  setRevision(revision: number, proxies = this.datapath.maps.runtime.get(0)?.proxies ?? 0): void {
    for (const { maps } of [this.datapath, this.memory]) maps.runtime.set(0, { revision, proxies })
  }

  /** Slot of the TLS context of a rule set; undefined: it has none. */
  setTlsContext(number: number, slot: number | undefined): void {
    for (const { maps } of [this.datapath, this.memory])
      if (slot === undefined) maps.tls_contexts.delete(number)
      else maps.tls_contexts.set(number, slot)
  }

  setFlow(key: FlowKey, flow: Flow): void {
    for (const { maps } of [this.datapath, this.memory]) maps.flows.set(key, flow)
  }

  /** As the agent does after any change of policy, endpoints or ipcache. */
  raiseRevision(): void {
    this.setRevision((this.datapath.maps.runtime.get(0)?.revision ?? 0) + 1)
  }

  /** Runs many sends without entering the namespace for each. */
  inside<Result>(run: () => Result): Result {
    if (this.#inside) return run()
    this.#inside = true
    let result: Result | undefined
    try {
      withNamespace(this.namespace, () => {
        result = run()
      })
      return result as Result
    } finally {
      this.#inside = false
    }
  }

  /** Sends one packet through the kernel's program and through the predictor, and compares the two. */
  send(sent: Sent): Observed {
    const question = { ...sent, now: process.hrtime.bigint() }
    const first = predict(this.world, question)
    const run = this.run(sent)
    const chosen = first.choice && this.#chosen(first.choice, run.event)
    const prediction = chosen ? predict(this.world, { ...question, chosen }) : first
    const observed: Observed = { ...run, prediction }
    applyPrediction(prediction, this.memory.maps)
    assertAgreement(this, sent, observed)
    return observed
  }

  /** What chance decided, out of what it may: by the table, or by the event where policy denied it. */
  #chosen(choice: Choice, event: FlowEvent | undefined): NonNullable<Question['chosen']> {
    const { maps } = this.datapath
    const entry = maps.translations.get(choice.tuple)
    const isIt = (id: number): boolean => {
      const backend = maps.backends.get(id)
      if (!backend || !event) return false
      return (
        backend.port === event.destination_port && compareBytes(backend.address.bytes, event.destination.bytes) === 0
      )
    }
    const sourcePort = entry?.target.source_port ?? event?.source_port ?? 0
    // Of no service: only the port is another.
    if (choice.backends.length === 0) return { backend: 0, sourcePort }
    const backend = entry?.backend ?? choice.backends.find(isIt) ?? assert.fail('no backend of these was chosen')
    assert.ok(choice.backends.includes(backend), `backend ${backend} is one of ${choice.backends.join()}`)
    return { backend, sourcePort }
  }

  /** Sends one packet through the kernel's program alone. */
  run({ hook, frame, ifindex, ingressIfindex, mark = 0 }: Sent): Omit<Observed, 'prediction'> {
    const run = this.inside(() =>
      this.datapath.programs[hook].testRun({
        packet: frame,
        context: { ifindex, ingress_ifindex: ingressIfindex, mark },
      }),
    )
    const events = this.drainEvents()
    const action = ACTIONS[run.returnValue] ?? assert.fail(`unknown action ${run.returnValue}`)
    assert.ok(events.length <= 1, 'one packet makes at most one event')
    return { action, frame: run.packet, event: events[0] }
  }

  drainEvents(): FlowEvent[] {
    const events: FlowEvent[] = []
    this.#events.drain((view, offset, length) => {
      events.push(decodeFlowEvent(this.world.schema.flowEvent, view, offset, length))
    })
    return events
  }

  [Symbol.dispose](): void {
    this.#events.close()
    this.datapath.close()
    this.namespace.close()
  }
}

/** Policy of a pod that nothing isolates. */
export const openPolicy = (): Rule[] => [
  { direction: 'ingress', rule: 1 },
  { direction: 'egress', rule: 2 },
]
