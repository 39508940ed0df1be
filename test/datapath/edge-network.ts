// A client and two nodes with a pod each, on one switch: real namespaces, real sockets,
// the real programs on pods' and nodes' devices. Services are put into a node's maps by
// the test.

import { readFileSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { attachXdp, type LoadedObject, PinDirectory, type Program } from '../../src/bpf/index.ts'
import { cidr, ip, mac, wireBytes } from '../../src/ip/index.ts'
import {
  type Datapath,
  type FrontendFlag,
  ipcacheKey,
  loadDatapath,
  policyElement,
  worldEntries,
} from '../../src/maps/index.ts'
import {
  addAddress,
  addRoute,
  createLink,
  createNamespace,
  linkOf,
  type Namespace,
  NetlinkSocket,
  setLink,
  whenLocal,
  withNamespace,
  writeSysctls,
} from '../../src/net/index.ts'
import {
  clsactAttacher,
  endpointDeviceOperations,
  hostInterfaceOf,
  nodeDeviceOperations,
  PodNetwork,
  type XdpMode,
} from '../../src/reconcilers/index.ts'
import { check } from '../../src/sys/errors.ts'
import { addressOf, close, keepAlive, SYSCALL, stableBuffer, syscall } from '../../src/sys/native.ts'
import { temporaryBpffs } from '../bpf/support.ts'
import { SocketHost, type Transport } from '../e2e/sockets.ts'

const HOST_MAC = '02:61:78:6f:6e:65'
const POLICY = 1
const IDENTITY = 300
const UPLINK = 100
/** Of the switch. */
const PORTS = [20, 21, 22] as const
const PROTOCOL = { TCP: 6, UDP: 17 } as const
const object = (name: string): Buffer => readFileSync(new URL(`../../build/${name}.o`, import.meta.url))
const { signal } = new AbortController()

export type Addresses = Readonly<Record<4 | 6, string>>
export const CLIENT: Addresses = { 4: '172.30.0.9', 6: 'fd00:172:30::9' }

export type EdgeService = {
  readonly address: string
  readonly port: number
  readonly protocol: Transport
  readonly backends: readonly { readonly address: string; readonly port: number }[]
  readonly flags?: readonly FrontendFlag[]
}

/** One node with its pod; both closed with the test. */
export class EdgeNode {
  readonly address: Addresses
  readonly pod: Addresses
  readonly namespace: Namespace
  readonly podNamespace: Namespace
  readonly datapath: Datapath
  readonly #device: LoadedObject
  readonly #ids = new Map<string, number>()
  #slots = 0

  constructor(t: TestContext, number: number) {
    this.address = { 4: `172.30.0.${number + 1}`, 6: `fd00:172:30::${number + 1}` }
    this.pod = { 4: `10.244.${number}.2`, 6: `fd00:10:244:${number}::2` }
    this.namespace = fresh(t)
    this.podNamespace = fresh(t)
    this.datapath = loadDatapath({ object: object('pod'), hostMac: mac(HOST_MAC) })
    this.#device = this.datapath.load(object('netdev'), {
      rodata: { node_ipv4: wireBytes(ip(this.address[4])), node_ipv6: wireBytes(ip(this.address[6])) },
    })
    t.after(() => {
      this.#device.close()
      this.datapath.close()
    })
    using page = this.datapath.createSlotPage()
    this.datapath.maps.slot_pages.set(0, page)
  }

  /** Plugs the node into the switch; the other node's pods are behind `other`. */
  async start(t: TestContext, other: EdgeNode, xdp?: XdpMode): Promise<void> {
    const { namespace: node } = this
    writeSysctls(node, {
      'net/ipv4/ip_forward': 1,
      'net/ipv6/conf/all/forwarding': 1,
      'net/ipv4/conf/all/rp_filter': 0,
      'net/ipv4/conf/default/rp_filter': 0,
      'net/ipv4/conf/eth0/rp_filter': 0,
    })
    using netlink = NetlinkSocket.open({ namespace: node })
    netlink.run(
      ...([4, 6] as const).map(family =>
        addRoute({
          destination: other.pod[family].replace(/2$/, family === 4 ? '0/24' : '/64'),
          gateway: other.address[family],
          index: UPLINK,
        }),
      ),
    )
    await this.#addPod(t)
    const bpffs = temporaryBpffs()
    t.after(() => bpffs[Symbol.dispose]())
    const [fromNetdev, toNetdev] = [this.#device.program('from_netdev'), this.#device.program('to_netdev')]
    const operations = nodeDeviceOperations({
      programs: { fromNetdev, toNetdev },
      pins: PinDirectory.open(bpffs.path, 1),
      mechanism: 'tcx',
      node,
      ...(xdp && { xdp: { program: this.loadXdp(t), mode: xdp } }),
      onFallback: ({ name }, error) => {
        throw new Error(`no native XDP on ${name}`, { cause: error })
      },
    })
    const failures = await operations.update([{ ifindex: UPLINK, name: 'eth0', addresses: [] }], signal)
    for (const [, error] of failures ?? []) throw error
  }

  loadXdp(t: TestContext): Program {
    const loaded = this.datapath.load(object('xdp'), {
      rodata: { node_ipv4: wireBytes(ip(this.address[4])), node_ipv6: wireBytes(ip(this.address[6])) },
    })
    t.after(() => loaded.close())
    return loaded.program('xdp_netdev')
  }

  async #addPod(t: TestContext): Promise<void> {
    const { maps, schema, programs } = this.datapath
    const any = { identity: 0, protocol: 0, port: 0, portPrefixLength: 0, verdict: 'allow', precedence: 1 } as const
    using open = this.datapath.createPolicyMap([
      policyElement(schema, { ...any, direction: 'egress' }, 1),
      policyElement(schema, { ...any, direction: 'ingress' }, 1),
    ])
    maps.policy_maps.set(POLICY, open)
    maps.ipcache.updateBatch(worldEntries(schema.reservedIdentity))
    const host = hostInterfaceOf(2)
    for (const family of [4, 6] as const) {
      const bits = family === 4 ? 32 : 128
      maps.ipcache.set(ipcacheKey(cidr(`${this.address[family]}/${bits}`)), { identity: 1, flags: 1 })
      maps.ipcache.set(ipcacheKey(cidr(`${this.pod[family]}/${bits}`)), { identity: IDENTITY, flags: 0 })
      maps.endpoints.set(
        { bytes: ip(this.pod[family]).bytes },
        { ifindex: host.ifindex, id: 2, identity: IDENTITY, policy: POLICY, mac: mac('0a:00:00:00:00:02'), flags: 0 },
      )
    }
    maps.runtime.set(0, { revision: 1, proxies: 0 })
    const addresses = [this.address[4], this.address[6]]
    const network = new PodNetwork({ node: this.namespace, hostMac: HOST_MAC, mtu: 1500, nodeAddresses: addresses })
    const attacher = clsactAttacher({ fromPod: programs.from_pod, toPod: programs.to_pod }, this.namespace)
    t.after(() => {
      attacher.close()
      network.close()
    })
    const failures = await endpointDeviceOperations(network, attacher, this.namespace).update(
      [
        {
          id: 2,
          containerId: 'container',
          podNamespace: 'default',
          podName: 'pod',
          networkNamespace: `/proc/${process.pid}/fd/${this.podNamespace.fd}`,
          networkNamespaceInode: this.podNamespace.inode,
          networkNamespaceCookie: '0',
          interface: 'eth0',
          hostInterface: host.name,
          ifindex: host.ifindex,
          mac: '0a:00:00:00:00:02',
          addresses: [this.pod[4], this.pod[6]],
        },
      ],
      signal,
    )
    for (const [, error] of failures ?? []) throw error
  }

  /** Puts a service in force, or another choice of backends. */
  setService(service: EdgeService): void {
    const { maps, schema } = this.datapath
    const protocol = PROTOCOL[service.protocol]
    const ids = service.backends.map(({ address, port }) => {
      const key = `${address} ${port} ${protocol}`
      const id = this.#ids.get(key) ?? this.#ids.size + 1
      this.#ids.set(key, id)
      maps.backends.set(id, { address: { bytes: ip(address).bytes }, port, protocol, service: 1 })
      return id
    })
    using page = this.datapath.openSlotPage(0)
    const range = { first: this.#slots, count: ids.length }
    for (const id of ids) page?.set(this.#slots++, id)
    const flags = (service.flags ?? []).reduce((all, flag) => all | schema.frontendFlags.number[flag], 0)
    maps.frontends.set(
      { address: { bytes: ip(service.address).bytes }, port: service.port, protocol },
      {
        backends: [range, range],
        service: 7,
        affinity_seconds: 0,
        without: Uint8Array.of(0, 0),
        flags: flags | schema.frontendFlags.number.OUTSIDE,
      },
    )
  }

  /** Whether the pod's connections, as policy sees them, have an end at this address. */
  knows(address: string): boolean {
    const wanted = Buffer.from(ip(address).bytes).toString('hex')
    return this.datapath.maps.flows
      .lookupBatch()
      .some(([{ low, high }]) => [low, high].some(end => Buffer.from(end.bytes).toString('hex') === wanted))
  }
}

export class EdgeNetwork {
  readonly client: Namespace
  readonly near: EdgeNode
  readonly far: EdgeNode

  private constructor(t: TestContext) {
    this.client = fresh(t)
    this.near = new EdgeNode(t, 1)
    this.far = new EdgeNode(t, 2)
  }

  static async start(t: TestContext, xdp?: XdpMode): Promise<EdgeNetwork> {
    const network = new EdgeNetwork(t)
    const { client, near, far } = network
    const underlay = await plugIn(t, [
      [client, CLIENT],
      [near.namespace, near.address],
      [far.namespace, far.address],
    ])
    await near.start(t, far, xdp)
    await far.start(t, near, xdp)
    if (xdp === 'native') receiveFrames(t, underlay, near)
    if (xdp) for (const sender of [client, near.podNamespace, far.podNamespace]) computeChecksums(sender)
    return network
  }
}

/** A veth device takes a packet that is sent back from XDP only where it has an XDP program itself: any that lets it pass. */
function receiveFrames(t: TestContext, underlay: Namespace, node: EdgeNode): void {
  const program = node.loadXdp(t)
  const links = withNamespace(underlay, () => PORTS.map(port => attachXdp(program, port, 'native')))
  t.after(() => {
    for (const link of links) link.close()
  })
}

const SIOCETHTOOL = 0x8946
const ETHTOOL_STXCSUM = 0x17

/**
 * A veth device leaves checksums to be computed by whoever the packet leaves the machine by. On XDP a packet has none but
 * its own: the senders behind it must make them, as those behind a real wire do.
 */
function computeChecksums(namespace: Namespace): void {
  withNamespace(namespace, () => {
    const socket = check('open socket', syscall(SYSCALL.socket, 2, 2, 0))
    const value = stableBuffer(8)
    value.writeUInt32LE(ETHTOOL_STXCSUM, 0)
    const request = stableBuffer(40) // struct ifreq
    request.write('eth0', 0)
    request.writeBigUInt64LE(addressOf(value), 16)
    check('turn off checksum offload', syscall(SYSCALL.ioctl, socket, SIOCETHTOOL, addressOf(request)))
    keepAlive([value, request])
    close(socket)
  })
}

function fresh(t: TestContext): Namespace {
  const namespace = createNamespace()
  t.after(() => namespace.close())
  writeSysctls(namespace, {
    'net/ipv6/conf/all/accept_dad': 0,
    'net/ipv6/conf/default/accept_dad': 0,
    'net/ipv6/conf/default/accept_ra': 0,
  })
  using netlink = NetlinkSocket.open({ namespace })
  netlink.run(setLink({ index: 1 }, { up: true }))
  return namespace
}

/** Each gets a device `eth0` on one switch. */
async function plugIn(t: TestContext, ends: readonly (readonly [Namespace, Addresses])[]): Promise<Namespace> {
  const underlay = fresh(t)
  using netlink = NetlinkSocket.open({ namespace: underlay })
  netlink.run(createLink({ kind: 'bridge', name: 'switch', index: 10, up: true, multicastSnooping: false }))
  for (const [number, [namespace, addresses]] of ends.entries()) {
    const peer = { name: 'eth0', index: UPLINK, namespace }
    netlink.run(
      createLink({ kind: 'veth', name: `port${number}`, index: PORTS[number] ?? 0, up: true, master: 10, peer }),
    )
    using inside = NetlinkSocket.open({ namespace })
    const index = inside.get(linkOf({ name: 'eth0' }))?.index ?? 0
    inside.run(
      setLink({ index }, { up: true }),
      addAddress({ index, address: addresses[4], prefixLength: 24 }),
      addAddress({ index, address: addresses[6], prefixLength: 64, noDad: true }),
    )
    for (const address of Object.values(addresses)) await whenLocal(namespace, address)
  }
  return underlay
}

export const hostIn = (t: TestContext, namespace: Namespace): SocketHost => SocketHost.in(t, namespace)
