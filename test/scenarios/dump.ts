// The content of the datapath's maps as text that people can read and compare: sorted,
// addresses and prefixes in their usual form, numbers as the tables have them.

import { formatIp, formatMac } from '../../src/ip/index.ts'
import { protocolName } from '../../src/labels/index.ts'
import { type MemoryDatapath, type PolicyEntry, type PolicyKey, policyTerm } from '../../src/maps/index.ts'

export const MAP_NAMES = ['endpoints', 'ipcache', 'policy_maps', 'runtime'] as const
export type DumpedMap = (typeof MAP_NAMES)[number]

/** Lines of one map, or of all policy maps with their entries. */
export function dumpMap(datapath: MemoryDatapath, name: DumpedMap): string[] {
  const { schema, maps } = datapath
  switch (name) {
    case 'endpoints':
      return maps.endpoints
        .lookupBatch()
        .map(([key, value]) => {
          const { id, identity, policy, ifindex } = value
          return `${formatIp(key.bytes)} endpoint ${id} identity ${identity} policy ${policy} ifindex ${ifindex} mac ${formatMac(value.mac)}`
        })
        .sort()
    case 'ipcache':
      return maps.ipcache
        .lookupBatch()
        .map(([key, value]) => {
          const isHost = (value.flags & schema.ipcacheFlags.number.HOST) !== 0
          return `${prefixText(key.address, key.prefix_length)} identity ${value.identity}${isHost ? ' host' : ''}`
        })
        .sort()
    case 'policy_maps':
      return [...maps.policy_maps.keys()]
        .sort((a, b) => a - b)
        .flatMap(id => [`policy ${id}`, ...policyLines(datapath, id).map(line => `  ${line}`)])
    case 'runtime':
      return [`revision ${maps.runtime.get(0)?.revision ?? 0}`]
  }
}

/** IPv4 prefixes stand in the map under `::ffff:0:0/96`. */
function prefixText(address: Uint8Array, prefixLength: number): string {
  const text = formatIp(address)
  return `${text}/${text.includes(':') ? prefixLength : prefixLength - 96}`
}

function policyLines(datapath: MemoryDatapath, id: number): string[] {
  return (datapath.policyMap(id)?.lookupBatch() ?? []).map(element => entryLine(datapath, element)).sort()
}

function entryLine({ schema }: MemoryDatapath, [key, entry]: readonly [PolicyKey, PolicyEntry]): string {
  const term = policyTerm(schema, key, entry)
  const { direction, identity, protocol, port, portPrefixLength, precedence, rule } = term
  const peer = identity === 0 ? 'any' : String(identity)
  const last = port + 2 ** (16 - portPrefixLength) - 1
  const ports = portPrefixLength === 0 ? 'any' : last === port ? String(port) : `${port}-${last}`
  const where = protocol === 0 ? 'any' : `${protocolName(protocol)}/${ports}`
  const isAudited = term.audit && term.verdict === 'deny'
  const verdict = [isAudited ? 'audit' : term.verdict, ...(term.byDefault ? ['by default'] : [])].join(' ')
  const further = term.l7 ? ` by ${term.l7.proxy} rules ${term.l7.rules}${term.audit ? ' for the record' : ''}` : ''
  return `${direction} ${peer} ${where} ${verdict}${further} rule ${rule} precedence 0x${precedence.toString(16)}`
}
