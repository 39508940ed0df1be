// The network of one pod: its veth pair, addresses and routes on both sides. Every
// step is idempotent, so that an interrupted set-up is finished by doing it again.
// Attaching the programs is endpoint-devices.ts's part; it happens before the pod's
// side comes up, so that no packet of a pod is ever unjudged.

import fs from 'node:fs'
import { parseIp } from '../ip/index.ts'
import {
  allLinks,
  createLink,
  deleteLink,
  type Link,
  linkOf,
  type Namespace,
  NetlinkSocket,
  type Request,
  replaceAddress,
  replaceNeighbour,
  replaceRoute,
  setLink,
  writeSysctls,
} from '../net/index.ts'
import type { Endpoint } from '../tables/index.ts'

/** What pods use as their gateway: the node's side of the pair answers for it, whatever the address. */
export const GATEWAYS = { 4: '169.254.1.1', 6: 'fe80::1' } as const

/** Routes that the agent made (RTPROT_*): an unregistered number, so that nobody else's are taken for ours. */
export const ROUTE_PROTOCOL_AXONEME = 0xa7

/** Not there in a kernel that was started without IPv6. */
const IPV6_SETTINGS = '/proc/sys/net/ipv6'

/** Whether this kernel has IPv6 at all. */
export const hasIpv6 = (): boolean => fs.existsSync(IPV6_SETTINGS)

const HOST_INTERFACE_PREFIX = 'axo'
/** All host sides by name, as nftables has patterns. */
export const HOST_INTERFACES = `${HOST_INTERFACE_PREFIX}*`

/** Indexes of host interfaces are chosen, not found out: the endpoint map can then be written before the pair exists. */
const FIRST_IFINDEX = 0x0a00_0000

export function hostInterfaceOf(endpointId: number): { readonly name: string; readonly ifindex: number } {
  return { name: `${HOST_INTERFACE_PREFIX}${endpointId}`, ifindex: FIRST_IFINDEX + endpointId }
}

export type PodNetworkOptions = {
  /** The namespace that the host sides live in. */
  readonly node: Namespace
  /** MAC of every host side. */
  readonly hostMac: string
  readonly mtu: number
  /** This node's address of each family: what it calls pods from. */
  readonly nodeAddresses: readonly string[]
}

export class PodNetwork implements Disposable {
  readonly #options: PodNetworkOptions
  readonly #node: NetlinkSocket

  constructor(options: PodNetworkOptions) {
    this.#options = options
    this.#node = NetlinkSocket.open({ namespace: options.node })
  }

  /** Makes the pair with its settings, both sides down. One that is up was finished before. */
  createPair(endpoint: Endpoint, pod: Namespace): void {
    const existing = this.#node.get(linkOf({ index: endpoint.ifindex }))
    if (existing && (existing.name !== endpoint.hostInterface || existing.kind !== 'veth'))
      throw new Error(`interface index ${endpoint.ifindex} belongs to ${existing.name}, which is not ours`)
    if (existing?.up) return
    if (!existing)
      this.#node.run(
        createLink({
          kind: 'veth',
          name: endpoint.hostInterface,
          index: endpoint.ifindex,
          mac: this.#options.hostMac,
          mtu: this.#options.mtu,
          peer: { name: endpoint.interface, mac: endpoint.mac, mtu: this.#options.mtu, namespace: { fd: pod.fd } },
        }),
      )
    writeSysctls(this.#options.node, { [`net/ipv4/conf/${endpoint.hostInterface}/rp_filter`]: 0 })
    if (!hasIpv6()) return
    writeSysctls(this.#options.node, {
      [`net/ipv6/conf/${endpoint.hostInterface}/accept_ra`]: 0,
      // Without an address of its own it sends no discovery into the pod.
      [`net/ipv6/conf/${endpoint.hostInterface}/addr_gen_mode`]: 1,
    })
    writeSysctls(pod, {
      [`net/ipv6/conf/${endpoint.interface}/accept_dad`]: 0,
      [`net/ipv6/conf/${endpoint.interface}/accept_ra`]: 0,
    })
  }

  /** Brings both sides up, with addresses, routes and neighbours. */
  configure(endpoint: Endpoint, pod: Namespace): void {
    const index = endpoint.ifindex
    // Of what goes to a pod and is for a proxy, some comes from the node's own address; it is turned round here.
    writeSysctls(this.#options.node, { [`net/ipv4/conf/${endpoint.hostInterface}/accept_local`]: 1 })
    this.#node.run(setLink({ index }, { up: true }), ...endpoint.addresses.flatMap(a => this.#nodeSide(endpoint, a)))
    using inside = NetlinkSocket.open({ namespace: pod })
    const own = inside.get(linkOf({ name: endpoint.interface }))
    if (!own) throw new Error(`the pod has no interface ${endpoint.interface}`)
    inside.run(
      setLink({ name: 'lo' }, { up: true }),
      setLink({ index: own.index }, { up: true }),
      ...endpoint.addresses.flatMap(address => podSide(own.index, address)),
    )
  }

  /** Removes the pair, wherever its other side is. Nothing there is no error. */
  remove(endpoint: Pick<Endpoint, 'ifindex'>): void {
    const [error] = this.#node.attempt([deleteLink({ index: endpoint.ifindex })])
    if (error && error.code !== 'ENODEV') throw error
  }

  /** Host sides that are there, ours by name. */
  list(): Link[] {
    return this.#node
      .list(allLinks())
      .filter(link => link.kind === 'veth' && hostInterfaceOf(link.index - FIRST_IFINDEX).name === link.name)
  }

  close(): void {
    this.#node.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #nodeSide(endpoint: Endpoint, address: string): Request[] {
    const family = parseIp(address)?.family ?? 4
    const source = this.#options.nodeAddresses.find(own => parseIp(own)?.family === family)
    return [
      replaceNeighbour({ index: endpoint.ifindex, address, mac: endpoint.mac }),
      replaceRoute({
        destination: hostPrefix(address),
        index: endpoint.ifindex,
        protocol: ROUTE_PROTOCOL_AXONEME,
        ...(source && { preferredSource: source }),
      }),
    ]
  }
}

function podSide(index: number, address: string): Request[] {
  const family = parseIp(address)?.family ?? 4
  const gateway = GATEWAYS[family]
  return [
    replaceAddress({ index, address, noDad: true }),
    replaceRoute({ destination: hostPrefix(gateway), index }),
    replaceRoute({ destination: family === 4 ? '0.0.0.0/0' : '::/0', index, gateway, onLink: true }),
  ]
}

const hostPrefix = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`
