// NetworkPolicies for tests, written as the text of their specs.

import { formatProblem, type ManifestObject, type Problem, parseManifests } from '../../../../manifests/index.ts'
import type { Policy } from '../../../model/rule.ts'
import { readNetworkPolicy } from '../network-policy.ts'

export const FILE = 'policy.yaml'

/** Reads a policy of namespace `shop` whose spec is the text, indented by two. @throws Error when the text is no object */
export function read(spec: string, annotations = '{}'): { value?: Policy; problems: readonly Problem[] } {
  const text = [
    'apiVersion: networking.k8s.io/v1',
    'kind: NetworkPolicy',
    `metadata: {name: web, namespace: shop, annotations: ${annotations}}`,
    'spec:',
    ...spec.split('\n').map(line => `  ${line}`),
  ]
  const { objects, problems } = parseManifests(text.join('\n'), FILE)
  throwFirst(problems)
  return readNetworkPolicy(objects[0] as ManifestObject)
}

/** The same, of a policy without any problem. @throws Error when it has one */
export function valid(spec: string): Policy {
  const { value, problems } = read(spec)
  throwFirst(problems)
  return value as Policy
}

function throwFirst([problem]: readonly Problem[]): void {
  if (problem) throw new Error(formatProblem(problem))
}
