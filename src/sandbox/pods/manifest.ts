// What the sandbox reads of a Pod. Objects come validated from the object store; every other field is none of its
// business.

export type EnvironmentVariable = {
  readonly name: string
  readonly value?: string | undefined
  readonly valueFrom?: unknown
}

export type ContainerPort = {
  readonly name?: string | undefined
  readonly containerPort: number
  readonly protocol?: string | undefined
}

export type SecurityContext = { readonly runAsUser?: number | undefined; readonly runAsGroup?: number | undefined }

export type ContainerSpec = {
  readonly name: string
  readonly image?: string | undefined
  readonly command?: readonly string[] | undefined
  readonly args?: readonly string[] | undefined
  readonly env?: readonly EnvironmentVariable[] | undefined
  readonly ports?: readonly ContainerPort[] | undefined
  readonly workingDir?: string | undefined
  readonly securityContext?: SecurityContext | undefined
  /** Of init containers only: `Always` keeps it running beside the containers. */
  readonly restartPolicy?: string | undefined
}

export type PodSpec = {
  readonly containers: readonly ContainerSpec[]
  readonly initContainers?: readonly ContainerSpec[] | undefined
  readonly restartPolicy?: string | undefined
  readonly hostname?: string | undefined
  readonly terminationGracePeriodSeconds?: number | undefined
  readonly nodeName?: string | undefined
  readonly serviceAccountName?: string | undefined
  readonly hostNetwork?: boolean | undefined
  readonly securityContext?: SecurityContext | undefined
}

export type PodManifest = {
  readonly namespace: string
  readonly name: string
  readonly uid?: string | undefined
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly spec: PodSpec
  /** Addresses that the manifest's status asks for. */
  readonly requestedAddresses: readonly string[]
}

/** `namespace/name` */
export function podKey(pod: { readonly namespace: string; readonly name: string }): string {
  return `${pod.namespace}/${pod.name}`
}

/** Two manifests with the same text here are the same running pod: labels and annotations change in place. */
export function restartKey(pod: PodManifest): string {
  return JSON.stringify([pod.uid ?? '', pod.spec, pod.requestedAddresses], sortedKeys)
}

const sortedKeys = (_: string, value: unknown): unknown =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value
