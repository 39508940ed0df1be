// What an agent is told of services at its start.

import { type Cidr, cidrContains, ip, parseCidr } from '../ip/index.ts'
import { DEFAULT_MAGLEV_TABLE_SIZE, MAGLEV_TABLE_SIZES } from '../services/index.ts'
import { ConfigurationError } from './configuration-error.ts'
import type { ServiceSettings } from './services.ts'

export type ServiceOptions = {
  readonly serviceAlgorithm?: string
  readonly maglevTableSize?: number
  readonly serviceForwarding?: string
  readonly nodePortAddress?: readonly string[]
  readonly externalIpRange?: readonly string[]
  readonly clusterIpsFromOutside?: boolean
}

/** @param nodeAddresses canonical. @throws ConfigurationError naming the option */
export function serviceSettings(options: ServiceOptions, nodeAddresses: readonly string[]): ServiceSettings {
  const maglevTableSize = options.maglevTableSize ?? DEFAULT_MAGLEV_TABLE_SIZE
  return {
    algorithm: oneOf('--service-algorithm', ['random', 'maglev'], options.serviceAlgorithm ?? 'random'),
    forwarding: oneOf('--service-forwarding', ['snat', 'dsr'], options.serviceForwarding ?? 'snat'),
    maglevTableSize: oneOf('--maglev-table-size', MAGLEV_TABLE_SIZES, maglevTableSize),
    nodePortAddresses: nodePortAddresses(options.nodePortAddress ?? [], nodeAddresses),
    externalIpRanges: prefixes('--external-ip-range', options.externalIpRange ?? []).map(({ text }) => text),
    clusterIpsFromOutside: options.clusterIpsFromOutside ?? false,
  }
}

/** @throws ConfigurationError naming the option */
export function oneOf<Value extends string | number>(
  option: string,
  values: readonly Value[],
  given: string | number,
): Value {
  const value = values.find(known => known === given)
  if (value === undefined) throw new ConfigurationError(`${option} ${given} is not one of ${values.join(', ')}`)
  return value
}

/** Without a prefix, every address of the node. */
function nodePortAddresses(texts: readonly string[], nodeAddresses: readonly string[]): readonly string[] {
  if (texts.length === 0) return nodeAddresses
  const cidrs = prefixes('--node-port-address', texts)
  return nodeAddresses.filter(address => cidrs.some(cidr => cidrContains(cidr, ip(address))))
}

function prefixes(option: string, texts: readonly string[]): readonly Cidr[] {
  return texts.map(text => {
    const cidr = parseCidr(text)
    if (cidr) return cidr
    throw new ConfigurationError(`${option} ${text} is not a prefix such as 192.168.0.0/16`)
  })
}
