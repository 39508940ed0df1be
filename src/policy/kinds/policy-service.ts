// A Service with its EndpointSlices, as far as policies can refer to it.

import { compareBytes, ip } from '../../ip/index.ts'
import type { EndpointSliceManifest, ServiceManifest } from '../../manifests/index.ts'
import type { PolicyService } from '../model/service.ts'

/**
 * A service as policies know it.
 * @param slices those of the service; they matter only to one without a selector, which may have backends of any kind
 */
export function policyService(
  { namespace, name, labels, selector }: Pick<ServiceManifest, 'namespace' | 'name' | 'labels' | 'selector'>,
  slices: () => Iterable<EndpointSliceManifest>,
): PolicyService {
  if (selector) return { namespace, name, labels, selector, addresses: [] }
  const found = [...slices()].flatMap(({ endpoints }) => endpoints.flatMap(({ addresses }) => addresses.slice(0, 1)))
  const addresses = [...new Set(found)].map(address => ({ address, bytes: ip(address).bytes }))
  const inOrder = addresses.sort((a, b) => compareBytes(a.bytes, b.bytes))
  return { namespace, name, labels, addresses: inOrder.map(({ address }) => address) }
}
