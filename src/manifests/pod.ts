// Pods, as far as the network and the sandbox need them. The lists of unused fields
// follow k8s.io/api core/v1 types.go; a field that Kubernetes adds is added there.

import * as z from 'zod'
import { canonicalIp } from '../ip/index.ts'
import { type ManifestObject, namespaceOf, type Problem } from './object.ts'
import {
  allocatedPort,
  apiKind,
  apiObject,
  dnsLabel,
  dnsSubdomain,
  portName,
  portNumber,
  transportProtocol,
} from './schema.ts'
import { conclude, problemOf, type Validation, validate } from './validate.ts'

export type TransportProtocol = z.output<typeof transportProtocol>

export type ContainerPort = {
  readonly name?: string
  readonly containerPort: number
  readonly protocol: TransportProtocol
  readonly hostPort?: number
  readonly hostIP?: string
}

/** A port of the node that leads to one of the pod. */
export type HostPort = {
  readonly hostPort: number
  /** Canonical; absent: every address of the node. `0.0.0.0` and `::` are every address of their family. */
  readonly hostIp?: string
  readonly protocol: TransportProtocol
  readonly containerPort: number
}

export type Container = {
  readonly name: string
  readonly image?: string
  readonly command: readonly string[]
  readonly args: readonly string[]
  /** Values given outright; those taken from elsewhere (`valueFrom`) are left out. */
  readonly env: readonly { readonly name: string; readonly value: string }[]
  readonly workingDir?: string
  readonly ports: readonly ContainerPort[]
}

export type PodManifest = {
  readonly namespace: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  /** `default` where none is given. */
  readonly serviceAccount: string
  readonly hostNetwork: boolean
  readonly nodeName?: string
  readonly restartPolicy: 'Always' | 'OnFailure' | 'Never'
  readonly terminationGracePeriodSeconds: number
  readonly containers: readonly Container[]
  /** In the order of their declaration; sidecars first. A name may be there more than once: the first counts. */
  readonly namedPorts: readonly { readonly name: string; readonly protocol: TransportProtocol; readonly port: number }[]
  /** Of sidecars and containers; none on the node's network, where a container listens itself. */
  readonly hostPorts: readonly HostPort[]
  readonly phase?: string
  /** Addresses from its status, canonical; at most one of each family. */
  readonly ips: readonly string[]
}

/** Reads a Pod. Addresses are in `status.podIPs`, or in `status.podIP` alone. */
export function readPod(object: ManifestObject): Validation<PodManifest> {
  const { value, problems } = validate(podSchema, object)
  if (!value) return { problems }
  const { spec, status } = value
  const found = [...problems]
  const ips = readIps(object, status, found)
  checkContainers(object, spec.containers, found)
  checkHostIps(object, spec, found)
  const sidecars = spec.initContainers.filter(container => container.restartPolicy === 'Always')
  const longRunning = [...sidecars, ...spec.containers]
  const { nodeName, terminationGracePeriodSeconds } = spec
  const pod: PodManifest = {
    namespace: namespaceOf(object),
    name: object.metadata.name,
    labels: object.metadata.labels,
    annotations: object.metadata.annotations,
    serviceAccount: spec.serviceAccountName || spec.serviceAccount || 'default',
    hostNetwork: spec.hostNetwork,
    ...(nodeName && { nodeName }),
    restartPolicy: spec.restartPolicy,
    terminationGracePeriodSeconds,
    containers: spec.containers,
    namedPorts: longRunning.flatMap(namedPortsOf),
    hostPorts: spec.hostNetwork ? [] : longRunning.flatMap(hostPortsOf),
    ...(status.phase && { phase: status.phase }),
    ips,
  }
  return conclude(pod, found)
}

function namedPortsOf(container: { readonly ports: readonly ContainerPort[] }): PodManifest['namedPorts'] {
  return container.ports.flatMap(({ name, protocol, containerPort }) => {
    return name === undefined ? [] : [{ name, protocol, port: containerPort }]
  })
}

function hostPortsOf(container: { readonly ports: readonly ContainerPort[] }): HostPort[] {
  return container.ports.flatMap(({ hostPort, hostIP, protocol, containerPort }) => {
    const hostIp = canonicalIp(hostIP ?? '')
    return hostPort === undefined || hostPort === 0
      ? []
      : [{ hostPort, protocol, containerPort, ...(hostIp !== undefined && { hostIp }) }]
  })
}

function checkHostIps(object: ManifestObject, spec: PodSpec, problems: Problem[]): void {
  for (const list of ['initContainers', 'containers'] as const) {
    spec[list].forEach(({ ports }, i) =>
      ports.forEach(({ hostIP }, j) => {
        if (!hostIP || canonicalIp(hostIP) !== undefined) return
        const path = ['spec', list, i, 'ports', j, 'hostIP']
        problems.push(problemOf(object, 'error', path, `is not an IP address: "${hostIP}"`))
      }),
    )
  }
}

type PodSpec = z.output<typeof podSchema>['spec']
type PodStatus = z.output<typeof podSchema>['status']

function readIps(object: ManifestObject, { podIP, podIPs }: PodStatus, problems: Problem[]): string[] {
  const written = podIPs.length > 0 ? podIPs.map(({ ip }, i) => ({ ip, path: ['status', 'podIPs', i, 'ip'] })) : []
  if (podIP && podIP !== written[0]?.ip) {
    if (written.length > 0)
      problems.push(problemOf(object, 'error', ['status', 'podIP'], 'must be the first of podIPs'))
    written.unshift({ ip: podIP, path: ['status', 'podIP'] })
  }
  const ips: string[] = []
  for (const { ip, path } of written) {
    const canonical = canonicalIp(ip)
    const message = canonical === undefined ? `is not an IP address: "${ip}"` : 'is the second address of its family'
    if (canonical === undefined || ips.some(other => other.includes(':') === canonical.includes(':'))) {
      problems.push(problemOf(object, 'error', path, message))
    } else {
      ips.push(canonical)
    }
  }
  return ips
}

function checkContainers(object: ManifestObject, containers: readonly Container[], problems: Problem[]): void {
  const names = new Set<string>()
  containers.forEach((container, i) => {
    const path = ['spec', 'containers', i]
    if (names.has(container.name)) {
      problems.push(problemOf(object, 'error', [...path, 'name'], `two containers are called "${container.name}"`))
    }
    names.add(container.name)
    const portNames = new Set<string>()
    container.ports.forEach(({ name }, j) => {
      if (name === undefined) return
      if (portNames.has(name)) {
        problems.push(problemOf(object, 'error', [...path, 'ports', j, 'name'], `two ports are called "${name}"`))
      }
      portNames.add(name)
    })
  })
}

const UNUSED_CONTAINER_FIELDS = [
  'envFrom',
  'imagePullPolicy',
  'lifecycle',
  'livenessProbe',
  'readinessProbe',
  'resizePolicy',
  'resources',
  'restartPolicyRules',
  'securityContext',
  'startupProbe',
  'stdin',
  'stdinOnce',
  'terminationMessagePath',
  'terminationMessagePolicy',
  'tty',
  'volumeDevices',
  'volumeMounts',
]

const containerSchema = apiObject(
  {
    name: dnsLabel,
    image: z.string().exactOptional(),
    command: z.array(z.string()).default([]),
    args: z.array(z.string()).default([]),
    env: z
      .array(
        apiObject(
          { name: z.string().regex(/^[^=\p{Cc}]+$/u, 'must be a name without "="'), value: z.string().default('') },
          ['valueFrom'],
        ),
      )
      .default([]),
    workingDir: z.string().exactOptional(),
    ports: z
      .array(
        apiObject({
          name: portName.exactOptional(),
          containerPort: portNumber,
          protocol: transportProtocol.default('TCP'),
          hostPort: allocatedPort.exactOptional(),
          hostIP: z.string().exactOptional(),
        }),
      )
      .default([]),
    restartPolicy: z.string().exactOptional(),
  },
  UNUSED_CONTAINER_FIELDS,
)

const UNUSED_SPEC_FIELDS = [
  'activeDeadlineSeconds',
  'affinity',
  'automountServiceAccountToken',
  'dnsConfig',
  'dnsPolicy',
  'enableServiceLinks',
  'ephemeralContainers',
  'hostAliases',
  'hostIPC',
  'hostPID',
  'hostUsers',
  'hostname',
  'hostnameOverride',
  'imagePullSecrets',
  'nodeSelector',
  'os',
  'overhead',
  'preemptionPolicy',
  'priority',
  'priorityClassName',
  'readinessGates',
  'resourceClaims',
  'resources',
  'runtimeClassName',
  'schedulerName',
  'schedulingGates',
  'schedulingGroup',
  'securityContext',
  'setHostnameAsFQDN',
  'shareProcessNamespace',
  'subdomain',
  'tolerations',
  'topologySpreadConstraints',
  'volumes',
  'workloadRef',
]

const UNUSED_STATUS_FIELDS = [
  'allocatedResources',
  'conditions',
  'containerStatuses',
  'ephemeralContainerStatuses',
  'extendedResourceClaimStatus',
  'hostIP',
  'hostIPs',
  'initContainerStatuses',
  'message',
  'nominatedNodeName',
  'observedGeneration',
  'qosClass',
  'reason',
  'resize',
  'resourceClaimStatuses',
  'resources',
  'startTime',
]

export const podSchema = apiKind({
  spec: apiObject(
    {
      containers: z.array(containerSchema).min(1),
      initContainers: z.array(containerSchema).default([]),
      serviceAccountName: dnsSubdomain.or(z.literal('')).exactOptional(),
      // The deprecated name of the same field.
      serviceAccount: dnsSubdomain.or(z.literal('')).exactOptional(),
      hostNetwork: z.boolean().default(false),
      nodeName: dnsSubdomain.or(z.literal('')).exactOptional(),
      restartPolicy: z.enum(['Always', 'OnFailure', 'Never']).default('Always'),
      terminationGracePeriodSeconds: z.int().min(0).default(30),
    },
    UNUSED_SPEC_FIELDS,
  ),
  status: apiObject(
    {
      phase: z.enum(['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown', '']).exactOptional(),
      podIP: z.string().exactOptional(),
      podIPs: z.array(apiObject({ ip: z.string() })).default([]),
    },
    UNUSED_STATUS_FIELDS,
  ).prefault({}),
})
