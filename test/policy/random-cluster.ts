// The cluster of the random policies with a node and some of the world, and what is
// asked of every pair of them.

import assert from 'node:assert/strict'
import { type Cluster, parseManifests, readCluster } from '../../src/policy/index.ts'
import { clusterManifests } from '../e2e/random-policies.ts'

export const NODE_ADDRESS = '172.30.0.2'

const NODE = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'node1' },
  status: { addresses: [{ type: 'InternalIP', address: NODE_ADDRESS }] },
}
/** In and out of every block that the random policies name. */
export const WORLD = [
  '192.0.2.10',
  '192.0.2.20',
  '192.0.2.130',
  '198.51.100.1',
  '2001:db8:244::10',
  '2001:db8:9000::1',
  '2001:db9::1',
]
export const QUESTIONS = [80, 81, 82, 443].flatMap(port => [6, 17, 132].map(protocol => ({ protocol, port })))
/** Echo requests and one more type, and a protocol without ports. */
QUESTIONS.push(
  { protocol: 1, port: 8 },
  { protocol: 1, port: 13 },
  { protocol: 58, port: 128 },
  { protocol: 47, port: 0 },
)

/** @throws AssertionError when a policy is refused */
export function clusterOf(policies: readonly object[]): Cluster {
  const text = [NODE, ...clusterManifests(), ...policies].map(object => JSON.stringify(object)).join('\n---\n')
  const parsed = parseManifests(text, 'random.yaml')
  const { cluster, problems } = readCluster(parsed.objects)
  const errors = [...parsed.problems, ...problems].filter(({ severity }) => severity === 'error')
  assert.deepEqual(errors, [])
  return cluster
}
