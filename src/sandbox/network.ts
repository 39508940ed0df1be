// The sandbox's network: the daemon's own namespace is the switch (a bridge, the underlay), each node has a namespace
// with one device on it, and so has a machine outside of the cluster once somebody asks for it. None has a route, a device or a neighbour outside of the sandbox, so no packet can leave the
// machine: nothing here names the root namespace at all.

import {
  addAddress,
  addRoute,
  createLink,
  createNamespace,
  Namespace,
  NetlinkSocket,
  setLink,
  whenLocal,
  writeSysctls,
} from '../net/index.ts'
import type { NodeConfiguration } from './configuration.ts'

const BRIDGE = 'underlay'
const BRIDGE_INDEX = 100
const FIRST_NODE_INDEX = 101
const NODE_DEVICE_INDEX = 100
const OUTSIDE_INDEX = 99

/** Of the machine outside, in the networks of nodes. */
const OUTSIDE_ADDRESSES = ['172.30.0.250/24', 'fd00:172:30::250/64'] as const

/** Makes the calling thread's namespace the switch. @throws SystemError */
export function createSwitch(): void {
  const current = Namespace.current()
  using socket = NetlinkSocket.open()
  // A switch forwards frames, never packets, and has no addresses.
  writeSysctls(current, {
    'net/ipv4/ip_forward': 0,
    'net/ipv6/conf/all/disable_ipv6': 1,
    'net/ipv6/conf/default/disable_ipv6': 1,
  })
  current.close()
  socket.run(
    createLink({ kind: 'bridge', name: BRIDGE, index: BRIDGE_INDEX, up: true, multicastSnooping: false }),
    setLink({ name: 'lo' }, { up: true }),
  )
}

/**
 * Makes a node's namespace and plugs it into the switch, which is the calling thread's namespace.
 * @param position of the node in the sandbox, from 0
 * @throws SystemError
 */
export function createNodeNamespace(node: NodeConfiguration, position: number): Namespace {
  const namespace = createNamespace()
  writeSysctls(namespace, {
    'net/ipv4/ip_forward': 1,
    'net/ipv6/conf/all/forwarding': 1,
    'net/ipv6/conf/default/forwarding': 1,
    // The datapath checks sources itself; the kernel's check would drop what it redirects.
    'net/ipv4/conf/all/rp_filter': 0,
    'net/ipv4/conf/default/rp_filter': 0,
    'net/ipv6/conf/all/accept_ra': 0,
    'net/ipv6/conf/default/accept_ra': 0,
    // All addresses are given out by us: nothing to detect, nothing to wait for.
    'net/ipv6/conf/default/accept_dad': 0,
  })
  using outside = NetlinkSocket.open()
  outside.run(
    createLink({
      kind: 'veth',
      name: node.name.slice(0, 15),
      index: FIRST_NODE_INDEX + position,
      master: BRIDGE_INDEX,
      up: true,
      peer: { name: 'eth0', index: NODE_DEVICE_INDEX, namespace },
    }),
  )
  configure(namespace, node.addresses)
  return namespace
}

/**
 * Makes a machine outside of the cluster: on the switch, with a node as its router to everything else.
 * @throws SystemError
 */
export async function createOutsideNamespace(router: NodeConfiguration): Promise<Namespace> {
  const namespace = createNamespace()
  writeSysctls(namespace, { 'net/ipv6/conf/default/accept_dad': 0, 'net/ipv6/conf/default/accept_ra': 0 })
  using outside = NetlinkSocket.open()
  const peer = { name: 'eth0', index: NODE_DEVICE_INDEX, namespace }
  outside.run(createLink({ kind: 'veth', name: 'outside', index: OUTSIDE_INDEX, master: BRIDGE_INDEX, up: true, peer }))
  const families = router.addresses.map(address => address.includes(':'))
  const addresses = OUTSIDE_ADDRESSES.filter(address => families.includes(address.includes(':')))
  configure(namespace, addresses)
  using inside = NetlinkSocket.open({ namespace })
  for (const text of router.addresses) {
    const destination = text.includes(':') ? '::/0' : '0.0.0.0/0'
    inside.run(addRoute({ destination, gateway: text.replace(/\/.*$/, ''), index: NODE_DEVICE_INDEX }))
  }
  for (const address of addresses) await whenLocal(namespace, address.replace(/\/.*$/, ''))
  return namespace
}

/** Takes the devices of a new namespace into use. */
function configure(namespace: Namespace, addresses: readonly string[]): void {
  using inside = NetlinkSocket.open({ namespace })
  inside.run(
    setLink({ name: 'lo' }, { up: true }),
    setLink({ index: NODE_DEVICE_INDEX }, { up: true }),
    ...addresses.map(text => {
      const [address = '', prefixLength] = text.split('/')
      return addAddress({
        index: NODE_DEVICE_INDEX,
        address,
        prefixLength: Number(prefixLength),
        noDad: address.includes(':'),
      })
    }),
  )
}
