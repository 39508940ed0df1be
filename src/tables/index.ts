// Every table of the agent. Read this folder first: sources write what users declare
// (intent.ts), controllers turn it into identities and into what the kernel is to
// have (identities.ts, desired.ts), reconcilers make that real.

import { Database } from '../state/index.ts'
import { endpointEntryTable, l7RuleSetTable, policyMapTable, ruleTable } from './desired.ts'
import { endpointTable } from './endpoints.ts'
import { addressTable, identityTable } from './identities.ts'
import { cidrGroupTable, namespaceTable, nodeTable, podTable, policyTable, problemTable } from './intent.ts'
import { learntNameTable } from './names.ts'
import { nodeDeviceTable } from './node-devices.ts'
import { podNamespaceTable } from './pod-namespaces.ts'
import { enforcedPolicyTable } from './policy-status.ts'
import { endpointSliceTable, serviceEntryTable, serviceHealthTable, serviceTable } from './services.ts'

export * from './desired.ts'
export * from './endpoints.ts'
export * from './identities.ts'
export * from './intent.ts'
export * from './l7-event.ts'
export * from './names.ts'
export * from './node-devices.ts'
export * from './pod-namespaces.ts'
export * from './policy-status.ts'
export * from './service-status.ts'
export * from './services.ts'

export type Tables = ReturnType<typeof createTables>

export function createTables() {
  const database = new Database()
  return {
    database,
    pods: database.add(podTable),
    namespaces: database.add(namespaceTable),
    nodes: database.add(nodeTable),
    policies: database.add(policyTable),
    cidrGroups: database.add(cidrGroupTable),
    services: database.add(serviceTable),
    endpointSlices: database.add(endpointSliceTable),
    problems: database.add(problemTable),
    endpoints: database.add(endpointTable),
    podNamespaces: database.add(podNamespaceTable),
    nodeDevices: database.add(nodeDeviceTable),
    names: database.add(learntNameTable),
    identities: database.add(identityTable),
    addresses: database.add(addressTable),
    policyMaps: database.add(policyMapTable),
    endpointEntries: database.add(endpointEntryTable),
    serviceEntries: database.add(serviceEntryTable),
    serviceHealth: database.add(serviceHealthTable),
    rules: database.add(ruleTable),
    l7RuleSets: database.add(l7RuleSetTable),
    enforcedPolicies: database.add(enforcedPolicyTable),
  }
}
