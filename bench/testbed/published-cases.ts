// The clusters of the published NetworkPolicy cases, each after its last step.

import { readFileSync } from 'node:fs'
import type { Cluster } from '../../src/policy/index.ts'
import { clusterAfter, type PublishedCases } from '../../src/policy/testing/published-cases.ts'

export function publishedClusters(): Cluster[] {
  const file = new URL('../../test/data/networkpolicy-cases.json', import.meta.url)
  const { topology, cases } = JSON.parse(readFileSync(file, 'utf8')) as PublishedCases
  return cases.flatMap(({ steps }) => steps.slice(-1).map(last => clusterAfter(last, topology)))
}
