// Addresses, routes, rules and neighbours against the kernel.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  addAddress,
  addProxyNeighbour,
  addRoute,
  addRule,
  allAddresses,
  allNeighbours,
  allProxyNeighbours,
  allRoutes,
  allRules,
  createLink,
  deleteAddress,
  deleteNeighbour,
  deleteProxyNeighbour,
  deleteRoute,
  deleteRule,
  linkOf,
  NetlinkError,
  type Route,
  type RouteSpec,
  replaceAddress,
  replaceNeighbour,
  replaceRoute,
  routeTo,
  setLink,
} from '../../src/net/index.ts'
import { type Fixture, freshNamespace, needsRoot, outputInside } from './fixture.ts'

/** A namespace with one veth pair, both ends up, and two addresses on `eth0`, whose index is 50. */
function withLink(t: Parameters<typeof freshNamespace>[0]): Fixture {
  const fixture = freshNamespace(t)
  fixture.netlink.run(
    createLink({ kind: 'veth', name: 'eth0', index: 50, up: true, peer: { name: 'far0', index: 51 } }),
    setLink({ index: 51 }, { up: true }),
    addAddress({ index: 50, address: '10.9.0.1', prefixLength: 24 }),
    addAddress({ index: 50, address: 'fd00:9::1', prefixLength: 64, noDad: true }),
  )
  return fixture
}

describe('addresses', needsRoot, () => {
  test('add, list, replace, delete', t => {
    const { netlink } = withLink(t)
    const global = () => netlink.list(allAddresses({ index: 50 })).filter(address => address.scope !== 'link')
    const common = {
      index: 50,
      peer: undefined,
      scope: 'global',
      tentative: false,
      permanent: true,
      noPrefixRoute: false,
    }
    assert.deepEqual(global(), [
      { ...common, family: 4, address: '10.9.0.1', prefixLength: 24, noDad: false },
      { ...common, family: 6, address: 'fd00:9::1', prefixLength: 64, noDad: true },
    ])
    assert.throws(() => netlink.run(addAddress({ index: 50, address: '10.9.0.1', prefixLength: 24 })), {
      code: 'EEXIST',
    })
    netlink.run(
      replaceAddress({ index: 50, address: '10.9.0.1', prefixLength: 24 }),
      addAddress({ index: 50, address: '10.9.1.1', peer: '10.9.1.2' }),
      addAddress({ index: 50, address: '10.9.2.1', prefixLength: 24, noPrefixRoute: true, scope: 'link' }),
      deleteAddress({ index: 50, address: 'fd00:9::1', prefixLength: 64 }),
    )
    const four = netlink.list(allAddresses({ index: 50, family: 4 })).sort((a, b) => a.address.localeCompare(b.address))
    assert.deepEqual(
      four.map(({ address, peer, noPrefixRoute, scope }) => ({ address, peer, noPrefixRoute, scope })),
      [
        { address: '10.9.0.1', peer: undefined, noPrefixRoute: false, scope: 'global' },
        { address: '10.9.1.1', peer: '10.9.1.2', noPrefixRoute: false, scope: 'global' },
        { address: '10.9.2.1', peer: undefined, noPrefixRoute: true, scope: 'link' },
      ],
    )
    assert.deepEqual(
      netlink.list(allAddresses({ family: 6 })).filter(address => address.scope === 'global'),
      [],
    )
    assert.throws(() => netlink.run(deleteAddress({ index: 50, address: '10.9.9.9' })), {
      name: 'NetlinkError',
      code: 'EADDRNOTAVAIL',
      message: 'delete address 10.9.9.9/32 of link 50: EADDRNOTAVAIL: ipv4: Address not found',
    })
  })
})

describe('routes', needsRoot, () => {
  const ours = (netlink: Fixture['netlink']): Route[] =>
    netlink.list(allRoutes()).filter(route => route.protocol === 123)
  const of = (netlink: Fixture['netlink'], destination: string): Route | undefined =>
    ours(netlink).find(route => route.destination === destination)

  test('every form, as added and as listed', async t => {
    const cases: readonly { name: string; given: RouteSpec; want: Partial<Route> }[] = [
      {
        name: 'on the link',
        given: { destination: '10.1.0.0/16', index: 50 },
        want: { scope: 'link', index: 50, type: 'unicast', table: 254 },
      },
      {
        name: 'through a gateway',
        given: { destination: '10.2.0.0/16', gateway: '10.9.0.2' },
        want: { gateway: '10.9.0.2', index: 50, scope: 'global' },
      },
      {
        name: 'default',
        given: { destination: '0.0.0.0/0', gateway: '10.9.0.2', metric: 9 },
        want: { gateway: '10.9.0.2', metric: 9 },
      },
      {
        name: 'gateway on the link',
        given: { destination: '10.3.0.0/16', gateway: '192.0.2.1', index: 50, onLink: true },
        want: { gateway: '192.0.2.1', onLink: true },
      },
      {
        name: 'IPv6 gateway',
        given: { destination: '10.4.0.0/16', gateway: 'fd00:9::2', index: 50 },
        want: { gateway: 'fd00:9::2', family: 4 },
      },
      {
        name: 'mtu and source',
        given: { destination: '10.5.0.0/16', index: 50, mtu: 1300, preferredSource: '10.9.0.1' },
        want: { mtu: 1300, preferredSource: '10.9.0.1' },
      },
      { name: 'another table', given: { destination: '10.6.0.0/16', index: 50, table: 2004 }, want: { table: 2004 } },
      { name: 'blackhole', given: { destination: '10.7.0.0/16', type: 'blackhole' }, want: { type: 'blackhole' } },
      {
        name: 'unreachable',
        given: { destination: '10.8.0.0/16', type: 'unreachable' },
        want: { type: 'unreachable' },
      },
      {
        name: 'local',
        given: { destination: '10.10.0.0/16', type: 'local', index: 1, table: 100 },
        want: { type: 'local', scope: 'host', index: 1 },
      },
      {
        name: 'IPv6 on the link',
        given: { destination: 'fd01::/64', index: 50 },
        want: { index: 50, metric: 1024, family: 6 },
      },
      {
        name: 'IPv6 through a gateway',
        given: { destination: 'fd02::/64', gateway: 'fd00:9::2' },
        want: { gateway: 'fd00:9::2', index: 50 },
      },
      { name: 'IPv6 default', given: { destination: '::/0', gateway: 'fd00:9::2', metric: 5 }, want: { metric: 5 } },
      { name: 'IPv6 host', given: { destination: 'fd03::7/128', index: 50, mtu: 1300 }, want: { mtu: 1300 } },
      { name: 'IPv6 blackhole', given: { destination: 'fd04::/64', type: 'blackhole' }, want: { type: 'blackhole' } },
      {
        name: 'IPv6 unreachable',
        given: { destination: 'fd05::/64', type: 'unreachable', table: 2006 },
        want: { type: 'unreachable', table: 2006 },
      },
    ]
    const { netlink } = withLink(t)
    for (const { name, given, want } of cases)
      await t.test(name, () => {
        const spec = { ...given, protocol: 123 }
        netlink.run(addRoute(spec))
        assert.partialDeepStrictEqual(of(netlink, given.destination), {
          destination: given.destination,
          multipath: false,
          ...want,
        })
        assert.throws(() => netlink.run(addRoute(spec)), { code: 'EEXIST' })
        netlink.run(replaceRoute(spec), deleteRoute(spec))
        assert.equal(of(netlink, given.destination), undefined)
        assert.throws(() => netlink.run(deleteRoute(spec)), { code: 'ESRCH' })
      })
  })

  test('replacing changes the route in its place', t => {
    const { netlink } = withLink(t)
    netlink.run(addRoute({ destination: '10.1.0.0/16', gateway: '10.9.0.2', protocol: 123 }))
    netlink.run(replaceRoute({ destination: '10.1.0.0/16', gateway: '10.9.0.3', protocol: 123, mtu: 1200 }))
    assert.deepEqual(
      ours(netlink).map(({ gateway, mtu }) => ({ gateway, mtu })),
      [{ gateway: '10.9.0.3', mtu: 1200 }],
    )
    assert.equal(netlink.get(routeTo('10.1.2.3'))?.gateway, '10.9.0.3')
    netlink.run(deleteRoute({ destination: '10.1.0.0/16' }))
    assert.deepEqual(ours(netlink), [])
  })

  test('the lookup follows the longest prefix, and says no with the kernel’s errno', t => {
    const { netlink } = withLink(t)
    netlink.run(
      addRoute({ destination: '0.0.0.0/0', gateway: '10.9.0.2' }),
      addRoute({ destination: '10.1.0.0/16', type: 'unreachable' }),
      addRoute({ destination: 'fd01::/16', gateway: 'fd00:9::2' }),
    )
    assert.partialDeepStrictEqual(netlink.get(routeTo('8.8.8.8')), {
      gateway: '10.9.0.2',
      index: 50,
      preferredSource: '10.9.0.1',
    })
    assert.throws(() => netlink.get(routeTo('10.1.0.1')), { code: 'EHOSTUNREACH' })
    assert.equal(netlink.get(routeTo('fd01::7'))?.gateway, 'fd00:9::2')
  })

  test('the kernel explains a refusal', t => {
    const { netlink } = withLink(t)
    const [error] = netlink.attempt([addRoute({ destination: '10.50.0.0/16', gateway: '203.0.113.77' })])
    assert.ok(error instanceof NetlinkError)
    assert.equal(error.message, 'add route 10.50.0.0/16 via 203.0.113.77: ENETUNREACH: Nexthop has invalid gateway')
    assert.throws(() => addRoute({ destination: '10.50.0.0' }), { name: 'AddressSyntaxError' })
  })

  test('a thousand routes at once, and a thousand refusals', async t => {
    const { namespace, netlink } = withLink(t)
    const requests = Array.from({ length: 1000 }, (_, i) =>
      addRoute({ destination: `10.${100 + (i >> 8)}.${i & 255}.0/24`, index: 50, protocol: 123 }),
    )
    netlink.run(...requests)
    assert.equal(ours(netlink).length, 1000)
    assert.equal(
      (await outputInside(namespace, 'ip', ['-4', 'route', 'show', 'proto', '123'])).trim().split('\n').length,
      1000,
    )
    const errors = netlink.attempt([...requests, addRoute({ destination: '10.200.0.0/24', index: 50, protocol: 123 })])
    assert.deepEqual([...new Set(errors.slice(0, 1000).map(error => error?.code))], ['EEXIST'])
    assert.equal(errors[1000], undefined)
    assert.equal(errors[999]?.operation, 'add route 10.103.231.0/24 on link 50')
    assert.equal(netlink.list(allRoutes({ family: 4, table: 254 })).length, 1002)
    assert.deepEqual(netlink.list(allRoutes({ table: 777 })), [])
  })
})

describe('rules', needsRoot, () => {
  for (const family of [4, 6] as const)
    test(`IPv${family}: add, list, delete, and what they do`, t => {
      const { netlink } = withLink(t)
      const [source, far, gateway] =
        family === 4 ? ['10.9.0.0/16', '192.0.2.7', '10.9.0.9'] : ['fd00:9::/32', '2001:db8::7', 'fd00:9::9']
      const byMark = { family, priority: 9, table: 2004, mark: 0x200, markMask: 0xf00, protocol: 123 } as const
      const byPrefix = {
        family,
        priority: 11,
        action: 'unreachable',
        source,
        destination: `${far}/${family === 4 ? 32 : 128}`,
        inputLink: 'far0',
      } as const
      netlink.run(
        addRule(byMark),
        addRule(byPrefix),
        addRule({ family, priority: 12, table: 300, outputLink: 'eth0' }),
        addRoute({ destination: family === 4 ? '0.0.0.0/0' : '::/0', gateway, table: 2004 }),
      )
      const rules = netlink.list(allRules({ family })).filter(rule => rule.priority > 0 && rule.priority < 100)
      assert.partialDeepStrictEqual(rules, [
        {
          family,
          priority: 9,
          action: 'lookup',
          table: 2004,
          mark: 0x200,
          markMask: 0xf00,
          source: undefined,
          protocol: 123,
        },
        { family, priority: 11, action: 'unreachable', source, destination: byPrefix.destination, inputLink: 'far0' },
        { family, priority: 12, table: 300, outputLink: 'eth0' },
      ])
      assert.throws(() => netlink.run(addRule(byMark)), { code: 'EEXIST' })
      assert.equal(netlink.get(routeTo(far, { mark: 0x201 }))?.gateway, gateway)
      assert.throws(() => netlink.get(routeTo(far)), { code: 'ENETUNREACH' })
      netlink.run(deleteRule(byMark), deleteRule(byPrefix))
      assert.throws(() => netlink.run(deleteRule(byMark)), { code: 'ENOENT' })
      assert.equal(
        netlink.list(allRules({ family })).filter(rule => rule.priority > 0 && rule.priority < 100).length,
        1,
      )
    })
})

describe('neighbours', needsRoot, () => {
  for (const address of ['10.9.0.7', 'fd00:9::7'])
    test(`${address}: replace, list, delete, and as a proxy`, t => {
      const { netlink } = withLink(t)
      const key = { index: 50, address }
      const family = address.includes(':') ? 6 : 4
      const listed = () =>
        netlink.list(allNeighbours({ index: 50, family })).filter(neighbour => neighbour.address === address)
      netlink.run(replaceNeighbour({ ...key, mac: '02:00:00:00:00:07' }))
      assert.deepEqual(listed(), [{ ...key, family, mac: '02:00:00:00:00:07', state: 'permanent', external: false }])
      netlink.run(replaceNeighbour({ ...key, mac: '02:00:00:00:00:08' }))
      assert.equal(listed()[0]?.mac, '02:00:00:00:00:08')
      assert.deepEqual(netlink.list(allProxyNeighbours()), [])
      netlink.run(deleteNeighbour(key), addProxyNeighbour(key))
      assert.deepEqual(listed(), [])
      assert.deepEqual(
        netlink.list(allProxyNeighbours({ index: 50 })).map(proxy => proxy.address),
        [address],
      )
      netlink.run(deleteProxyNeighbour(key))
      assert.deepEqual(netlink.list(allProxyNeighbours()), [])
      assert.throws(() => netlink.run(deleteProxyNeighbour(key)), { code: 'ENOENT' })
      assert.equal(netlink.get(linkOf({ index: 50 }))?.name, 'eth0')
    })
})
