// What stands in a synthetic cluster, as far as its policies speak of it.

export type Landscape = {
  readonly teams: readonly string[]
  readonly namespaces: readonly string[]
  readonly applications: readonly Application[]
}

/** What a team runs: pods with the same labels and ports. */
export type Application = {
  readonly namespace: string
  readonly name: string
  readonly layer: string
  readonly labels: Readonly<Record<string, string>>
  readonly ports: readonly { readonly name: string; readonly protocol: 'TCP' | 'UDP'; readonly containerPort: number }[]
}
