// Pods, their node and somebody outside, as in service-pods.ts, with policies that want
// proxies, a relay in a proxy's place (relay-program.ts), and servers at every end.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import path from 'node:path'
import {
  attachCgroup,
  attachNetns,
  attachTcx,
  type Link,
  type LoadedObject,
  loadObject,
  parseObject,
} from '../../src/bpf/index.ts'
import { ip, wireBytes } from '../../src/ip/index.ts'
import { type PolicyTerm, policyElement, toAddress } from '../../src/maps/index.ts'
import { withNamespace, writeSysctls } from '../../src/net/index.ts'
import { prepareForProxies } from '../../src/reconcilers/index.ts'
import { PROGRAMS } from '../../src/sandbox/paths.ts'
import { NODE, PLACES, POD_PORT, SERVICE_NUMBER, ServicePods } from './service-pods.ts'
import type { SocketProcess } from './socket-calls.ts'

const NETDEV_OBJECT = readFileSync(new URL('../../build/netdev.o', import.meta.url))
const PROXY_OBJECT = readFileSync(new URL('../../build/proxy.o', import.meta.url))
const RELAY = path.join(import.meta.dirname, 'relay-program.ts')

export type Rule = Partial<PolicyTerm> & { readonly direction: 'ingress' | 'egress'; readonly rule: number }
export type Policies = { readonly a?: readonly Rule[]; readonly b?: readonly Rule[] }

const OPEN: readonly Rule[] = [
  { direction: 'ingress', rule: 1 },
  { direction: 'egress', rule: 2 },
]
const POLICY = { a: 10, b: 11 } as const

export class ProxyPods implements AsyncDisposable {
  readonly pods = new ServicePods()
  readonly #cgroup = `${this.pods.node.cgroup}-proxy`
  /** Of who is on no machine of ours: no program is on its sockets. */
  readonly #elsewhere = `${this.pods.node.cgroup}-elsewhere`
  readonly #object
  readonly #links: Link[]
  #relay: ChildProcess | undefined
  #netdev: LoadedObject | undefined
  #revision = 1

  private constructor() {
    const { datapath } = this.pods.node
    for (const cgroup of [this.#cgroup, this.#elsewhere]) mkdirSync(cgroup)
    const spec = parseObject(PROXY_OBJECT)
    const shared = ['flows', 'proxy_sockets', 'tls_contexts', 'runtime'] as const
    this.#object = loadObject(spec, {
      maps: Object.fromEntries(shared.map(name => [name, datapath.maps[name]])) as never,
      maxEntries: Object.fromEntries(shared.map(name => [name, datapath.maps[name].maxEntries])),
    })
    this.#links = [
      attachCgroup(this.#object.program('mark_proxy'), this.#cgroup, 'cgroup_inet_sock_create'),
      attachCgroup(this.#object.program('tell_proxy'), this.#cgroup, 'cgroup_getsockopt'),
      attachNetns(this.#object.program('find_listener'), `/proc/self/fd/${this.pods.node.namespace.fd}`),
    ]
  }

  static async start(): Promise<ProxyPods> {
    const proxied = new ProxyPods()
    await proxied.#start()
    return proxied
  }

  async #start(): Promise<void> {
    const { node } = this.pods
    writeSysctls(node.namespace, { 'net/ipv4/conf/all/rp_filter': 0, 'net/ipv4/conf/default/rp_filter': 0 })
    await this.pods.start()
    await node.addressed([], node.namespace)
    prepareForProxies(node.namespace, node.datapath.schema)
    for (const name of ['a', 'b'] as const) {
      writeSysctls(node.namespace, { [`net/ipv4/conf/${name}/accept_local`]: 1 })
      for (const family of [4, 6] as const) {
        const key = toAddress(ip(PLACES[name][family]))
        const endpoint = node.datapath.maps.endpoints.get(key) ?? assert.fail(`no endpoint ${name}`)
        node.datapath.maps.endpoints.set(key, { ...endpoint, policy: POLICY[name] })
      }
    }
    const netdev = node.datapath.load(NETDEV_OBJECT, {
      rodata: { node_ipv4: wireBytes(ip(NODE[4])), node_ipv6: wireBytes(ip(NODE[6])) },
    })
    this.#netdev = netdev
    const { index } = PLACES.outside
    withNamespace(node.namespace, () =>
      this.#links.push(
        attachTcx(netdev.program('from_netdev'), index, 'ingress'),
        attachTcx(netdev.program('to_netdev'), index, 'egress'),
      ),
    )
    for (const [name, process, addresses] of [
      ['node', node.process(), NODE],
      ['outside', node.process(this.pods.namespaces.get('outside')), PLACES.outside],
    ] as const)
      for (const family of [4, 6] as const)
        for (const protocol of ['TCP', 'UDP'] as const)
          await process.serve(name, protocol, { address: addresses[family], port: POD_PORT })
    this.#host = node.process()
    this.#outside = node.process(this.pods.namespaces.get('outside'), this.#elsewhere)
  }

  #host: SocketProcess | undefined
  #outside: SocketProcess | undefined

  /** A process of the node itself. */
  get host(): SocketProcess {
    return this.#host ?? assert.fail('not started')
  }

  /** A client outside. */
  get outside(): SocketProcess {
    return this.#outside ?? assert.fail('not started')
  }

  async startRelay(): Promise<void> {
    if (this.#relay) return
    const { namespace, datapath } = this.pods.node
    const netns = `/proc/${process.pid}/fd/${namespace.fd}`
    const enter = ['enter', '--die-with-parent', '--cgroup', this.#cgroup, '--netns', netns, '--']
    const command = [process.execPath, RELAY, String(datapath.maps.proxy_sockets.id)]
    this.#relay = spawn(PROGRAMS.podInit, [...enter, ...command], { stdio: ['ignore', 'pipe', 'inherit'] })
    const { stdout } = this.#relay
    assert.equal(String(stdout && (await once(stdout, 'data'))).trim(), 'ready')
  }

  async stopRelay(): Promise<void> {
    if (!this.#relay) return
    this.#relay.kill('SIGKILL')
    await once(this.#relay, 'exit')
    this.#relay = undefined
  }

  /** A port of the node that outside clients reach pod b by; until `reset`. */
  openNodePort(family: 4 | 6, port: number): void {
    const { node } = this.pods
    const flags = node.datapath.schema.frontendFlags.number.OUTSIDE
    const backends = [{ id: PLACES.b.index, address: PLACES.b[family], port: POD_PORT }]
    const frontends = [{ address: NODE[family], port }]
    for (const [number, protocol] of [
      [SERVICE_NUMBER, 'TCP'],
      [SERVICE_NUMBER + 1, 'UDP'],
    ] as const)
      node.setService({ number, protocol, frontends, backends, flags })
  }

  /** No connections, no services; these policies, what is not given is open. */
  reset(policies: Policies, options: { readonly byPacket: boolean } = { byPacket: false }): void {
    this.pods.reset(options)
    this.setPolicies(policies)
  }

  setPolicies(policies: Policies): void {
    const { datapath } = this.pods.node
    const any = { identity: 0, protocol: 0, port: 0, portPrefixLength: 0, precedence: 0, verdict: 'allow' } as const
    for (const name of ['a', 'b'] as const) {
      using map = datapath.createPolicyMap(
        (policies[name] ?? OPEN).map(({ rule, ...term }) =>
          policyElement(datapath.schema, { ...any, ...term } satisfies PolicyTerm, rule),
        ),
      )
      datapath.maps.policy_maps.set(POLICY[name], map)
    }
    datapath.maps.runtime.set(0, { revision: ++this.#revision, proxies: 1 })
  }

  /** Slots of the TLS contexts of rule sets; others have none. */
  setTlsContexts(slots: Readonly<Record<number, number>>): void {
    const { tls_contexts: map } = this.pods.node.datapath.maps
    map.clear()
    for (const [number, slot] of Object.entries(slots)) map.set(Number(number), slot)
  }

  /** As if a full map had lost what is known of that leg of every connection. */
  forget(leg: 'TO_PROXY' | 'FROM_PROXY'): void {
    const { schema, maps } = this.pods.node.datapath
    const keys = [...maps.flows.keys()].filter(key => key.leg === schema.flowLeg.number[leg])
    assert.ok(keys.length > 0, 'there is a connection')
    for (const key of keys) maps.flows.delete(key)
  }

  /** Names of the reasons of drops since the last look, without repetition. */
  drops(): string[] {
    const { dropReason } = this.pods.node.datapath.schema
    const reasons = this.pods.events().map(({ drop_reason }) => drop_reason)
    return [...new Set(reasons.filter(reason => reason !== 0).map(reason => dropReason.text(reason)))]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopRelay()
    for (const link of this.#links) link.close()
    this.#object.close()
    this.#netdev?.close()
    await this.pods[Symbol.asyncDispose]()
    for (const cgroup of [this.#cgroup, this.#elsewhere]) rmdirSync(cgroup)
  }
}
