// Who may reach whom: the table that `policy reach` prints, and that `sandbox probe`
// measures by real connections.

import { protocolName, protocolNumber, TRANSPORTS } from '../../labels/index.ts'
import { isPortName } from '../../manifests/index.ts'
import { areLimiting, type ConnectionVerdict, rulesOf } from '../engine/evaluate.ts'
import type { L7Parser } from '../model/l7.ts'
import type { Cluster, ClusterPod, End } from './cluster.ts'
import { Judge } from './judge.ts'

/** A port to ask for: a number, or a name that each destination pod has its own number for. */
export type ReachPort = { readonly protocol: number; readonly port: number | string }

/** Whether one pod may open a connection to a port of another. */
export type ReachRow = {
  /** `NAMESPACE/POD` */
  readonly from: string
  readonly to: string
  readonly port: number
  /** `TCP`, `UDP`, `SCTP`. */
  readonly protocol: string
  readonly verdict: 'allowed' | 'denied'
  /** Of an allowed one: in whose languages rules judge what is said. */
  readonly rules?: readonly L7Parser[]
  /** And in which what is said is seen, if only for the record, and all of it allowed. */
  readonly seen?: readonly L7Parser[]
}

/** Which pairs and addresses are judged. */
export type ReachOptions = {
  /** Whether a pod's way to itself is judged like any other. On a node it never leaves the pod, so it is left out. */
  readonly includeSelf?: boolean
  /** Judge the addresses of this family only; else the destination's first address that the source has the family of. */
  readonly family?: 4 | 6
}

/**
 * One row for every ordered pair of pods and every port, in the order of the pods' names. A named port that the
 * destination does not have makes no row; two pods without a common address family cannot reach each other.
 */
export function* reach(cluster: Cluster, ports: readonly ReachPort[], options: ReachOptions = {}): Generator<ReachRow> {
  const pods = cluster.content.pods.map(pod => ({ pod, name: podName(pod) })).sort((a, b) => (a.name < b.name ? -1 : 1))
  const asked = ports.map(port => ({ ...port, protocolName: protocolName(port.protocol) }))
  const judge = new Judge(cluster, [])
  for (const from of pods)
    for (const to of pods) {
      if (from === to && !options.includeSelf) continue
      const ends = commonEnds(cluster, from.pod, to.pod, options.family)
      const verdicts = ends && judge.between(ends.from, ends.to)
      for (const { protocol, port: numberOrName, protocolName } of asked) {
        const port = typeof numberOrName === 'number' ? numberOrName : namedPort(to.pod, protocol, numberOrName)
        if (port === undefined) continue
        const judged = verdicts?.(protocol, port)
        const verdict = judged?.verdict ?? 'denied'
        const row = { from: from.name, to: to.name, port, protocol: protocolName, verdict }
        yield judged && verdict === 'allowed' ? { ...row, ...parsersOf(judged) } : row
      }
    }
}

function parsersOf({ egress, ingress }: ConnectionVerdict): Pick<ReachRow, 'rules' | 'seen'> {
  const both = [egress, ingress].flatMap(judgement => rulesOf(judgement) ?? [])
  const limiting = both.filter(areLimiting).map(({ parser }) => parser)
  const seen = both.map(({ parser }) => parser).filter(parser => !limiting.includes(parser))
  return {
    ...(limiting.length > 0 && { rules: [...new Set(limiting)] }),
    ...(seen.length > 0 && { seen: [...new Set(seen)] }),
  }
}

/** `NAMESPACE/NAME` */
export function podName({ namespace, name }: Pick<ClusterPod, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`
}

/** Reads a list such as `80/TCP,53/udp,http`; without a protocol it is TCP. The answer is a sentence when it is wrong. */
export function parsePorts(text: string): readonly ReachPort[] | string {
  const ports: ReachPort[] = []
  for (const item of text.split(',').map(part => part.trim())) {
    const [name = '', protocolText = 'TCP', more] = item.split('/')
    const protocol = protocolNumber(protocolText)
    if (more !== undefined || name === '') return `"${item}" is not PORT/PROTOCOL, such as 80/TCP or http/TCP`
    if (protocol === undefined || !TRANSPORTS.has(protocol))
      return `"${protocolText}" in "${item}" is not TCP, UDP or SCTP`
    const number = /^\d+$/.test(name) ? Number(name) : undefined
    if (number !== undefined && (number < 1 || number > 65535)) return `"${name}" in "${item}" is not 1 to 65535`
    if (number === undefined && !isPortName(name)) return `"${name}" in "${item}" is no port: a number or a name`
    ports.push({ protocol, port: number ?? name })
  }
  return ports
}

/** The destination's first address of the family, and the source's of the same. */
function commonEnds(
  cluster: Cluster,
  from: ClusterPod,
  to: ClusterPod,
  family: 4 | 6 | undefined,
): { readonly from: End; readonly to: End } | undefined {
  for (const { family: common } of to.addresses) {
    if (family !== undefined && common !== family) continue
    const [fromEnd, toEnd] = [cluster.endOf(from, common), cluster.endOf(to, common)]
    if (fromEnd && toEnd) return { from: fromEnd, to: toEnd }
  }
  return undefined
}

function namedPort({ namedPorts }: ClusterPod, protocol: number, name: string): number | undefined {
  return namedPorts.find(port => port.name === name && port.protocol === protocol)?.port
}
