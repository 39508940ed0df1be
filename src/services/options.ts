// What the annotations of a service ask for. What they do not say, or say wrongly, is as
// everywhere on the node.

import { type ServiceManifest, suggestion } from '../manifests/index.ts'
import type { ServicePortEntry, ServiceProblem } from './resolved.ts'

/** What holds where a service says nothing. */
export type ServiceDefaults = {
  readonly algorithm: ServicePortEntry['algorithm']
  readonly forwarding: ServicePortEntry['forwarding']
  /** Whether clients outside of the cluster reach cluster addresses. */
  readonly clusterIpsFromOutside: boolean
}

const ALGORITHM_ANNOTATION = 'service.axoneme.io/algorithm'
const FORWARDING_ANNOTATION = 'service.axoneme.io/forwarding'
const OUTSIDE_ANNOTATION = 'service.axoneme.io/reachable-from-outside'
const PREFIX = 'service.axoneme.io/'
const OF_SERVICES = [ALGORITHM_ANNOTATION, FORWARDING_ANNOTATION, OUTSIDE_ANNOTATION]
/** Those of ours that a Service does not take, and which objects do. */
const OF_OTHERS: Readonly<Record<string, string>> = {
  'service.axoneme.io/weight': 'an EndpointSlice',
  'service.axoneme.io/translation': 'a Pod or its Namespace',
}

export function readOptions(
  { annotations }: Pick<ServiceManifest, 'annotations'>,
  defaults: ServiceDefaults,
): { readonly options: ServiceDefaults; readonly problems: readonly ServiceProblem[] } {
  const problems: ServiceProblem[] = Object.keys(annotations)
    .filter(key => key.startsWith(PREFIX) && !OF_SERVICES.includes(key))
    .map(key => ({ severity: 'warning', path: `metadata.annotations["${key}"]`, message: notOurs(key) }))
  const read = <Value extends string>(key: string, values: readonly Value[], byDefault: Value): Value => {
    const text = annotations[key]
    const value = values.find(known => known === text)
    if (text !== undefined && value === undefined) {
      const message = `must be ${values.join(' or ')}, got ${JSON.stringify(text.slice(0, 80))}; ${byDefault} is used`
      problems.push({ severity: 'warning', path: `metadata.annotations["${key}"]`, message })
    }
    return value ?? byDefault
  }
  const outside = read(OUTSIDE_ANNOTATION, ['true', 'false'], defaults.clusterIpsFromOutside ? 'true' : 'false')
  const options: ServiceDefaults = {
    algorithm: read(ALGORITHM_ANNOTATION, ['random', 'maglev'], defaults.algorithm),
    forwarding: read(FORWARDING_ANNOTATION, ['snat', 'dsr'], defaults.forwarding),
    clusterIpsFromOutside: outside === 'true',
  }
  return { options, problems }
}

function notOurs(key: string): string {
  const other = OF_OTHERS[key]
  return other ? `says nothing on a Service; it belongs on ${other}` : `is not known${suggestion(key, OF_SERVICES)}`
}
