// The yardsticks' rules are kube-proxy's: names of chains as its own tests have them, what a change writes. That they
// translate is shown by test/bench.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { iptablesSync } from './iptables.ts'
import { nftablesSync } from './nftables.ts'
import { amongOthers, type ProxiedService } from './services.ts'

/** A service whose chains the tests of kube-proxy name. */
const SERVICE: ProxiedService = {
  namespace: 'ns1',
  name: 'svc1',
  portName: 'p80',
  protocol: 'tcp',
  clusterIp: '172.30.0.41',
  port: 80,
  endpoints: [{ address: '10.180.0.1', port: 80 }],
}

test('chains have the names that kube-proxy gives them', () => {
  const iptables = iptablesSync([SERVICE])
  assert.ok(
    iptables.includes(
      '-A KUBE-SVC-XPGD46QRK7WJZT7O -m comment --comment "ns1/svc1:p80 -> 10.180.0.1:80" -j KUBE-SEP-SXIVWICOYRO3J4NJ\n',
    ),
  )
  const nftables = nftablesSync([SERVICE])
  assert.ok(
    nftables.includes(
      'service-ULMVA6XW-ns1/svc1/tcp/p80 numgen random mod 1 vmap { 0 : goto endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80 }\n',
    ),
  )
})

test('what is asked stands in the middle; others have four endpoints each, and addresses of their own', () => {
  const services = amongOthers(1001, [SERVICE])
  assert.equal(services.length, 1001)
  assert.equal(services[500], SERVICE)
  const rest = services.filter(service => service !== SERVICE)
  assert.equal(new Set(rest.map(({ clusterIp }) => clusterIp)).size, 1000)
  assert.equal(new Set(rest.flatMap(({ endpoints }) => endpoints.map(({ address }) => address))).size, 4000)
})

test('a change writes the chains of the changed service, and iptables the dispatch to all', () => {
  const services = amongOthers(100, [SERVICE])
  const sync = iptablesSync(services, [SERVICE])
  assert.equal(sync.match(/^-A KUBE-SERVICES .*-j KUBE-SVC-/gm)?.length, 100)
  assert.equal(sync.match(/^-A KUBE-SEP-.*-j DNAT/gm)?.length, 1)
  assert.equal(nftablesSync([SERVICE]).match(/ dnat to /g)?.length, 1)
})
