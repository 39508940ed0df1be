// What the maps of a simulated node say, without the numbers that depend on how it came
// to be: identities by their labels, policies by what they hold, rules by their names.
// Two nodes with the same meaning judge every packet alike.

import { formatIp, formatMac } from '../../src/ip/index.ts'
import { policyTerm } from '../../src/maps/index.ts'
import type { SimulatedNode } from './simulated-node.ts'

export type Meaning = {
  readonly endpoints: Readonly<Record<string, unknown>>
  readonly ipcache: Readonly<Record<string, unknown>>
  /** Each policy map that there is, used or not. */
  readonly policies: readonly (readonly string[])[]
}

export function meaningOf(node: SimulatedNode): Meaning {
  const { datapath } = node
  const { maps } = datapath
  return {
    endpoints: Object.fromEntries(
      maps.endpoints.lookupBatch().map(([key, { id, ifindex, identity, policy, mac }]) => [
        formatIp(key.bytes),
        {
          ...whoseDevice(node, id, ifindex, formatMac(mac)),
          identity: labelsOf(node, identity),
          policy: policyOf(node, policy),
        },
      ]),
    ),
    ipcache: Object.fromEntries(
      maps.ipcache
        .lookupBatch()
        .map(([key, { identity, flags }]) => [
          `${formatIp(key.address)}/${key.prefix_length}`,
          { identity: labelsOf(node, identity), flags },
        ]),
    ),
    policies: [...maps.policy_maps.keys()].map(id => policyOf(node, id)).sort((a, b) => (a.join() < b.join() ? -1 : 1)),
  }
}

function whoseDevice({ tables }: SimulatedNode, id: number, ifindex: number, mac: string) {
  const [endpoint] = tables.endpoints.by('id', String(id))
  return {
    pod: endpoint && `${endpoint.podNamespace}/${endpoint.podName}`,
    isItsDevice: endpoint?.ifindex === ifindex && endpoint.mac === mac,
  }
}

const labelsOf = ({ tables }: SimulatedNode, number: number): string =>
  number === 0 ? 'any' : (tables.identities.get(String(number))?.labels.key ?? `unknown ${number}`)

function policyOf(node: SimulatedNode, id: number): string[] {
  const { schema } = node.datapath
  const elements = node.datapath.policyMap(id)?.lookupBatch() ?? []
  return elements
    .map(([key, entry]) => {
      const { rule, identity, ...term } = policyTerm(schema, key, entry)
      const text = node.tables.rules.get(String(rule))?.key ?? `unknown rule ${rule}`
      return `${JSON.stringify(term)} ${labelsOf(node, identity)} by ${text}`
    })
    .sort()
}
