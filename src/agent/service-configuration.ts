// What an agent is told of services at its start.

import { cidrContains, ip, parseCidr } from '../ip/index.ts'
import { DEFAULT_MAGLEV_TABLE_SIZE, MAGLEV_TABLE_SIZES } from '../services/index.ts'
import { ConfigurationError } from './configuration-error.ts'
import type { ServiceSettings } from './services.ts'

export type ServiceOptions = {
  readonly serviceAlgorithm?: string
  readonly maglevTableSize?: number
  readonly serviceForwarding?: string
  readonly nodePortAddress?: readonly string[]
}

/** @param nodeAddresses canonical. @throws ConfigurationError naming the option */
export function serviceSettings(options: ServiceOptions, nodeAddresses: readonly string[]): ServiceSettings {
  const maglevTableSize = options.maglevTableSize ?? DEFAULT_MAGLEV_TABLE_SIZE
  return {
    algorithm: oneOf('--service-algorithm', ['random', 'maglev'], options.serviceAlgorithm ?? 'random'),
    forwarding: oneOf('--service-forwarding', ['snat', 'dsr'], options.serviceForwarding ?? 'snat'),
    maglevTableSize: oneOf('--maglev-table-size', MAGLEV_TABLE_SIZES, maglevTableSize),
    nodePortAddresses: nodePortAddresses(options.nodePortAddress ?? [], nodeAddresses),
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
function nodePortAddresses(prefixes: readonly string[], nodeAddresses: readonly string[]): readonly string[] {
  if (prefixes.length === 0) return nodeAddresses
  const cidrs = prefixes.map(text => {
    const cidr = parseCidr(text)
    if (cidr) return cidr
    throw new ConfigurationError(`--node-port-address ${text} is not a prefix such as 192.168.0.0/16`)
  })
  return nodeAddresses.filter(address => cidrs.some(cidr => cidrContains(cidr, ip(address))))
}
