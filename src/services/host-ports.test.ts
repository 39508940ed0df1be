// Host ports of a pod: tables of ports, and where they are found.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HostPort } from '../manifests/index.ts'
import { resolveHostPorts } from './index.ts'
import { context, frontendTexts } from './testing/index.ts'

const port = (given: Partial<HostPort> = {}): HostPort => ({
  hostPort: 8080,
  protocol: 'TCP',
  containerPort: 80,
  ...given,
})

const cases: readonly {
  name: string
  given: readonly HostPort[]
  want: Readonly<Record<string, readonly string[]>>
}[] = [
  {
    name: 'on every address of the node, each family for itself',
    given: [port()],
    want: {
      'shop/web-1:host-ports:8080/TCP/4': ['HostPort 172.30.0.2:8080 everybody', 'HostPort 127.0.0.1:8080 node'],
      'shop/web-1:host-ports:8080/TCP/6': ['HostPort fd00:172:30::2:8080 everybody', 'HostPort ::1:8080 node'],
    },
  },
  {
    name: 'on one address',
    given: [port({ hostIp: '172.30.0.9' })],
    want: { 'shop/web-1:host-ports:8080/TCP/4/172.30.0.9': ['HostPort 172.30.0.9:8080 everybody'] },
  },
  {
    name: 'on all of one family',
    given: [port({ hostIp: '::' })],
    want: {
      'shop/web-1:host-ports:8080/TCP/6/::': ['HostPort fd00:172:30::2:8080 everybody', 'HostPort ::1:8080 node'],
    },
  },
  {
    name: 'for the node alone',
    given: [port({ hostIp: '127.0.0.1' }), port({ hostIp: '127.0.0.9' })],
    want: {
      'shop/web-1:host-ports:8080/TCP/4/127.0.0.1': ['HostPort 127.0.0.1:8080 node'],
      'shop/web-1:host-ports:8080/TCP/4/127.0.0.9': ['HostPort 127.0.0.9:8080 node'],
    },
  },
  {
    name: 'one number of another protocol or another address is another port',
    given: [
      port({ hostIp: '172.30.0.2' }),
      port({ protocol: 'UDP', hostIp: '172.30.0.2' }),
      port({ hostIp: '172.30.0.3' }),
    ],
    want: {
      'shop/web-1:host-ports:8080/TCP/4/172.30.0.2': ['HostPort 172.30.0.2:8080 everybody'],
      'shop/web-1:host-ports:8080/UDP/4/172.30.0.2': ['HostPort 172.30.0.2:8080 everybody'],
      'shop/web-1:host-ports:8080/TCP/4/172.30.0.3': ['HostPort 172.30.0.3:8080 everybody'],
    },
  },
  {
    name: 'twice: the first has it',
    given: [port({ hostIp: '172.30.0.2' }), port({ hostIp: '0.0.0.0', containerPort: 81 })],
    want: {
      'shop/web-1:host-ports:8080/TCP/4/172.30.0.2': ['HostPort 172.30.0.2:8080 everybody'],
      'shop/web-1:host-ports:8080/TCP/4/0.0.0.0': ['HostPort 127.0.0.1:8080 node'],
    },
  },
]

for (const { name, given, want } of cases) {
  test(`a host port: ${name}`, () => {
    const pod = { namespace: 'shop', name: 'web-1', addresses: ['10.0.0.1', 'fd00::1'], hostPorts: given }
    const { ports } = resolveHostPorts(pod, context())
    assert.deepEqual(Object.fromEntries(ports.map(({ id, frontends }) => [id, frontendTexts(frontends)])), want)
  })
}

test('a host port leads to the pod alone', () => {
  const pod = { namespace: 'shop', name: 'web-1', addresses: ['10.0.0.1'], hostPorts: [port()] }
  const { namespace, name, ports, problems } = resolveHostPorts(pod, context())
  assert.deepEqual([namespace, name, problems, ports.length], ['shop', 'web-1:host-ports', [], 1])
  assert.deepEqual(ports[0]?.backends, [
    {
      address: '10.0.0.1',
      port: 80,
      pod: 'shop/web-1',
      node: 'node1',
      zone: 'a',
      ready: true,
      serving: true,
      terminating: false,
      weight: 1,
    },
  ])
})
