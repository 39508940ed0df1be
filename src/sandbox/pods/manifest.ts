// What the sandbox reads of a Pod, beyond what `manifests` checks for everybody: the fields that decide how its processes
// run. Pure.

import { z } from 'zod'
import { type ManifestObject, type Problem, problemOf, readPod } from '../../manifests/index.ts'
import { sortedKeys, withoutNulls } from '../nulls.ts'
import { handlerSchema, probeSchema } from './actions.ts'

const environmentSchema = z.object({
  name: z.string(),
  value: z.string().optional(),
  /** A field of the pod (`fieldRef`), or something that the sandbox does not have. */
  valueFrom: z
    .record(z.string(), z.looseObject({ fieldPath: z.string().optional(), optional: z.boolean().optional() }))
    .optional(),
})

const securitySchema = z.object({ runAsUser: z.int().min(0).optional(), runAsGroup: z.int().min(0).optional() })

const containerSchema = z.object({
  name: z.string(),
  image: z.string().optional(),
  command: z.array(z.string()).optional(),
  args: z.array(z.string()).optional(),
  env: z.array(environmentSchema).optional(),
  ports: z
    .array(z.object({ name: z.string().optional(), containerPort: z.int(), protocol: z.string().optional() }))
    .optional(),
  workingDir: z.string().optional(),
  securityContext: securitySchema.optional(),
  readinessProbe: probeSchema.optional(),
  livenessProbe: probeSchema.optional(),
  startupProbe: probeSchema.optional(),
  lifecycle: z.object({ preStop: handlerSchema.optional() }).optional(),
  /** Of init containers only: `Always` keeps it running beside the containers. */
  restartPolicy: z.string().optional(),
})

const specSchema = z.object({
  containers: z.array(containerSchema).min(1),
  initContainers: z.array(containerSchema).optional(),
  restartPolicy: z.string().optional(),
  hostname: z.string().optional(),
  subdomain: z.string().optional(),
  terminationGracePeriodSeconds: z.number().optional(),
  nodeName: z.string().optional(),
  serviceAccountName: z.string().optional(),
  hostNetwork: z.boolean().optional(),
  dnsConfig: z
    .object({
      nameservers: z
        .array(z.union([z.ipv4(), z.ipv6()]))
        .max(3)
        .optional(),
      searches: z.array(z.string().regex(/^\S+$/)).optional(),
      options: z
        .array(z.object({ name: z.string().regex(/^\S+$/), value: z.string().regex(/^\S*$/).optional() }))
        .optional(),
    })
    .optional(),
  securityContext: securitySchema.optional(),
})

export type EnvironmentVariable = z.infer<typeof environmentSchema>
export type ContainerSpec = z.infer<typeof containerSchema>
export type PodSpec = z.infer<typeof specSchema>

export type PodManifest = {
  readonly namespace: string
  readonly name: string
  readonly uid?: string | undefined
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly spec: PodSpec
  /** In the order in which a name is looked up. */
  readonly namedPorts: readonly { readonly name: string; readonly protocol: string; readonly port: number }[]
  /** Addresses that the manifest's status asks for. */
  readonly requestedAddresses: readonly string[]
}

/** @returns without `pod` when it is not valid; the problems say why */
export function readPodManifest(object: ManifestObject): { pod?: PodManifest; problems: readonly Problem[] } {
  const { value, problems } = readPod(object)
  if (!value) return { problems }
  const { spec } = object.content as { spec: unknown }
  const parsed = specSchema.safeParse(withoutNulls(spec))
  if (!parsed.success) {
    const issues = parsed.error.issues.map(({ path, message }) =>
      problemOf(object, 'error', ['spec', ...path.filter(part => typeof part !== 'symbol')], message),
    )
    return { problems: [...problems, ...issues] }
  }
  const { namespace, name, labels, annotations, namedPorts, ips } = value
  const { uid } = object.metadata
  const pod = { namespace, name, uid, labels, annotations, spec: parsed.data, namedPorts, requestedAddresses: ips }
  return { pod, problems }
}

/** `namespace/name` */
export function podKey(pod: { readonly namespace: string; readonly name: string }): string {
  return `${pod.namespace}/${pod.name}`
}

/** Two manifests with the same text here are the same running pod: labels and annotations change in place. */
export function restartKey(pod: PodManifest): string {
  return JSON.stringify([pod.uid ?? '', pod.spec, pod.requestedAddresses], sortedKeys)
}
