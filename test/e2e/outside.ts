// A machine outside of the cluster: a namespace plugged into the sandbox's switch, with
// routes to the pods through the node, as a router of the data centre would have them.

import type { TestContext } from 'node:test'
import {
  addAddress,
  addRoute,
  createLink,
  createNamespace,
  linkOf,
  Namespace,
  NetlinkSocket,
  setLink,
  whenLocal,
  writeSysctls,
} from '../../src/net/index.ts'
import type { TestCluster } from './support.ts'

export const NODE_ADDRESSES = ['172.30.0.2', 'fd00:172:30::2'] as const

/** The switch's bridge, as src/sandbox/network.ts makes it. */
const BRIDGE = 'underlay'
const POD_ROUTES = [
  { destination: '10.244.0.0/16', gateway: NODE_ADDRESSES[0] },
  { destination: 'fd00:10:244::/64', gateway: NODE_ADDRESSES[1] },
] as const

/**
 * @param name of its port on the switch
 * @param addresses of its device, in the networks of the node
 */
export async function plugIn(
  t: TestContext,
  { client }: TestCluster,
  name: string,
  addresses: readonly string[],
): Promise<Namespace> {
  const outside = createNamespace()
  t.after(() => outside.close())
  writeSysctls(outside, { 'net/ipv6/conf/default/accept_dad': 0, 'net/ipv6/conf/default/accept_ra': 0 })
  using daemon = Namespace.ofProcess((await client.status()).pid)
  using underlay = NetlinkSocket.open({ namespace: daemon })
  const master = underlay.get(linkOf({ name: BRIDGE }))?.index ?? 0
  const peer = { name: 'eth0', namespace: outside }
  underlay.run(createLink({ kind: 'veth', name, up: true, master, peer }))
  using inside = NetlinkSocket.open({ namespace: outside })
  const index = inside.get(linkOf({ name: 'eth0' }))?.index ?? 0
  inside.run(
    setLink({ name: 'lo' }, { up: true }),
    setLink({ index }, { up: true }),
    ...addresses.map(address =>
      addAddress({ index, address, prefixLength: address.includes(':') ? 64 : 24, noDad: true }),
    ),
    ...POD_ROUTES.map(route => addRoute({ ...route, index })),
  )
  for (const address of addresses) await whenLocal(outside, address)
  return outside
}
