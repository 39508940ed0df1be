// A CIDR group under open connections: a change of its prefixes opens and cuts what
// policies that refer to it say, one that is faulty changes nothing.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { podManifest } from '../sandbox/support.ts'
import { Conversation } from './conversation.ts'
import { FlowLog } from './flows.ts'
import { plugIn } from './outside.ts'
import { SocketHost } from './sockets.ts'
import { NEEDS_ROOT, startCluster } from './support.ts'

const FRIENDS = ['172.30.0.9', 'fd00:172:30::9']

const group = (...externalCIDRs: readonly string[]) => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumCIDRGroup',
  metadata: { name: 'friends', labels: { kind: 'friend' } },
  spec: { externalCIDRs },
})

const policyOf = (item: object) => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { namespace: 'shop', name: 'friends' },
  spec: { endpointSelector: {}, ingress: [{ fromCIDRSet: [item] }], egress: [{ toCIDRSet: [item] }] },
})

test('CIDR groups', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'e2e-groups')
  await cluster.enforce('pods', podManifest('shop/web'))
  await cluster.untilReady('shop/web')
  const outside = SocketHost.in(t, await plugIn(t, cluster, 'friends', FRIENDS))
  const web = await SocketHost.inPod(t, cluster, 'shop/web')
  const flows = await FlowLog.follow(t, cluster)
  const addresses = (await cluster.pod('shop/web'))?.addresses ?? []
  const conversations = [
    ...(await Promise.all(
      addresses.map((address, i) =>
        Conversation.open({ client: outside, server: web }, flows, 'TCP', address, 7001 + i),
      ),
    )),
    ...(await Promise.all(
      FRIENDS.map((address, i) => Conversation.open({ client: web, server: outside }, flows, 'UDP', address, 7101 + i)),
    )),
  ]
  const goesOn = async (): Promise<void> => {
    for (const conversation of conversations) {
      await conversation.arrives('client')
      await conversation.arrives('server')
    }
  }
  const isCut = async (): Promise<void> => {
    for (const conversation of conversations) {
      await conversation.isCut('client')
      await conversation.isCut('server')
    }
  }
  const problems = async (): Promise<string> => JSON.stringify((await cluster.agent.status()).problems)

  await t.test('one that is not there stands for nobody, and that is told', async () => {
    await cluster.enforce('policy', policyOf({ cidrGroupRef: 'friends' }))
    await isCut()
    assert.match(await problems(), /refers to CIDR group friends, which is not there/)
  })

  await t.test('it comes, and all with its prefixes go on', async () => {
    await cluster.enforce('group', group('172.30.0.8/29', 'fd00:172:30::8/125'))
    await goesOn()
    assert.doesNotMatch(await problems(), /CIDR group/)
  })

  await t.test('its prefixes change', async () => {
    await cluster.enforce('group', group('172.30.0.16/29', 'fd00:172:30::10/125'))
    await isCut()
    await cluster.enforce('group', group('172.30.0.0/24', 'fd00:172:30::/64'))
    await goesOn()
  })

  await t.test('a faulty version leaves the last good one in force', async () => {
    await cluster.enforce('group', group('172.30.0.16/33'))
    await goesOn()
    assert.match(await problems(), /CiliumCIDRGroup friends: spec\.externalCIDRs\[0\]/)
  })

  await t.test('by a selector of groups, and except for some', async () => {
    await cluster.enforce('group', group('172.30.0.0/24', 'fd00:172:30::/64'))
    await cluster.enforce('policy', policyOf({ cidrGroupSelector: { matchLabels: { kind: 'friend' } } }))
    await goesOn()
    await cluster.enforce(
      'policy',
      policyOf({
        cidrGroupRef: 'friends',
        except: FRIENDS.map(address => `${address}/${address.includes(':') ? 128 : 32}`),
      }),
    )
    await isCut()
  })

  await t.test('it goes', async () => {
    await cluster.enforce('policy', policyOf({ cidrGroupRef: 'friends' }))
    await goesOn()
    await cluster.enforce('group')
    await isCut()
  })
})
