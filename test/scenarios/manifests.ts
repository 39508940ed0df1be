// Short ways to write the manifests that tests of whole states need.

type Labels = Readonly<Record<string, string>>

export type PodOptions = {
  readonly namespace?: string
  readonly labels?: Labels
  readonly addresses?: readonly string[]
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[]
}

export const pod = (
  name: string,
  { namespace = 'default', labels = {}, addresses = [], ports = [] }: PodOptions = {},
) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, labels },
  spec: { containers: [{ name: 'main', image: 'x', ports }] },
  ...(addresses.length > 0 && { status: { podIPs: addresses.map(ip => ({ ip })) } }),
})

export const namespace = (name: string, labels: Labels = {}) => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels },
})

export const remoteNode = (name: string, ...addresses: readonly string[]) => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name },
  status: { addresses: addresses.map(address => ({ type: 'InternalIP', address })) },
})

/** @param spec as in the API; an empty `podSelector` is everybody */
export const policy = (name: string, spec: object, namespaceName = 'default') => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name, namespace: namespaceName },
  spec: { podSelector: {}, ...spec },
})

export const selected = (labels: Labels) => ({ podSelector: { matchLabels: labels } })

/** JSON is YAML. */
export const fileOf = (...objects: readonly object[]): string =>
  objects.map(object => JSON.stringify(object)).join('\n---\n')
