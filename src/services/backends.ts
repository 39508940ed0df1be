// The backends of one port of a service in one family, out of all slices of the service.
// A named target port may be another number in each slice.

import { compareBytes, type Family, ip } from '../ip/index.ts'
import { compareText, type EndpointSliceManifest, type ServicePort, type SliceEndpoint } from '../manifests/index.ts'
import type { Candidate } from './traffic-policy.ts'

/** In canonical order: by address, then port. The order of slices and of endpoints in them changes nothing. */
export function backendsOf(
  slices: readonly EndpointSliceManifest[],
  { name, protocol }: Pick<ServicePort, 'name' | 'protocol'>,
  family: Family,
): Candidate[] {
  const found = new Map<string, Candidate>()
  const inOrder = slices.filter(slice => slice.family === family).sort((a, b) => compareText(a.name, b.name))
  for (const { ports, endpoints, weight } of inOrder) {
    const port = ports.find(other => other.name === name && other.protocol === protocol)?.port
    if (port === undefined) continue
    for (const endpoint of endpoints) {
      const candidate = candidateOf(endpoint, port, weight)
      const key = candidate && `${candidate.address} ${port}`
      const other = key && found.get(key)
      if (key && (!other || isPreferred(candidate, other))) found.set(key, candidate)
    }
  }
  return inCanonicalOrder([...found.values()])
}

/** Only the first address counts (slices.endpoints.addresses: "no semantics are defined" for others). */
function candidateOf({ addresses, ...endpoint }: SliceEndpoint, port: number, weight: number): Candidate | undefined {
  const [address] = addresses
  return address === undefined ? undefined : { ...endpoint, address, port, weight }
}

/**
 * An endpoint that moves from one slice to another is in both for a moment, and a new pod may have the address of one that
 * is not yet gone: the one that stays counts, as in kube-proxy; then the one that is ready. Else the first slice's.
 */
function isPreferred(candidate: Candidate, other: Candidate): boolean {
  if (candidate.terminating !== other.terminating) return !candidate.terminating
  if (candidate.ready !== other.ready) return candidate.ready
  return candidate.serving && !other.serving
}

function inCanonicalOrder(candidates: readonly Candidate[]): Candidate[] {
  return candidates
    .map(candidate => ({ candidate, bytes: ip(candidate.address).bytes }))
    .sort((a, b) => compareBytes(a.bytes, b.bytes) || a.candidate.port - b.candidate.port)
    .map(({ candidate }) => candidate)
}
