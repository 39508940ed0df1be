// The services of manifests, resolved as a node of a sandbox would resolve them, for
// questions without an agent: pods and services without an address get the one that they
// would have there, and every pod is ready.

import { formatIp } from '../ip/index.ts'
import { protocolName } from '../labels/index.ts'
import { type ManifestObject, type Problem, readPod } from '../manifests/index.ts'
import { type ClusterPod, readCluster } from '../policy/index.ts'
import { defaultConfiguration, servicesOfManifests } from '../sandbox/index.ts'
import {
  compareClaims,
  endpointText,
  type KnownService,
  type ResolvedService,
  resolveHostPorts,
  resolveService,
  type ServiceContext,
  type ServiceWorld,
} from '../services/index.ts'

/** @param nodeName the node that is asked; what pods and nodes of the manifests call it, or the only one that there is */
export function servicesWorld(
  objects: readonly ManifestObject[],
  nodeName: string,
): { readonly world: ServiceWorld; readonly problems: readonly Problem[] } {
  const { cluster, problems: clusterProblems } = readCluster(objects)
  const { pods, nodes } = cluster.content
  const name = nodes.length === 1 ? (nodes[0]?.name ?? nodeName) : nodeName
  const own = nodes.find(node => node.name === name)?.addresses.map(({ bytes }) => formatIp(bytes))
  const node = { name, addresses: own ?? ASSUMED_ADDRESSES }
  const { services, slices, problems } = servicesOfManifests(
    objects,
    pods.map(pod => readyPod(pod, name)),
  )
  const context: ServiceContext = {
    nodeName: name,
    nodeAddresses: node.addresses,
    nodePortAddresses: node.addresses,
    externalIpRanges: [],
    algorithm: 'random',
    forwarding: 'snat',
    clusterIpsFromOutside: false,
  }
  const known = services.map((manifest): KnownService => {
    const ofService = slices.filter(
      ({ namespace, service }) => namespace === manifest.namespace && service === manifest.name,
    )
    return { ...resolveService(manifest, ofService, context), manifest }
  })
  return {
    world: {
      node,
      services: settled([...known, ...hostPorts(objects, pods, context)]),
      slices,
      pods: pods.map(pod => ({
        namespace: pod.namespace,
        name: pod.name,
        addresses: texts(pod),
        hostNetwork: pod.hostNetwork,
        byPacket: false,
      })),
    },
    problems: [...clusterProblems, ...problems.filter(problem => !clusterProblems.some(told => isSame(told, problem)))],
  }
}

/** Services are read for policies, too. */
const isSame = (a: Problem, b: Problem): boolean =>
  a.message === b.message && a.file === b.file && a.line === b.line && a.column === b.column

/** Of the node of a sandbox. */
const ASSUMED_ADDRESSES = (defaultConfiguration().nodes[0]?.addresses ?? []).map(text => text.replace(/\/.*$/, ''))

const texts = ({ addresses }: ClusterPod): string[] => addresses.map(({ bytes }) => formatIp(bytes))

const readyPod = (pod: ClusterPod, nodeName: string) => ({
  namespace: pod.namespace,
  name: pod.name,
  labels: pod.labels,
  node: pod.node || nodeName,
  addresses: texts(pod),
  namedPorts: pod.namedPorts.map(({ name, protocol, port }) => ({ name, protocol: protocolName(protocol), port })),
})

function hostPorts(
  objects: readonly ManifestObject[],
  pods: readonly ClusterPod[],
  context: ServiceContext,
): ResolvedService[] {
  return objects
    .filter(({ apiVersion, kind }) => apiVersion === 'v1' && kind === 'Pod')
    .flatMap(object => {
      const { value } = readPod(object)
      const pod = value && pods.find(({ namespace, name }) => namespace === value.namespace && name === value.name)
      if (!pod || value.hostNetwork || value.hostPorts.length === 0) return []
      const isHere = pod.node === '' || pod.node === context.nodeName
      return isHere ? [resolveHostPorts({ ...value, addresses: texts(pod) }, context)] : []
    })
}

/** What several claim, the first of them has. */
function settled(services: readonly KnownService[]): KnownService[] {
  const claims = services.flatMap((service, owner) =>
    service.ports.flatMap(({ frontends, protocol }) =>
      frontends.map(({ address, port, kind }) => {
        const { namespace, name, manifest } = service
        const createdAt = manifest?.createdAt
        const claim = { namespace, name, kind, ...(createdAt !== undefined && { createdAt }) }
        return { where: `${endpointText(address, port)}/${protocol}`, owner, claim }
      }),
    ),
  )
  const owners = new Map<string, number>()
  for (const { where, owner } of claims.toSorted((a, b) => compareClaims(a.claim, b.claim)))
    if (!owners.has(where)) owners.set(where, owner)
  return services.map((service, owner) => ({
    ...service,
    ports: service.ports.map(port => ({
      ...port,
      frontends: port.frontends.filter(
        frontend => owners.get(`${endpointText(frontend.address, frontend.port)}/${port.protocol}`) === owner,
      ),
    })),
  }))
}
