// Nodes: their addresses and the prefixes that their pods get addresses from.

import * as z from 'zod'
import { canonicalIp, parseCidr } from '../ip/index.ts'
import type { ManifestObject, Problem } from './object.ts'
import { apiKind, apiObject } from './schema.ts'
import { problemOf, type Validation, validate } from './validate.ts'

export type NodeManifest = {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** Internal and external IP addresses, canonical. */
  readonly addresses: readonly { readonly type: 'InternalIP' | 'ExternalIP'; readonly address: string }[]
  /** Canonical. */
  readonly podCidrs: readonly string[]
}

export function readNode(object: ManifestObject): Validation<NodeManifest> {
  const { value, problems } = validate(nodeSchema, object)
  if (!value) return { problems }
  const found: Problem[] = [...problems]
  const addresses = value.status.addresses.flatMap(({ type, address }, i): NodeManifest['addresses'][number][] => {
    if (type !== 'InternalIP' && type !== 'ExternalIP') return []
    const canonical = canonicalIp(address)
    if (canonical !== undefined) return [{ type, address: canonical }]
    found.push(problemOf(object, 'error', ['status', 'addresses', i, 'address'], `is not an IP address: "${address}"`))
    return []
  })
  const { podCIDR, podCIDRs } = value.spec
  const written = podCIDRs.length > 0 ? podCIDRs : podCIDR ? [podCIDR] : []
  const podCidrs = written.flatMap((text, i) => {
    const prefix = parseCidr(text)
    if (prefix && !prefix.hadHostBits) return [prefix.text]
    const path = podCIDRs.length > 0 ? ['spec', 'podCIDRs', i] : ['spec', 'podCIDR']
    const message = prefix ? `has bits set beyond its prefix; write ${prefix.text}` : `is not a prefix: "${text}"`
    found.push(problemOf(object, 'error', path, message))
    return []
  })
  if (found.some(problem => problem.severity === 'error')) return { problems: found }
  const { name, labels } = object.metadata
  return { value: { name, labels, addresses, podCidrs }, problems: found }
}

export const nodeSchema = apiKind({
  spec: apiObject({ podCIDR: z.string().optional(), podCIDRs: z.array(z.string()).default([]) }, [
    'configSource',
    'externalID',
    'providerID',
    'taints',
    'unschedulable',
  ]).prefault({}),
  status: apiObject({ addresses: z.array(apiObject({ type: z.string(), address: z.string() })).default([]) }, [
    'allocatable',
    'capacity',
    'conditions',
    'config',
    'daemonEndpoints',
    'declaredFeatures',
    'features',
    'images',
    'nodeInfo',
    'phase',
    'runtimeHandlers',
    'volumesAttached',
    'volumesInUse',
  ]).prefault({}),
})
