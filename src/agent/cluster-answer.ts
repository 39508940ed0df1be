// What the agent knows of the cluster, as it was declared: enough to answer any question
// about policies elsewhere, with the same code that answers it from files.

import type { ClusterAnswer } from '../api/index.ts'
import { policyService } from '../policy/index.ts'
import { objectKey, type Tables } from '../tables/index.ts'

/**
 * @param node name and addresses of the agent's own node
 * @param enforcement who is isolated where no policy says so
 */
export function clusterAnswer(
  { pods, nodes, namespaces, policies, cidrGroups, services, endpointSlices, endpoints, names }: Tables,
  node: ClusterAnswer['nodes'][number],
  enforcement: ClusterAnswer['enforcement'],
): ClusterAnswer {
  const used = new Map(
    endpoints
      .all()
      .map(({ podNamespace: namespace, podName: name, addresses }) => [objectKey({ namespace, name }), addresses]),
  )
  return {
    pods: pods
      .all()
      .map(({ namespace, name, labels, serviceAccount, hostNetwork, node: bound, addresses, ports, visibility }) => {
        // An endpoint's addresses are those that it really uses, and it is here.
        const own = used.get(objectKey({ namespace, name }))
        const where = own ? node.name : bound
        const seen = visibility && { visibility }
        const pod = {
          namespace,
          name,
          labels,
          serviceAccount,
          hostNetwork,
          addresses: own ?? addresses,
          ports,
          ...seen,
        }
        return where === undefined ? pod : { ...pod, node: where }
      }),
    nodes: [node, ...nodes.all().filter(({ name }) => name !== node.name)].map(({ name, addresses }) => ({
      name,
      addresses,
    })),
    namespaces: namespaces.all().map(({ name, labels, audit }) => ({ name, labels, audit })),
    policies: policies.all().map(({ rules }) => rules),
    cidrGroups: cidrGroups.all(),
    services: services
      .all()
      .map(service => policyService(service, () => endpointSlices.by('service', objectKey(service)))),
    enforcement,
    learntNames: names.all().map(({ name, address }) => ({ name, address })),
  }
}
