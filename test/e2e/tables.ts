// Who reaches whom in a test's cluster, computed from its manifests and measured by real
// connections, as text that can be compared.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { parseManifests } from '../../src/manifests/index.ts'
import { parsePorts, reach, readCluster } from '../../src/policy/index.ts'
import type { TestCluster } from './support.ts'

export type Family = 4 | 6
export type Cell = {
  readonly from: string
  readonly to: string
  readonly port: number
  readonly protocol: string
  readonly verdict: string
}

export const cellTexts = (cells: Iterable<Cell>): string[] =>
  Array.from(cells, ({ from, to, port, protocol, verdict }) => `${from} ${to} ${port}/${protocol} ${verdict}`).sort()

/** Computed, and measured. */
export type Tables = readonly [Iterable<Cell>, Iterable<Cell>]

export async function tablesByFunction(cluster: TestCluster, ports: string, family: Family): Promise<Tables> {
  const computed = computedTable(cluster, ports, family)
  const { results } = await cluster.client.probe({ ports, family, timeoutMs: 300, tries: 2 })
  return [computed, results]
}

/** By the manifests that are in the cluster's folder now. */
export function computedTable({ paths }: TestCluster, ports: string, family: Family): Cell[] {
  const files = fs.readdirSync(paths.objects).map(name => path.join(paths.objects, name))
  const parsed = files.map(file => parseManifests(fs.readFileSync(file, 'utf8'), file))
  const { cluster } = readCluster(parsed.flatMap(({ objects }) => objects))
  const asked = parsePorts(ports)
  assert.ok(typeof asked !== 'string')
  return [...reach(cluster, asked, { family })]
}
