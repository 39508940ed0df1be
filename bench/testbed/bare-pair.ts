// The yardstick of the datapath: two network namespaces with plain veth pairs into the node's own namespace, routed by
// the kernel, with permanent neighbours and no program anywhere. Everything else is as with pods: the same namespace
// between, the same MTU, one address of each family, a default route through the node's side.

import {
  addAddress,
  addRoute,
  createLink,
  createNamespace,
  deleteLink,
  type Namespace,
  NetlinkSocket,
  replaceNeighbour,
  setLink,
  writeSysctls,
} from '../../src/net/index.ts'

/** Of the veth devices, on the node's side and inside. Indexes are chosen: far from those of pods. */
const FIRST_INDEX = 0x0b00_0000
const INSIDE_INDEX = 10
const GATEWAYS = { 4: '169.254.1.1', 6: 'fe80::1' } as const
const HOST_MAC = '02:62:61:72:65:00'

export type BareEnd = { readonly namespace: Namespace; readonly addresses: Record<4 | 6, string> }

export class BarePair implements Disposable {
  readonly client: BareEnd
  readonly server: BareEnd
  readonly #node: Namespace

  /** @param node stays open as long as the pair */
  constructor(node: Namespace, mtu: number) {
    this.#node = node
    this.client = plugIn(node, 1, mtu)
    this.server = plugIn(node, 2, mtu)
  }

  [Symbol.dispose](): void {
    using socket = NetlinkSocket.open({ namespace: this.#node })
    socket.attempt([deleteLink({ index: FIRST_INDEX + 1 }), deleteLink({ index: FIRST_INDEX + 2 })])
    this.client.namespace.close()
    this.server.namespace.close()
  }
}

/** A namespace of its own, at the end of a veth pair into the node's; both end with the namespace. */
export function plugIn(node: Namespace, number: number, mtu: number): BareEnd {
  const namespace = createNamespace()
  const index = FIRST_INDEX + number
  const name = `bare${number}`
  const mac = `02:62:61:72:65:1${number}`
  const addresses = { 4: `10.250.0.${number}`, 6: `fd00:10:250::${number}` } as const
  using outside = NetlinkSocket.open({ namespace: node })
  outside.run(
    createLink({
      kind: 'veth',
      name,
      index,
      mac: HOST_MAC,
      mtu,
      peer: { name: 'eth0', index: INSIDE_INDEX, mac, mtu, namespace },
    }),
  )
  writeSysctls(node, { [`net/ipv4/conf/${name}/rp_filter`]: 0, [`net/ipv6/conf/${name}/addr_gen_mode`]: 1 })
  writeSysctls(namespace, { 'net/ipv6/conf/eth0/accept_dad': 0, 'net/ipv6/conf/eth0/accept_ra': 0 })
  outside.run(
    setLink({ index }, { up: true }),
    ...([4, 6] as const).flatMap(family => [
      replaceNeighbour({ index, address: addresses[family], mac }),
      addRoute({ destination: hostPrefix(addresses[family]), index }),
    ]),
  )
  using inside = NetlinkSocket.open({ namespace })
  inside.run(
    setLink({ name: 'lo' }, { up: true }),
    setLink({ index: INSIDE_INDEX }, { up: true }),
    ...([4, 6] as const).flatMap(family => [
      addAddress({ index: INSIDE_INDEX, address: addresses[family], noDad: true }),
      addRoute({ destination: hostPrefix(GATEWAYS[family]), index: INSIDE_INDEX }),
      replaceNeighbour({ index: INSIDE_INDEX, address: GATEWAYS[family], mac: HOST_MAC }),
      addRoute({
        destination: family === 4 ? '0.0.0.0/0' : '::/0',
        index: INSIDE_INDEX,
        gateway: GATEWAYS[family],
        onLink: true,
      }),
    ]),
  )
  return { namespace, addresses }
}

const hostPrefix = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`
