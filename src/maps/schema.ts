// What the compiled datapath says of itself, read once from its BTF: all enums, the
// event layout, the schema version. Reading checks every layout that this program
// relies on, so whoever holds a `Schema` knows that C and TypeScript agree. Pure.

import type { Btf } from '../bpf/index.ts'
import { addressShape } from './address.ts'
import { flowFlagsShape, flowKeyShape, flowLegShape, flowShape, runtimeShape } from './conntrack.ts'
import { endpointShape } from './endpoint.ts'
import { eventCountShape, eventKindShape, flowEventLayout, flowEventShape, observationPointShape } from './event.ts'
import { fragmentKeyShape, fragmentPortsShape } from './fragment.ts'
import { ipcacheEntryShape, ipcacheFlagsShape, ipcacheKeyShape, reservedIdentityShape } from './ipcache.ts'
import { enumeration, LayoutError, layoutDifferences, readEnum } from './layout.ts'
import { icmpKindShape } from './packet.ts'
import { policyEntryShape, policyFlagsShape, policyKeyShape, policyPrefixShape, policyVerdictShape } from './policy.ts'
import { proxyKindShape, proxyListenerShape, proxyMarkShape, proxySocketShape, tlsContextShape } from './proxy.ts'
import {
  affinityBackendShape,
  affinityKeyShape,
  affinityShape,
  backendRangeShape,
  backendShape,
  clientKindShape,
  frontendFlagsShape,
  frontendKeyShape,
  frontendShape,
  slotPagesShape,
  sourceRangeKeyShape,
  withoutBackendShape,
} from './service.ts'
import { podNamespaceFlagsShape, podNamespaceShape } from './socket.ts'
import { translationFlagsShape, translationShape, tupleShape } from './translation.ts'
import {
  auditShape,
  dropReasonShape,
  packetCountersShape,
  packetCountShape,
  trafficDirectionShape,
  verdictShape,
} from './verdict.ts'

export const schemaShape = enumeration('schema', 'SCHEMA_', ['VERSION'])

const structs = [
  addressShape,
  affinityBackendShape,
  affinityKeyShape,
  affinityShape,
  backendRangeShape,
  backendShape,
  endpointShape,
  eventCountShape,
  flowEventShape,
  flowKeyShape,
  flowShape,
  fragmentKeyShape,
  fragmentPortsShape,
  frontendKeyShape,
  frontendShape,
  ipcacheEntryShape,
  ipcacheKeyShape,
  packetCountShape,
  podNamespaceShape,
  policyEntryShape,
  policyKeyShape,
  runtimeShape,
  sourceRangeKeyShape,
  translationShape,
  tupleShape,
]

const enums = {
  verdict: verdictShape,
  dropReason: dropReasonShape,
  trafficDirection: trafficDirectionShape,
  audit: auditShape,
  packetCounters: packetCountersShape,
  icmpKind: icmpKindShape,
  eventKind: eventKindShape,
  observationPoint: observationPointShape,
  flowLeg: flowLegShape,
  flowFlags: flowFlagsShape,
  ipcacheFlags: ipcacheFlagsShape,
  reservedIdentity: reservedIdentityShape,
  policyVerdict: policyVerdictShape,
  policyFlags: policyFlagsShape,
  policyPrefix: policyPrefixShape,
  proxyKind: proxyKindShape,
  proxyMark: proxyMarkShape,
  proxyListener: proxyListenerShape,
  proxySocket: proxySocketShape,
  tlsContext: tlsContextShape,
  slotPages: slotPagesShape,
  frontendFlags: frontendFlagsShape,
  withoutBackend: withoutBackendShape,
  clientKind: clientKindShape,
  translationFlags: translationFlagsShape,
  podNamespaceFlags: podNamespaceFlagsShape,
}

export type Schema = ReturnType<typeof readSchema>

/** @throws LayoutError naming every difference between the object and this program */
export function readSchema(btf: Btf) {
  const differences = layoutDifferences(btf, structs, [schemaShape, ...Object.values(enums)])
  if (differences.length > 0) throw new LayoutError(differences)
  return {
    /** Raised when pinned maps of before cannot be used any more. */
    version: readEnum(btf, schemaShape).number.VERSION,
    verdict: readEnum(btf, enums.verdict),
    dropReason: readEnum(btf, enums.dropReason),
    trafficDirection: readEnum(btf, enums.trafficDirection),
    audit: readEnum(btf, enums.audit),
    packetCounters: readEnum(btf, enums.packetCounters),
    icmpKind: readEnum(btf, enums.icmpKind),
    eventKind: readEnum(btf, enums.eventKind),
    observationPoint: readEnum(btf, enums.observationPoint),
    flowLeg: readEnum(btf, enums.flowLeg),
    flowFlags: readEnum(btf, enums.flowFlags),
    ipcacheFlags: readEnum(btf, enums.ipcacheFlags),
    reservedIdentity: readEnum(btf, enums.reservedIdentity),
    policyVerdict: readEnum(btf, enums.policyVerdict),
    policyFlags: readEnum(btf, enums.policyFlags),
    policyPrefix: readEnum(btf, enums.policyPrefix),
    proxyKind: readEnum(btf, enums.proxyKind),
    proxyMark: readEnum(btf, enums.proxyMark),
    proxyListener: readEnum(btf, enums.proxyListener),
    proxySocket: readEnum(btf, enums.proxySocket),
    tlsContext: readEnum(btf, enums.tlsContext),
    slotPages: readEnum(btf, enums.slotPages),
    frontendFlags: readEnum(btf, enums.frontendFlags),
    withoutBackend: readEnum(btf, enums.withoutBackend),
    clientKind: readEnum(btf, enums.clientKind),
    translationFlags: readEnum(btf, enums.translationFlags),
    podNamespaceFlags: readEnum(btf, enums.podNamespaceFlags),
    flowEvent: flowEventLayout(btf),
  } as const
}
