// The ranges that Services of a sandbox are given addresses and ports from. Pure.

export type Ranges = {
  /** One prefix for each family of the cluster; the first is of the family that a service gets unless it says. */
  readonly clusterIps: readonly string[]
  readonly loadBalancers: readonly string[]
  readonly nodePorts: readonly [first: number, last: number]
}

export const SERVICE_RANGES: Ranges = {
  clusterIps: ['10.96.0.0/16', 'fd00:10:96::/112'],
  loadBalancers: ['172.30.100.0/24', 'fd00:172:30:100::/64'],
  nodePorts: [30_000, 32_767],
}

/** Those of the families that pods have, in the order in which their prefixes stand. */
export function rangesOf(podCidrs: readonly string[]): Ranges {
  const families = [...new Set(podCidrs.map(text => text.includes(':')))]
  const ofPods = (texts: readonly string[]): string[] =>
    families.flatMap(isIpv6 => texts.filter(text => text.includes(':') === isIpv6))
  const { clusterIps, loadBalancers } = SERVICE_RANGES
  return { ...SERVICE_RANGES, clusterIps: ofPods(clusterIps), loadBalancers: ofPods(loadBalancers) }
}
