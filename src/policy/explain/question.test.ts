// What can be asked, and what is said of what cannot.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatIp } from '../../ip/index.ts'
import { clusterOf, networkPolicy, node, pod } from '../testing/cluster-text.ts'
import { QuestionError, readQuestion } from './question.ts'
import { endName } from './views.ts'

const cluster = clusterOf(
  [
    node('node1', '172.30.0.2'),
    pod(
      'shop/web-1',
      {},
      {
        ip: '10.0.0.1 fd00::1',
        ports: '[{name: http, containerPort: 8080}, {name: dns, protocol: UDP, containerPort: 53}]',
      },
    ),
    pod('shop/web-2', {}, { ip: '10.0.0.2' }),
    pod('default/six', {}, { ip: 'fd00::6' }),
    pod('one/twin', {}, { ip: '10.0.0.3' }),
    pod('two/twin', {}, { ip: '10.0.0.4' }),
    pod('shop/lonely', {}, { ip: '10.0.0.5' }),
    pod('shop/waiting', {}, { more: ', hostNetwork: true, nodeName: unknown' }),
    networkPolicy('shop/out', '{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24}}]}]}'),
  ].join(''),
)

test('questions that can be asked', () => {
  const cases = [
    ['shop/web-1', 'shop/web-2', '80', 'shop/web-1 10.0.0.1 > shop/web-2 10.0.0.2 6/80'],
    ['six', 'shop/web-1', 'http/tcp', 'default/six fd00::6 > shop/web-1 fd00::1 6/8080'],
    ['lonely', '10.0.0.1', 'dns/UDP', 'shop/lonely 10.0.0.5 > shop/web-1 10.0.0.1 17/53'],
    ['172.30.0.2', 'shop/web-1', '8/ICMP', 'node node1 172.30.0.2 > shop/web-1 10.0.0.1 1/8'],
    ['shop/web-1', 'world', 'EchoRequest/ICMPv6', 'shop/web-1 fd00::1 > 2001:db8::1 2001:db8::1 58/128'],
    ['shop/web-1', '8.8.8.8', '443/TCP', 'shop/web-1 10.0.0.1 > 8.8.8.8 8.8.8.8 6/443'],
    // An address that stands for the world is in no block that policies name.
    ['shop/web-2', 'world', '443', 'shop/web-2 10.0.0.2 > 198.51.100.1 198.51.100.1 6/443'],
  ] as const
  for (const [fromText, toText, portText, want] of cases) {
    const { from, to, protocol, port } = readQuestion(cluster, fromText, toText, portText)
    const [a, b] = [from, to].map(end => `${endName(end)} ${formatIp(end.address.bytes)}`)
    assert.equal(`${a} > ${b} ${protocol}/${port}`, want)
  }
})

test('questions that cannot', () => {
  const cases = [
    ['shop/wbe-1', 'shop/web-2', '80', 'there is no pod shop/wbe-1 (did you mean "shop/web-1"?)'],
    ['shop/web', 'shop/web-2', '80', 'there is no pod shop/web (did you mean shop/web-1, shop/web-2?)'],
    ['twin', 'shop/web-2', '80', 'there are 2 pods twin; say which: one/twin, two/twin'],
    ['shop/waiting', 'shop/web-2', '80', 'pod shop/waiting has no address, so nothing can reach it yet'],
    ['10.0.0.256', 'shop/web-2', '80', '"10.0.0.256" is no IP address'],
    ['fe80::1%eth0', 'shop/web-2', '80', '"fe80::1%eth0" is no IP address'],
    ['six', 'shop/web-2', '80', 'they have no address family in common: the one has IPv6, the other IPv4'],
    ['six', 'shop/web-1', '8/ICMP', 'ICMP is not of IPv6, the only family that both have'],
    ['world', 'world', '80', 'one of the two must be a pod, or an address of the cluster'],
    ['shop/web-1', 'shop/web-2', '0', 'port 0 is not 1 to 65535'],
    ['shop/web-1', 'shop/web-2', '80/TPC', '"TPC" in "80/TPC" is not TCP, UDP, SCTP, ICMP or ICMPv6'],
    ['shop/web-1', 'shop/web-2', '80/TCP/x', '"80/TCP/x" is not PORT/PROTOCOL, such as 8080/TCP or http/TCP'],
    [
      'shop/web-2',
      'shop/web-1',
      'htp',
      'pod shop/web-1 has no port "htp" of TCP; it has dns/UDP (53), http/TCP (8080)',
    ],
    ['shop/web-1', 'shop/web-2', 'http', 'pod shop/web-2 has no port "http" of TCP; it has no named ports'],
    ['shop/web-1', '8.8.8.8', 'http', 'only pods have named ports: give the number instead of "http"'],
    ['shop/web-1', 'shop/web-2', '256/ICMP', '"256" is no type of ICMP: 0 to 255, or a name such as EchoRequest'],
  ] as const
  for (const [from, to, port, message] of cases)
    assert.throws(() => readQuestion(cluster, from, to, port), new QuestionError(message))
})
