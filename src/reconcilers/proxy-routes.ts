// Lets packets reach the sockets of the node's proxies whatever address they are for: by
// the mark that the datapath gives them, a rule of the node's routes makes them local.
// Never taken away again: open connections of proxies need it longer than any policy does.

import type { Schema } from '../maps/index.ts'
import {
  addRule,
  allRules,
  linkOf,
  type Namespace,
  NetlinkSocket,
  type RuleSpec,
  readSysctl,
  replaceRoute,
  writeSysctl,
} from '../net/index.ts'
import { hasIpv6 } from './pod-network.ts'

const PRIORITY = 9
const TABLE = 2004
const ANYWHERE = { 4: '0.0.0.0/0', 6: '::/0' } as const

/**
 * Makes what is not there yet, in the node's namespace. May be called at any time.
 * @throws NetlinkError, SystemError
 */
export function prepareForProxies(node: Namespace, { proxyMark }: Pick<Schema, 'proxyMark'>): void {
  using netlink = NetlinkSocket.open({ namespace: node })
  const loopback = netlink.get(linkOf({ name: 'lo' }))?.index ?? 1
  for (const family of speaksIpv6(node) ? ([4, 6] as const) : ([4] as const)) {
    const { TO_PROXY: mark, MASK: markMask } = proxyMark.number
    const rule: RuleSpec = { family, priority: PRIORITY, table: TABLE, mark, markMask }
    // First the route: a table without any would let the packets go on by the others.
    netlink.run(replaceRoute({ destination: ANYWHERE[family], type: 'local', table: TABLE, index: loopback }))
    const isThere = netlink
      .list(allRules({ family }))
      .some(known => known.priority === PRIORITY && known.table === TABLE && known.mark === mark)
    if (!isThere) netlink.run(addRule(rule))
  }
  // It gives a proxy's socket to what comes in for it at a device of the node, and forwarding drops what has a socket.
  writeSysctl(node, 'net/ipv4/ip_early_demux', 0)
}

/** Where it is turned off no route of it can be made, and none is needed. */
const speaksIpv6 = (node: Namespace): boolean => hasIpv6() && readSysctl(node, 'net/ipv6/conf/lo/disable_ipv6') === '0'
