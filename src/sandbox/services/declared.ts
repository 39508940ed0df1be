// A Service as its author wrote it, as far as the sandbox's control plane decides about it: what is to be allocated, and
// which pods are behind it. Pure. Names and bounds of fields are checked by who reads Services for the agent.

import { z } from 'zod'
import { type ManifestObject, type Problem, problemOf } from '../../manifests/index.ts'
import { withoutNulls } from '../nulls.ts'

const familySchema = z.enum(['IPv4', 'IPv6'])

const portSchema = z.looseObject({
  name: z.string().default(''),
  protocol: z.string().default('TCP'),
  port: z.int(),
  targetPort: z.union([z.int(), z.string()]).optional(),
  nodePort: z.int().optional(),
})

const specSchema = z.looseObject({
  type: z.enum(['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName']).default('ClusterIP'),
  clusterIP: z.string().optional(),
  clusterIPs: z.array(z.string()).default([]),
  ipFamilies: z.array(familySchema).default([]),
  ipFamilyPolicy: z.enum(['SingleStack', 'PreferDualStack', 'RequireDualStack']).optional(),
  ports: z.array(portSchema).default([]),
  selector: z.record(z.string(), z.string()).optional(),
  externalTrafficPolicy: z.string().optional(),
  healthCheckNodePort: z.int().optional(),
  allocateLoadBalancerNodePorts: z.boolean().default(true),
  loadBalancerIP: z.string().optional(),
  loadBalancerClass: z.string().optional(),
  publishNotReadyAddresses: z.boolean().default(false),
  trafficDistribution: z.string().optional(),
})

const serviceSchema = z.looseObject({
  spec: specSchema,
  status: z
    .looseObject({
      loadBalancer: z.looseObject({ ingress: z.array(z.unknown()).default([]) }).prefault({}),
    })
    .prefault({}),
})

export type IpFamily = z.infer<typeof familySchema>
export type DeclaredPort = z.infer<typeof portSchema>
export type DeclaredService = z.infer<typeof serviceSchema>

export const isService = ({ apiVersion, kind }: Pick<ManifestObject, 'apiVersion' | 'kind'>): boolean =>
  apiVersion === 'v1' && kind === 'Service'

/** @returns without `service` when it cannot be understood; the problems say why */
export function readDeclaredService(object: ManifestObject): {
  service?: DeclaredService
  problems: readonly Problem[]
} {
  const parsed = serviceSchema.safeParse(withoutNulls(object.content))
  if (parsed.success) return { service: parsed.data, problems: [] }
  const problems = parsed.error.issues.map(({ path, message }) =>
    problemOf(
      object,
      'error',
      path.filter(part => typeof part !== 'symbol'),
      message,
    ),
  )
  return { problems }
}
