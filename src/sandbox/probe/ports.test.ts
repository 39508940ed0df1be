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
    { name: 'http' },
    { name: 'dns', protocol: 'UDP' },
  ])
})

for (const text of ['', ' , ', '0', '65536/TCP', '80/ICMP', '80/TCP/x', 'Http', '-http', '80 81', 'a'.repeat(16)])
  test(`'${text}' is refused`, () => assert.throws(() => parsePorts(text), { code: 'invalid' }))

test('a named port is that of the pod that is asked', () => {
  const ports = [
    { name: 'dns', containerPort: 53, protocol: 'UDP' },
    { name: 'dns', containerPort: 54 },
  ]
  const spec = { containers: [{ name: 'a' }, { name: 'b', ports }] }
  assert.deepEqual(resolvePort({ name: 'dns' }, spec), { number: 53, protocol: 'UDP' })
  assert.deepEqual(resolvePort({ name: 'dns', protocol: 'TCP' }, spec), { number: 54, protocol: 'TCP' })
  assert.equal(resolvePort({ name: 'http' }, spec), undefined)
  assert.deepEqual(resolvePort({ number: 1, protocol: 'UDP' }, spec), { number: 1, protocol: 'UDP' })
})
