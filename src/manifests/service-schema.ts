// Schema of core/v1 Service: types and defaults of its fields as the API has them. The
// lists of unused fields follow k8s.io/api core/v1 types.go.

import * as z from 'zod'
import { isPortName, PORT_NAME_RULE } from './names.ts'
import { allocatedPort, apiKind, apiObject, portNumber, servicePortName, transportProtocol } from './schema.ts'

const targetName = z.string().refine(text => text === '' || isPortName(text), PORT_NAME_RULE)

const servicePort = apiObject({
  name: servicePortName.default(''),
  protocol: transportProtocol.default('TCP'),
  port: portNumber,
  targetPort: z.union([allocatedPort, targetName]).default(0),
  nodePort: allocatedPort.default(0),
  appProtocol: z.string().exactOptional(),
})

const AFFINITY_SECONDS = { default: 10800, most: 86400 }

const clientIpAffinity = apiObject({
  timeoutSeconds: z.int().min(1).max(AFFINITY_SECONDS.most).default(AFFINITY_SECONDS.default),
})

const spec = apiObject(
  {
    type: z.enum(['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName']).default('ClusterIP'),
    ports: z.array(servicePort).default([]),
    selector: z.record(z.string(), z.string()).exactOptional(),
    clusterIP: z.string().exactOptional(),
    clusterIPs: z.array(z.string()).default([]),
    ipFamilies: z
      .array(z.enum(['IPv4', 'IPv6']))
      .max(2)
      .default([]),
    ipFamilyPolicy: z.enum(['SingleStack', 'PreferDualStack', 'RequireDualStack']).exactOptional(),
    externalIPs: z.array(z.string()).default([]),
    externalName: z.string().exactOptional(),
    sessionAffinity: z.enum(['None', 'ClientIP']).default('None'),
    sessionAffinityConfig: apiObject({ clientIP: clientIpAffinity.prefault({}) }).prefault({}),
    loadBalancerSourceRanges: z.array(z.string()).default([]),
    loadBalancerClass: z.string().exactOptional(),
    allocateLoadBalancerNodePorts: z.boolean().default(true),
    externalTrafficPolicy: z.enum(['Cluster', 'Local']).default('Cluster'),
    internalTrafficPolicy: z.enum(['Cluster', 'Local']).default('Cluster'),
    healthCheckNodePort: allocatedPort.default(0),
    publishNotReadyAddresses: z.boolean().default(false),
    trafficDistribution: z.string().exactOptional(),
  },
  ['loadBalancerIP'],
)

const ingress = apiObject({ ip: z.string().exactOptional(), ipMode: z.enum(['VIP', 'Proxy']).default('VIP') }, [
  'hostname',
  'ports',
])

export const serviceSchema = apiKind({
  spec,
  status: apiObject({ loadBalancer: apiObject({ ingress: z.array(ingress).default([]) }).prefault({}) }, [
    'conditions',
  ]).prefault({}),
})
export type ServiceSpec = z.output<typeof spec>
