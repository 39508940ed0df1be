// A node for rules of kube-proxy: a network namespace that routes between a client, backends and machines outside,
// all of them plain namespaces; no program anywhere. Outside hangs on a bridge, as in the sandbox.

import {
  addAddress,
  createLink,
  createNamespace,
  type Namespace,
  NetlinkSocket,
  type Request,
  setLink,
  whenLocal,
  writeSysctls,
} from '../../src/net/index.ts'
import { type BareEnd, plugIn } from './bare-pair.ts'

const MTU = 1500
/** Of machines on the network of the nodes: their device. */
export const UPLINK = 'uplink'
export const NODE_ADDRESS = '172.30.0.2'
export const OUTSIDE_ADDRESS = '172.30.0.9'
export const ELSEWHERE_ADDRESS = '172.30.0.20'
/** kube-proxy's default for two CPUs; and closed connections are forgotten soon, or the table would fill up with them. */
const CLOSED_SECONDS = 2

type Machines = { readonly outside: Namespace; readonly elsewhere: Namespace; readonly bridge: Namespace }

export class BareNode implements Disposable {
  readonly namespace: Namespace
  readonly client: BareEnd
  readonly backends: readonly BareEnd[]
  /** Who asks from outside. */
  readonly outside: Namespace
  /** A machine on the same network with backends. */
  readonly elsewhere: Namespace
  readonly #switch: Namespace

  private constructor(namespace: Namespace, ends: readonly BareEnd[], machines: Machines) {
    const [client, ...backends] = ends
    if (!client) throw new RangeError('a node needs a client')
    this.namespace = namespace
    this.client = client
    this.backends = backends
    this.outside = machines.outside
    this.elsewhere = machines.elsewhere
    this.#switch = machines.bridge
  }

  static async create(backends: number): Promise<BareNode> {
    using owned = new DisposableStack()
    const node = owned.use(createNamespace())
    writeSysctls(node, {
      'net/ipv4/ip_forward': 1,
      'net/ipv6/conf/all/forwarding': 1,
      'net/ipv4/conf/all/rp_filter': 0,
      'net/ipv4/conf/default/rp_filter': 0,
    })
    run(node, setLink({ name: 'lo' }, { up: true }))
    const ends = Array.from({ length: 1 + backends }, (_, i) => plugIn(node, 1 + i, MTU))
    for (const { namespace } of ends) owned.use(namespace)
    const bridge = owned.use(createNamespace())
    run(bridge, createLink({ kind: 'bridge', name: 'underlay', index: 100, up: true, multicastSnooping: false }))
    plugIntoBridge(bridge, node, 101, NODE_ADDRESS)
    const outside = owned.use(createNamespace())
    const elsewhere = owned.use(createNamespace())
    plugIntoBridge(bridge, outside, 102, OUTSIDE_ADDRESS)
    plugIntoBridge(bridge, elsewhere, 103, ELSEWHERE_ADDRESS)
    await Promise.all([
      whenLocal(node, NODE_ADDRESS),
      whenLocal(outside, OUTSIDE_ADDRESS),
      whenLocal(elsewhere, ELSEWHERE_ADDRESS),
    ])
    owned.move()
    return new BareNode(node, ends, { outside, elsewhere, bridge })
  }

  /** Once there are rules: conntrack of a namespace has settings only when somebody uses it. */
  forgetClosedSoon(): void {
    writeSysctls(this.namespace, { 'net/netfilter/nf_conntrack_tcp_timeout_time_wait': CLOSED_SECONDS })
  }

  [Symbol.dispose](): void {
    for (const { namespace } of [this.client, ...this.backends]) namespace.close()
    for (const namespace of [this.outside, this.elsewhere, this.#switch, this.namespace]) namespace.close()
  }
}

/** As a machine on the network of the nodes. @param port index of its device on the bridge, whose index is 100 */
export function plugIntoBridge(bridge: Namespace, namespace: Namespace, port: number, address: string): void {
  const peer = { name: UPLINK, index: 100, namespace }
  run(bridge, createLink({ kind: 'veth', name: `port${port}`, index: port, up: true, master: 100, peer }))
  run(
    namespace,
    setLink({ name: 'lo' }, { up: true }),
    setLink({ index: 100 }, { up: true }),
    addAddress({ index: 100, address, prefixLength: 24 }),
  )
}

function run(namespace: Namespace, ...requests: readonly Request[]): void {
  using socket = NetlinkSocket.open({ namespace })
  socket.run(...requests)
}
