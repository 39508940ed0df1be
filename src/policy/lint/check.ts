// Everything that can be said of manifests before they are applied: what is wrong with
// each object, which are there twice, and which of them nobody here reads.

import { apiGroup, compareText, type ManifestObject, type Problem, problemOf } from '../../manifests/index.ts'
import { readCluster } from '../cluster/cluster-manifests.ts'
import { isWorkload, withWorkloadPods } from '../cluster/workload-pods.ts'
import { isExpectations, readExpectations } from '../expect/read-expectations.ts'
import { CILIUM_CIDR_GROUP_KIND } from '../kinds/cilium/cidr-group.ts'
import { readPolicy } from '../kinds/read-policy.ts'
import { parsePath } from './manifest-fields.ts'

/** Problems by file, line and column, each once. */
export function checkManifests(objects: readonly ManifestObject[]): Problem[] {
  const expectations = objects.filter(isExpectations)
  const others = objects.filter(object => !isExpectations(object))
  const problems = [
    ...expectations.flatMap(object => readExpectations(object).problems),
    // That pods have no addresses yet is no fault of their manifests.
    ...readCluster(withWorkloadPods(others)).problems.filter(problem => !isAboutAssumedAddress(problem)),
    ...others.flatMap(unread),
    ...others.flatMap(unenforced),
  ]
  return sortProblems(problems)
}

const isAboutAssumedAddress = ({ severity, path }: Problem): boolean =>
  severity === 'warning' && path === 'status.podIP'

/** By file, line and column; of two that say the same of one field, one. */
export function sortProblems<Found extends Problem>(problems: readonly Found[]): Found[] {
  const byText = new Map<string, Found>()
  for (const problem of problems)
    byText.set(JSON.stringify([problem.file, problem.line, problem.column, problem.path, problem.message]), problem)
  return [...byText.values()].sort(
    (a, b) =>
      compareText(a.file, b.file) || a.line - b.line || a.column - b.column || compareText(a.message, b.message),
  )
}

/** What a policy asks for and does not get yet, unless its reader has told of it. */
function unenforced(object: ManifestObject): Problem[] {
  const read = readPolicy(object)
  const told = new Set(read?.problems.map(({ path }) => path))
  return (read?.value?.unenforced ?? []).flatMap(({ path, reason }): Problem[] => {
    if (told.has(path)) return []
    const found = problemOf(object, 'warning', parsePath(path), reason)
    return [{ ...found, path }]
  })
}

/** Groups whose kinds Kubernetes itself knows and that say nothing about policies. */
const FOREIGN_GROUPS: ReadonlySet<string> = new Set([
  'admissionregistration.k8s.io',
  'apiextensions.k8s.io',
  'apps',
  'autoscaling',
  'batch',
  'certificates.k8s.io',
  'coordination.k8s.io',
  'discovery.k8s.io',
  'gateway.networking.k8s.io',
  'policy',
  'rbac.authorization.k8s.io',
  'scheduling.k8s.io',
  'storage.k8s.io',
])
const CORE_KINDS: ReadonlySet<string> = new Set([
  'ConfigMap',
  'LimitRange',
  'Namespace',
  'Node',
  'PersistentVolume',
  'PersistentVolumeClaim',
  'Pod',
  'ResourceQuota',
  'Secret',
  'Service',
  'ServiceAccount',
])

const ENDPOINTS = 'nobody reads Endpoints here, only the EndpointSlices that Kubernetes makes of them'

/** Kinds that nobody reads here, and that may be a policy under a wrong name. */
function unread(object: ManifestObject): Problem[] {
  const { apiVersion, kind } = object
  const group = apiGroup(apiVersion)
  if (isWorkload(object) || readPolicy(object) || FOREIGN_GROUPS.has(group)) return []
  if (group === 'cilium.io' && kind === CILIUM_CIDR_GROUP_KIND) return []
  if (group === '' && kind === 'Endpoints') return [problemOf(object, 'warning', ['kind'], ENDPOINTS)]
  if (group === '' && CORE_KINDS.has(kind)) return []
  if (group === 'networking.k8s.io' && (kind === 'Ingress' || kind === 'IngressClass')) return []
  return [problemOf(object, 'warning', ['kind'], `nobody reads ${kind} of ${apiVersion} here; it has no effect`)]
}
