// Which devices the node's are: named ones, or those that hold its addresses.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Link, LinkAddress } from '../net/index.ts'
import { chooseDevices } from './node-devices.ts'

const link = (index: number, name: string, change: Partial<Link> = {}): Link => ({
  index,
  name,
  kind: undefined,
  mac: '0a:00:00:00:00:01',
  mtu: 1500,
  up: true,
  carrier: true,
  running: true,
  flags: 0x1043,
  master: undefined,
  peerIndex: undefined,
  peerNamespaceId: undefined,
  alias: undefined,
  vxlan: undefined,
  ...change,
})
const held = (index: number, address: string): LinkAddress => ({
  index,
  family: address.includes(':') ? 6 : 4,
  address,
  prefixLength: 24,
  peer: undefined,
  scope: 'global',
  tentative: false,
  permanent: true,
  noDad: false,
  noPrefixRoute: false,
})

const links = [
  link(1, 'lo', { flags: 0x49, mac: '00:00:00:00:00:00' }),
  link(2, 'eth0'),
  link(3, 'eth1'),
  link(4, 'tun0', { mac: undefined }),
]
const addresses = [held(1, '172.30.0.9'), held(2, '172.30.0.2'), held(2, 'fd00:172:30::2'), held(3, '192.0.2.1')]
const node = ['172.30.0.2', 'fd00:172:30::2', '172.30.0.9']

test('those that hold the node’s addresses, but never loopback', () => {
  const { devices, problems } = chooseDevices(links, addresses, [], node)
  assert.deepEqual(devices, [{ ifindex: 2, name: 'eth0', addresses: ['172.30.0.2', 'fd00:172:30::2'] }])
  assert.equal(problems.size, 0)
})

test('named ones instead, whatever they hold', () => {
  const { devices } = chooseDevices(links, addresses, ['eth1'], node)
  assert.deepEqual(devices, [{ ifindex: 3, name: 'eth1', addresses: [] }])
})

test('a named one that cannot be used is told of', () => {
  const { devices, problems } = chooseDevices(links, addresses, ['eth2', 'tun0', 'lo', 'eth0'], node)
  assert.deepEqual(
    devices.map(({ name }) => name),
    ['eth0'],
  )
  assert.deepEqual([...problems.keys()], ['eth2', 'tun0', 'lo'])
  assert.match(problems.get('eth2') ?? '', /no such device/)
  assert.match(problems.get('tun0') ?? '', /no Ethernet device/)
})
