// axoneme/policy: network policies without a cluster, in Node or in a browser. Reads
// manifests into one rule model, resolves it to the entries of kernel maps, and says
// who may reach whom. Pure: no input or output, no clock.
//
//   const { objects } = parseManifests(yamlText, 'policies.yaml')
//   const { cluster, problems } = readCluster(objects)
//   for (const row of reach(cluster, [{ protocol: PROTOCOLS.TCP, port: 80 }])) …
//
// docs/policy-engine.md describes it.

export { addressLabels, type LabelSet, type NamedPort, type PodFacts, PROTOCOLS, podLabels } from '../labels/index.ts'
export { formatProblem, type ManifestObject, type Problem, parseManifests } from '../manifests/index.ts'
export { Cluster, type ClusterContent, type ClusterNode, type ClusterPod, type End } from './cluster/cluster.ts'
export * from './cluster/cluster-manifests.ts'
export { conflictAdvice, conflictWord, type Decider, rulesWord, seenWord } from './cluster/deciders.ts'
export { isOpened, type Outcome } from './cluster/judge.ts'
export { type PortClass, portClassText } from './cluster/port-classes.ts'
export * from './cluster/reach.ts'
export { withWorkloadPods } from './cluster/workload-pods.ts'
export { type CustomResourceDefinition, customResourceDefinitions } from './crd/definitions.ts'
export type { StructuralSchema } from './crd/structural.ts'
export { type ClusterDiff, diffClusters, type PairChange, type PortChange } from './diff/diff-clusters.ts'
export { type ChangeGroup, type ChangeLine, groupChanges, PlaceNames } from './diff/group-changes.ts'
export { ANY_PEER, type PolicyEntry } from './engine/entries.ts'
export * from './engine/evaluate.ts'
export { type UnknownReference, unknownReferenceText } from './engine/expansion.ts'
export type { IsolatedBy, IsolatingPolicy } from './engine/isolation.ts'
export { judgeOf, type L7Judge, languageOf, tlsMeaning } from './engine/l7-rules.ts'
export { NamedPeers } from './engine/named-peers.ts'
export type { Verdict } from './engine/port-space.ts'
export { ReferenceCounts, type References } from './engine/references.ts'
export * from './engine/repository.ts'
export { type NamedSecret, secretsOf, type TlsUse, tlsUsesOf } from './engine/secrets.ts'
export * from './engine/subject.ts'
export {
  type Expectation,
  isExpectations,
  type ReadExpectations,
  readExpectations,
} from './expect/read-expectations.ts'
export { failureLines, junitReport, tapReport } from './expect/report.ts'
export {
  type ExpectationFailure,
  type ExpectationResult,
  runExpectations,
} from './expect/run-expectations.ts'
export { explain } from './explain/explain.ts'
export { explainFlow } from './explain/explain-flow.ts'
export * from './explain/explanation.ts'
export type { PeerView } from './explain/pod-peers.ts'
export type { DirectionReach, PeerGroup, PodReach, PortAnswer } from './explain/pod-reach.ts'
export { explainPod } from './explain/pod-reach.ts'
export * from './explain/question.ts'
export {
  AUDIT_ANNOTATION,
  LINT_DISABLE_ANNOTATION,
  PRIORITY_ANNOTATION,
  TIER_ANNOTATION,
} from './kinds/annotations.ts'
export { readAuditAnnotation } from './kinds/audit-annotation.ts'
export { CILIUM_CIDR_GROUP_APIS, CILIUM_CIDR_GROUP_KIND, readCiliumCidrGroup } from './kinds/cilium/cidr-group.ts'
export { policyService } from './kinds/policy-service.ts'
export * from './kinds/read-policy.ts'
export { readVisibility } from './kinds/visibility-annotation.ts'
export { checkManifests } from './lint/check.ts'
export { LINT_RULES, type LintFinding, type LintId } from './lint/finding.ts'
export { isLintId, type LintOptions, lintManifests } from './lint/lint.ts'
export type { CidrGroup } from './model/cidr-group.ts'
export * from './model/enforcement.ts'
export * from './model/l7.ts'
export { canonicalName, NameSelectors } from './model/name-selector.ts'
export {
  DEFAULT_PRIORITY,
  LAST_PLACE,
  type PrecedenceFields,
  precedence,
  WEAKEST_PRIORITY,
} from './model/precedence.ts'
export * from './model/rule.ts'
export type { PolicyService, ServiceReference } from './model/service.ts'
