// Reading `--ports`, and finding the number of a named port.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePorts, resolvePort } from './ports.ts'

test('numbers, protocols and names', () => {
  assert.deepEqual(parsePorts('80/TCP, 81/udp,132/SCTP,443,http,dns/UDP'), [
    { number: 80, protocol: 'TCP' },
    { number: 81, protocol: 'UDP' },
    { number: 132, protocol: 'SCTP' },
    { number: 443, protocol: 'TCP' },
    { name: 'http', protocol: 'TCP' },
    { name: 'dns', protocol: 'UDP' },
  ])
})

for (const text of ['', ' , ', '0', '65536/TCP', '80/ICMP', '80/TCP/x', 'Http', '-http', '80 81', 'a'.repeat(16)])
  test(`'${text}' is refused`, () => assert.throws(() => parsePorts(text), { code: 'invalid' }))

test('a named port is that of the pod that is asked', () => {
  const namedPorts = [
    { name: 'dns', port: 53, protocol: 'UDP' },
    { name: 'dns', port: 54, protocol: 'TCP' },
    { name: 'dns', port: 55, protocol: 'TCP' },
  ]
  assert.deepEqual(resolvePort({ name: 'dns', protocol: 'UDP' }, { namedPorts }), { number: 53, protocol: 'UDP' })
  assert.deepEqual(resolvePort({ name: 'dns', protocol: 'TCP' }, { namedPorts }), { number: 54, protocol: 'TCP' })
  assert.equal(resolvePort({ name: 'http', protocol: 'TCP' }, { namedPorts }), undefined)
  assert.deepEqual(resolvePort({ number: 1, protocol: 'UDP' }, { namedPorts }), { number: 1, protocol: 'UDP' })
})
