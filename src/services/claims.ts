// Who has an address and port that several services claim. The same on every node and
// after every restart: it depends on the claims alone, not on who came first.

import { compareText } from '../manifests/index.ts'
import type { FrontendKind, ServiceProblem } from './resolved.ts'

/** A service (or a pod, for its host ports) that wants an address, port and protocol for itself. */
export type Claim = {
  readonly namespace: string
  readonly name: string
  readonly kind: FrontendKind
  /** RFC 3339; absent: younger than all that have one. */
  readonly createdAt?: string
}

/**
 * Order of claims; the first has the frontend. Cluster addresses are given out by the cluster, so nobody takes one away by
 * writing it into his externalIPs (CVE-2020-8554). Then the older object, then by namespace and name.
 */
export function compareClaims(a: Claim, b: Claim): number {
  return (
    Number(a.kind !== 'ClusterIP') - Number(b.kind !== 'ClusterIP') ||
    compareNumbers(ageOf(a), ageOf(b)) ||
    compareText(a.namespace, b.namespace) ||
    compareText(a.name, b.name)
  )
}

const ageOf = ({ createdAt }: Claim): number => {
  const time = createdAt === undefined ? Number.NaN : Date.parse(createdAt)
  return Number.isNaN(time) ? Number.POSITIVE_INFINITY : time
}

const compareNumbers = (a: number, b: number): number => (a < b ? -1 : a > b ? 1 : 0)

/** @param where `ADDRESS:PORT/PROTOCOL`, as the loser's problem tells it */
export function claimProblem(loser: Claim, owner: Claim, where: string): ServiceProblem {
  const message = `${where} belongs to ${owner.namespace}/${owner.name} already; this service is not reached there`
  return { severity: 'error', path: CLAIM_PATHS[loser.kind], message }
}

const CLAIM_PATHS: Readonly<Record<FrontendKind, string>> = {
  ClusterIP: 'spec.clusterIPs',
  NodePort: 'spec.ports',
  LoadBalancer: 'status.loadBalancer.ingress',
  ExternalIP: 'spec.externalIPs',
  HostPort: 'spec.containers',
}
