// Services, and policies with their services as those who answer for them: the pods that
// a service selects, or the addresses that stand behind one without a selector.

import { inNamespace, type LabelSet, labelSet, matches, podRequirements, selector } from '../../labels/index.ts'
import type { Peer, Policy, ResolvedPeer } from '../model/rule.ts'
import type { PolicyService } from '../model/service.ts'
import { Expansions, type UnknownReference } from './expansion.ts'

type ServicePeer = Extract<Peer, { readonly kind: 'service' }>

type Held = { readonly service: PolicyService; readonly labels: LabelSet; readonly content: string }

/** The services of a cluster, and the peers with the backends of those that rules refer to. */
export class PolicyServices {
  readonly #held = new Map<string, Held>()
  readonly #byName = new Map<string, Map<string, Held>>()
  readonly #expansions = new Expansions((peer: Peer): peer is ServicePeer => peer.kind === 'service')

  /** Adds a service, or replaces the one of the same namespace and name. @returns whether it is another than before */
  set(service: PolicyService): boolean {
    const key = serviceKey(service)
    const content = JSON.stringify([service.labels, service.selector, service.addresses])
    if (this.#held.get(key)?.content === content) return false
    const held = { service, labels: labelsOf(service), content }
    this.#held.set(key, held)
    const named = this.#byName.get(service.name) ?? new Map<string, Held>()
    this.#byName.set(service.name, named.set(service.namespace, held))
    return true
  }

  get(service: Pick<PolicyService, 'namespace' | 'name'>): PolicyService | undefined {
    return this.#held.get(serviceKey(service))?.service
  }

  delete({ namespace, name }: Pick<PolicyService, 'namespace' | 'name'>): void {
    this.#held.delete(serviceKey({ namespace, name }))
    const named = this.#byName.get(name)
    named?.delete(namespace)
    if (named?.size === 0) this.#byName.delete(name)
  }

  clear(): void {
    this.#held.clear()
    this.#byName.clear()
  }

  /** The policy with those behind its services in their place. */
  expand(policy: Policy): Policy {
    return this.#expansions.expand(policy, peer => {
      const peers = this.#servicesOf(peer).flatMap(({ service }) => backendsOf(service))
      return [...new Map(peers.map(one => [JSON.stringify(one), one])).values()]
    })
  }

  /** Where a policy refers to services that are not there. */
  unknownIn(policy: Policy): UnknownReference[] {
    return this.#expansions.unknownIn(policy, 'service', peer => {
      return this.#servicesOf(peer).length > 0 ? undefined : referenceText(peer)
    })
  }

  /** Whether the meaning of a policy depends on services. */
  isReferring(policy: Policy): boolean {
    return this.#expansions.peersOf(policy).length > 0
  }

  /** Whether a peer of the policy names the service or selects it. */
  refersTo(policy: Policy, service: PolicyService): boolean {
    const labels = labelsOf(service)
    return this.#expansions.peersOf(policy).some(peer => means(peer, service, labels))
  }

  /** In the order of their namespaces and names, whatever the order in which they came. */
  #servicesOf(peer: ServicePeer): Held[] {
    const { service: wanted } = peer
    const candidates = 'name' in wanted ? this.#byName.get(wanted.name)?.values() : this.#held.values()
    return [...(candidates ?? [])]
      .filter(({ service, labels }) => means(peer, service, labels))
      .sort((a, b) => (serviceKey(a.service) < serviceKey(b.service) ? -1 : 1))
  }
}

const serviceKey = ({ namespace, name }: Pick<PolicyService, 'namespace' | 'name'>): string => `${namespace}/${name}`

const labelsOf = ({ labels }: PolicyService): LabelSet =>
  labelSet(Object.entries(labels).map(([key, value]) => ({ source: 'k8s', key, value })))

function means({ service: wanted }: ServicePeer, service: PolicyService, labels: LabelSet): boolean {
  if (wanted.namespace !== undefined && wanted.namespace !== service.namespace) return false
  return 'name' in wanted ? wanted.name === service.name : matches(wanted.selector, labels)
}

function referenceText({ service: wanted }: ServicePeer): string {
  if ('name' in wanted)
    return wanted.namespace === undefined ? wanted.name : serviceKey({ ...wanted, namespace: wanted.namespace })
  const labels = wanted.selector.key === '' ? 'of any labels' : `with ${wanted.selector.key}`
  return wanted.namespace === undefined ? labels : `${labels} in ${wanted.namespace}`
}

/** Addresses are outside the cluster, as those of CIDR groups: pods are meant by a selector. */
function backendsOf({ namespace, selector: labels, addresses }: PolicyService): ResolvedPeer[] {
  if (labels) {
    const wanted = selector([inNamespace(namespace), ...podRequirements({ matchLabels: labels })])
    return [{ kind: 'selector', selector: wanted }]
  }
  return addresses.map(address => {
    return { kind: 'cidr', cidr: `${address}/${address.includes(':') ? 128 : 32}`, except: [], covers: 'world' }
  })
}
