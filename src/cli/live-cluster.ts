// The cluster that an agent knows of, made anew from its answer, so that what is asked
// of it goes the same way as what is asked of files.

import type { ClusterAnswer } from '../api/index.ts'
import { ip } from '../ip/index.ts'
import { Cluster, type ClusterPod } from '../policy/index.ts'

export function clusterOf(answer: ClusterAnswer): Cluster {
  const { pods, nodes, namespaces, policies, cidrGroups, services, enforcement, learntNames } = answer
  const onlyNode = nodes.length === 1 ? nodes[0]?.name : undefined
  const addressesOf = new Map(nodes.map(({ name, addresses }) => [name, addresses.map(ip)]))
  return new Cluster({
    pods: pods.map((pod): ClusterPod => {
      const node = pod.node ?? onlyNode ?? ''
      const own = pod.addresses.map(ip)
      return {
        namespace: pod.namespace,
        name: pod.name,
        labels: pod.labels,
        serviceAccount: pod.serviceAccount,
        namedPorts: pod.ports,
        addresses: pod.hostNetwork && own.length === 0 ? (addressesOf.get(node) ?? []) : own,
        hostNetwork: pod.hostNetwork,
        ...(pod.visibility && { visibility: pod.visibility }),
        node,
      }
    }),
    nodes: nodes.map(({ name }) => ({ name, addresses: addressesOf.get(name) ?? [] })),
    namespaceLabels: new Map(namespaces.map(({ name, labels }) => [name, labels])),
    auditedNamespaces: new Set(namespaces.filter(({ audit }) => audit).map(({ name }) => name)),
    policies,
    cidrGroups,
    services,
    enforcement,
    learntNames: learntNames.map(({ name, address }) => ({ name, address: ip(address) })),
  })
}
