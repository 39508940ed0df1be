// What a kernel holds under one address and port, and how that differs from what the
// service wants there. Pure: who reads the kernel's maps brings their content.

import {
  type ClientKind,
  notChosenOf,
  type ServiceFrontend,
  type ServicePortEntry,
  type WithoutBackend,
} from './resolved.ts'

/** A frontend as the maps have it, in words. */
export type LiveFrontend = {
  /** Number of the service's port. */
  readonly service: number
  readonly algorithm: 'random' | 'maglev'
  readonly affinitySeconds: number
  readonly isForOutside: boolean
  readonly isForNodeOnly: boolean
  readonly hasSourceRanges: boolean
  /** Backends elsewhere answer clients outside themselves. */
  readonly isDirectReturn: boolean
  readonly without: { readonly cluster: WithoutBackend; readonly outside: WithoutBackend }
  readonly backends: { readonly cluster: readonly LiveBackend[]; readonly outside: readonly LiveBackend[] }
}

/** `address` is `ADDRESS:PORT`; empty where no backend has the id. */
export type LiveBackend = { readonly id: number; readonly address: string; readonly slots: number }

/** One thing that the kernel has otherwise than it is wanted. */
export type FrontendDifference = { readonly what: string; readonly wanted: string; readonly held: string }

/** @param service number that the frontend's port is to have; undefined: it does not matter */
export function frontendDifferences(
  port: ServicePortEntry,
  frontend: ServiceFrontend,
  held: LiveFrontend,
  service?: number,
): FrontendDifference[] {
  const differences: FrontendDifference[] = []
  const compare = (what: string, wanted: string | number | boolean, has: typeof wanted): void => {
    if (wanted !== has) differences.push({ what, wanted: textOf(wanted), held: textOf(has) })
  }
  const isForOutside = frontend.reach === 'everybody'
  if (service !== undefined) compare('number', service, held.service)
  compare('algorithm', port.algorithm, held.algorithm)
  compare('affinity seconds', port.affinitySeconds, held.affinitySeconds)
  compare('for clients outside', isForOutside, held.isForOutside)
  compare('for the node alone', frontend.reach === 'node', held.isForNodeOnly)
  compare('source ranges', takesSourceRanges(frontend) && port.sourceRanges.length > 0, held.hasSourceRanges)
  compare('direct return', isForOutside && port.forwarding === 'dsr', held.isDirectReturn)
  compareBackends(differences, port, 'cluster', held)
  if (isForOutside) compareBackends(differences, port, 'outside', held)
  return differences
}

/** As in Kubernetes: loadBalancerSourceRanges say nothing of node ports and external addresses. */
export const takesSourceRanges = ({ kind }: ServiceFrontend): boolean => kind === 'LoadBalancer'

function compareBackends(
  differences: FrontendDifference[],
  port: ServicePortEntry,
  kind: ClientKind,
  held: LiveFrontend,
): void {
  const chosen = port.backends.filter(backend => notChosenOf(backend, kind) === undefined)
  const wanted = new Set(chosen.map(({ address, port: number }) => endpointText(address, number)))
  const has = new Set(held.backends[kind].map(({ id, address }) => address || `id ${id}, of no backend`))
  const clients = kind === 'cluster' ? 'of the cluster' : 'outside'
  for (const address of wanted)
    if (!has.has(address))
      differences.push({ what: `backends for clients ${clients}`, wanted: address, held: 'not there' })
  for (const address of has)
    if (!wanted.has(address))
      differences.push({ what: `backends for clients ${clients}`, wanted: 'not there', held: address })
  if (wanted.size === 0 && held.without[kind] !== port.without[kind])
    differences.push({
      what: `without a backend, clients ${clients}`,
      wanted: port.without[kind],
      held: held.without[kind],
    })
}

const textOf = (value: string | number | boolean): string => {
  if (typeof value !== 'boolean') return String(value)
  return value ? 'yes' : 'no'
}

/** `10.0.0.1:80`, `[fd00::1]:80`. */
export const endpointText = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
