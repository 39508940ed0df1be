// What `explain --pod` says of groups of peers is what becomes of each member's
// connections, on every port, on random clusters with random policies. Another seed for
// every run; AXONEME_SEED repeats one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { protocolName } from '../../src/labels/index.ts'
import { explainPod, findPod, type PodReach } from '../../src/policy/index.ts'
import { policySet } from '../e2e/random-policies.ts'
import { ASKED, clusterOf, endsOf, outcomes, pods } from './explained-cluster.ts'

const RUNS = 12
const seed = Number(process.env['AXONEME_SEED'] ?? Math.floor(Math.random() * 2 ** 31)) | 0

test(`groups of peers have the verdicts of their members, seed ${seed}`, t => {
  let checked = 0
  for (const policies of fc.sample(policySet, { numRuns: RUNS, seed })) {
    const cluster = clusterOf([...pods, ...policies])
    const verdicts = outcomes(cluster)
    const names = [...endsOf(cluster)].flatMap(([name, { kind }]) => (kind === 'pod' ? [name] : []))
    const reaches = new Map(
      names.map(name => name.split(' ')[0] ?? '').map(key => [key, explainPod(cluster, findPod(cluster, key))]),
    )
    for (const own of names)
      for (const peer of names) {
        const [[ownKey = '', family = ''], [peerKey = '', peerFamily]] = [own.split(' '), peer.split(' ')]
        const reach = reaches.get(ownKey)
        if (ownKey === peerKey || family !== peerFamily || !reach) continue
        for (const [protocol, port] of ASKED) {
          const where = `${protocol}/${port}`
          const context = `${own} and ${peer} ${where}\n${JSON.stringify(policies)}`
          const said = (direction: 'ingress' | 'egress'): string | undefined =>
            verdictIn(reach[direction], peerKey, family, protocol, port)
          assert.equal(said('ingress'), verdicts.get(`${peer} > ${own} ${where}`), context)
          assert.equal(said('egress'), verdicts.get(`${own} > ${peer} ${where}`), context)
          checked += 2
        }
      }
  }
  t.diagnostic(`${checked} verdicts`)
})

/** What is said of a port of a peer. */
function verdictIn(
  { groups }: PodReach['ingress'],
  key: string,
  family: string,
  protocol: number,
  port: number,
): string | undefined {
  const found = groups.filter(({ peers }) =>
    peers.some(({ members, families }) => members.includes(key) && families.some(each => String(each) === family)),
  )
  assert.equal(found.length, 1, `${key} stands in ${found.length} groups`)
  const answers = found[0]?.answers ?? []
  const answer = answers.find(({ ports }) => ports.some(text => isIn(text, protocol, port))) ?? answers.at(-1)
  return answer?.verdict
}

/** `80/TCP`, `80-81/TCP`, `TCP`, `ICMP type 8`. */
function isIn(text: string, protocol: number, port: number): boolean {
  const name = protocolName(protocol)
  if (text === name) return true
  const [, first, last = first] =
    new RegExp(`^(\\d+)(?:-(\\d+))?/${name}$`).exec(text) ??
    new RegExp(`^${name} type (\\d+)(?:-(\\d+))?$`).exec(text) ??
    []
  return first !== undefined && Number(first) <= port && port <= Number(last)
}
