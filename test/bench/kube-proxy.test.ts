// The yardsticks of the benchmarks are services too: every backend is reached, from pods and from outside, by TCP and by
// UDP, and a change of endpoints is followed. A yardstick that did less than kube-proxy would prove nothing.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { ELSEWHERE_ADDRESS, NODE_ADDRESS } from '../../bench/testbed/bare-node.ts'
import { PROXY_MODES, type ProxyMode, ProxyNode } from '../../bench/testbed/kube-proxy/node.ts'
import { amongOthers, askedServices, clusterAddress } from '../../bench/testbed/kube-proxy/services.ts'
import { askLetters, BACKEND_PORT, startBackend } from '../../bench/testbed/service-load.ts'

const skip = process.getuid?.() === 0 ? false : 'needs root: network namespaces and their rules'
const LETTERS = ['a', 'b', 'c', 'd'] as const
const FAR_LETTER = 'e'
/** So many flows that none of four backends is left out but once in 10^17 runs. */
const FLOWS = 140

for (const mode of PROXY_MODES) {
  test(`${mode}: every backend answers, among 50 services`, { skip }, async t => {
    const { node, given } = await startNode(t, mode)
    await node.program(amongOthers(50, Object.values(given)))
    const inside = { namespace: node.bare.client.namespace }
    const outside = { namespace: node.bare.outside }
    for (const [client, to, protocol] of [
      [inside, clusterAddress(given.web), 'tcp'],
      [inside, clusterAddress(given.names), 'udp'],
      [outside, { address: NODE_ADDRESS, port: given.web.nodePort }, 'tcp'],
      [outside, { address: NODE_ADDRESS, port: given.names.nodePort }, 'udp'],
    ] as const)
      assert.deepEqual([...new Set(await askLetters(client, to, protocol, FLOWS))].sort(), [...LETTERS])
    for (const [service, protocol] of [
      [given.farWeb, 'tcp'],
      [given.farNames, 'udp'],
    ] as const)
      assert.deepEqual(await askLetters(outside, { address: NODE_ADDRESS, port: service.nodePort }, protocol, 2), [
        FAR_LETTER,
        FAR_LETTER,
      ])
  })

  test(`${mode}: changes are followed`, { skip }, async t => {
    const { node, given } = await startNode(t, mode)
    await node.program(amongOthers(50, Object.values(given)))
    const client = { namespace: node.bare.client.namespace }
    const left = given.web.endpoints.slice(0, 1)
    await node.change(given.web, { ...given.web, endpoints: left }, given.web.endpoints.slice(1))
    assert.deepEqual(new Set(await askLetters(client, clusterAddress(given.web), 'tcp', FLOWS)), new Set(['a']))
    const added = { ...given.web, name: 'added', clusterIp: '10.96.1.4', endpoints: given.web.endpoints.slice(2) }
    const { nodePort: _, ...withoutNodePort } = added
    await node.change(undefined, withoutNodePort)
    const letters = await askLetters(client, clusterAddress(added), 'tcp', FLOWS)
    assert.deepEqual([...new Set(letters)].sort(), ['c', 'd'])
  })
}

async function startNode(t: TestContext, mode: ProxyMode) {
  const node = await ProxyNode.create(mode, LETTERS.length)
  t.after(() => node[Symbol.dispose]())
  for (const [i, { namespace }] of node.bare.backends.entries()) {
    const backend = await startBackend(namespace, LETTERS[i] ?? '?')
    t.after(() => backend[Symbol.dispose]())
  }
  const far = await startBackend(node.bare.elsewhere, FAR_LETTER)
  t.after(() => far[Symbol.dispose]())
  const endpoints = node.bare.backends.map(({ addresses }) => ({ address: addresses[4], port: BACKEND_PORT }))
  const given = askedServices({
    endpoints,
    echo: { address: endpoints[0]?.address ?? '', port: BACKEND_PORT },
    elsewhere: { address: ELSEWHERE_ADDRESS, port: BACKEND_PORT },
  })
  return { node, given }
}
