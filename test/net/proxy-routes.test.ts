// Routes to the sockets of proxies, in a node's namespace.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { readDatapathObject } from '../../src/maps/index.ts'
import {
  allRoutes,
  allRules,
  createNamespace,
  NetlinkSocket,
  readSysctl,
  routeTo,
  setLink,
  writeSysctl,
} from '../../src/net/index.ts'
import { prepareForProxies } from '../../src/reconcilers/index.ts'

const needsRoot = process.getuid?.() === 0 ? false : 'needs root: network namespaces'
const { schema } = readDatapathObject(readFileSync(new URL('../../build/pod.o', import.meta.url)))

test('what has the mark is local, whatever it is for; made once', { skip: needsRoot }, () => {
  using node = createNamespace()
  using netlink = NetlinkSocket.open({ namespace: node })
  netlink.run(setLink({ name: 'lo' }, { up: true }))
  for (let times = 0; times < 2; times++) prepareForProxies(node, schema)
  for (const [family, address] of [
    [4, '198.51.100.9'],
    [6, '2001:db8::9'],
  ] as const) {
    const mark = schema.proxyMark.number.TO_PROXY
    assert.equal(netlink.get(routeTo(address, { mark }))?.type, 'local')
    assert.throws(() => netlink.get(routeTo(address)), { code: 'ENETUNREACH' })
    assert.equal(netlink.list(allRules({ family })).filter(rule => rule.mark === mark).length, 1)
    assert.equal(netlink.list(allRoutes({ family, table: 2004 })).length, 1)
  }
  assert.equal(readSysctl(node, 'net/ipv4/ip_early_demux'), '0')
})

test('a node without IPv6 has those of IPv4', { skip: needsRoot }, () => {
  using node = createNamespace()
  using netlink = NetlinkSocket.open({ namespace: node })
  writeSysctl(node, 'net/ipv6/conf/all/disable_ipv6', 1)
  netlink.run(setLink({ name: 'lo' }, { up: true }))
  prepareForProxies(node, schema)
  assert.equal(netlink.list(allRoutes({ table: 2004 })).length, 1)
})
