// axoneme/policy: network policies without a cluster, in Node or in a browser. Reads
// manifests into one rule model, resolves it to the entries of kernel maps, and says
// who may reach whom. Pure: no input or output, no clock.
//
//   const { objects } = parseManifests(yamlText, 'policies.yaml')
//   const { cluster, problems } = readCluster(objects)
//   for (const row of reach(cluster, [{ protocol: PROTOCOLS.TCP, port: 80 }])) …
//
// docs/policy-engine.md describes it.

export { type NamedPort, PROTOCOLS } from '../labels/index.ts'
export { formatProblem, type ManifestObject, type Problem, parseManifests } from '../manifests/index.ts'
export * from './cluster.ts'
export * from './cluster-manifests.ts'
export { ANY_PEER, type PolicyEntry } from './entries.ts'
export * from './evaluate.ts'
export * from './kinds.ts'
export { NETWORK_POLICY_API, NETWORK_POLICY_KIND, readNetworkPolicy } from './network-policy.ts'
export type { Verdict } from './port-space.ts'
export * from './precedence.ts'
export * from './reach.ts'
export { ReferenceCounts, type References } from './references.ts'
export * from './repository.ts'
export * from './rule.ts'
