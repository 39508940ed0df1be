// What policies of every kind mean, read a second time: straight from the objects,
// without labels of identities, map entries or any code of the engine. It knows what
// the random policies write, and one node. Here Cilium's kinds, and how all combine.

import { type KubernetesPolicy, readKubernetes } from './reading-kubernetes.ts'
import {
  type Direction,
  isInside,
  type Labels,
  type Match,
  NO_PRIORITY,
  type Pod,
  type Question,
  rankOf,
  type Said,
  type Selector,
  type Somebody,
  selects,
  TRANSPORTS,
} from './reading-values.ts'

type Block = {
  readonly cidr?: string
  readonly cidrGroupRef?: string
  readonly cidrGroupSelector?: Selector
  readonly except?: readonly string[]
}
type Port = { readonly port: string; readonly endPort?: number; readonly protocol?: string }
type Item = Readonly<Record<string, unknown>>
type Body = { readonly endpointSelector: Selector; readonly enableDefaultDeny?: Readonly<Record<string, boolean>> } & {
  readonly [section: string]: unknown
}
type CiliumPolicy = {
  readonly kind: 'CiliumNetworkPolicy' | 'CiliumClusterwideNetworkPolicy'
  readonly metadata: { readonly namespace?: string; readonly annotations?: Labels }
  readonly spec?: Body
  readonly specs?: readonly Body[]
}
export type Policy = CiliumPolicy | KubernetesPolicy
export type Group = {
  readonly kind: 'CiliumCIDRGroup'
  readonly metadata: { readonly name: string; readonly labels: Labels }
  readonly spec: { readonly externalCIDRs: readonly string[] }
}

export type Service = {
  readonly kind: 'Service'
  readonly metadata: { readonly namespace: string; readonly name: string; readonly labels: Labels }
  readonly spec: { readonly selector?: Labels }
}
export type Slice = {
  readonly kind: 'EndpointSlice'
  readonly metadata: { readonly namespace: string; readonly labels: Labels }
  readonly endpoints: readonly { readonly addresses: readonly string[] }[]
}
type ServiceItem = {
  readonly k8sService?: { readonly serviceName: string; readonly namespace?: string }
  readonly k8sServiceSelector?: { readonly selector: Selector; readonly namespace?: string }
}

export class SecondReading {
  readonly #policies: readonly Policy[]
  readonly #groups: readonly Group[]
  readonly #services: readonly Service[]
  readonly #slices: readonly Slice[]

  /** Policies that are tried out enforce nothing. */
  constructor(objects: readonly (Policy | Group | Service | Slice)[]) {
    const policies = objects.filter(isPolicy)
    this.#policies = policies.filter(({ metadata }) => metadata.annotations?.['policy.axoneme.io/audit'] !== 'true')
    this.#groups = objects.filter(object => object.kind === 'CiliumCIDRGroup')
    this.#services = objects.filter(object => object.kind === 'Service')
    this.#slices = objects.filter(object => object.kind === 'EndpointSlice')
  }

  /** Both ends must let a connection pass; what the node sends always comes in. One proxy judges for both. */
  answer(from: Somebody, to: Somebody, question: Question): Answer {
    const egress = this.#permits('egress', from, to, to, question)
    const ingress = from.isNode ? OPEN : this.#permits('ingress', to, from, to, question)
    if (egress === DENIED || ingress === DENIED) return DENIED
    const parsers = new Set([egress, ingress].filter(side => side !== OPEN).map(parserOf))
    return parsers.size > 1 ? DENIED : `${egress} / ${ingress}`
  }

  #permits(direction: Direction, subject: Somebody, peer: Somebody, to: Somebody, question: Question): Answer {
    const { pod } = subject
    if (!pod) return OPEN
    const said = this.#policies.map(policy =>
      policy.kind === 'NetworkPolicy' || policy.kind === 'ClusterNetworkPolicy'
        ? readKubernetes(policy, { direction, pod, peer, to, question })
        : this.#readCilium(policy, direction, pod, peer, to, question),
    )
    for (const tier of ['admin', 'normal', 'isolation', 'baseline']) {
      if (tier === 'isolation' && said.some(({ isolates }) => isolates)) return DENIED
      const inTier = said.flatMap(({ matches }) => matches).filter(match => match.tier === tier)
      const first = inTier.filter(({ rank }) => inTier.every(other => rank <= other.rank))
      if (first.some(({ action }) => action === 'deny')) return DENIED
      const allows = first.filter(({ action }) => action === 'allow')
      if (allows.length > 0) return united(allows)
    }
    return OPEN
  }

  #readCilium(
    { metadata, spec, specs = [] }: CiliumPolicy,
    direction: Direction,
    pod: Pod,
    peer: Somebody,
    to: Somebody,
    question: Question,
  ): Said {
    const { namespace, annotations = {} } = metadata
    if (namespace !== undefined && namespace !== pod.namespace) return { isolates: false, matches: [] }
    const tier = annotations['policy.axoneme.io/tier'] ?? 'normal'
    const rank = rankOf(Number(annotations['policy.axoneme.io/priority'] ?? NO_PRIORITY))
    const bodies = (spec ? [spec, ...specs] : specs).filter(body => selects(body.endpointSelector, pod.labels))
    const items = (body: Body, section: string) => (body[section] ?? []) as readonly Item[]
    const matching = (body: Body, section: string, action: Match['action']): Match[] =>
      items(body, section)
        .filter(item => this.#isPeer(item, direction, namespace, peer) && isPort(item, to, question))
        .flatMap(item => requestsOf(item, namespace, to, question).map(requests => ({ tier, rank, action, requests })))
    return {
      isolates: bodies.some(body => {
        const count = items(body, direction).length + items(body, `${direction}Deny`).length
        return body.enableDefaultDeny?.[direction] ?? count > 0
      }),
      matches: bodies.flatMap(body => [
        ...matching(body, direction, 'allow'),
        ...matching(body, `${direction}Deny`, 'deny'),
      ]),
    }
  }

  #isPeer(item: Item, direction: Direction, namespace: string | undefined, peer: Somebody): boolean {
    const word = direction === 'ingress' ? 'from' : 'to'
    const list = (field: string) => item[`${word}${field}`] as readonly never[] | undefined
    const fields = ['Endpoints', 'CIDR', 'CIDRSet', 'Entities', 'Services']
    const [endpoints, cidrs, blocks, entities, services] = fields.map(list)
    if (fields.every(field => !list(field))) return item['toPorts'] !== undefined || item['icmps'] !== undefined
    const isWorld = !peer.pod && !peer.isNode
    return (
      (endpoints ?? []).some(selector => isEndpoint(selector, namespace, peer)) ||
      (cidrs ?? []).some(cidr => isWorld && isInside(peer.address, cidr)) ||
      (blocks ?? []).some(block => isWorld && this.#isInBlock(block, peer.address)) ||
      (entities ?? []).some(entity => isEntity(entity, peer)) ||
      (services ?? []).some(item => this.#isBehind(item, peer))
    )
  }

  #isBehind({ k8sService, k8sServiceSelector }: ServiceItem, { pod, isNode, address }: Somebody): boolean {
    const namespace = (k8sService ?? k8sServiceSelector)?.namespace
    return this.#services
      .filter(({ metadata }) => !namespace || metadata.namespace === namespace)
      .filter(({ metadata }) =>
        k8sService
          ? metadata.name === k8sService.serviceName
          : selects(k8sServiceSelector?.selector ?? {}, metadata.labels),
      )
      .some(({ metadata, spec: { selector } }) => {
        if (selector) return pod?.namespace === metadata.namespace && selects({ matchLabels: selector }, pod.labels)
        const slices = this.#slices.filter(slice => {
          const { namespace: of, labels } = slice.metadata
          return of === metadata.namespace && labels['kubernetes.io/service-name'] === metadata.name
        })
        const addresses = slices.flatMap(({ endpoints }) => endpoints.flatMap(one => one.addresses))
        return !pod && !isNode && addresses.includes(address)
      })
  }

  #isInBlock({ cidr, cidrGroupRef, cidrGroupSelector, except = [] }: Block, address: string): boolean {
    const named = this.#groups.filter(({ metadata }) =>
      cidrGroupSelector ? selects(cidrGroupSelector, metadata.labels) : metadata.name === cidrGroupRef,
    )
    const prefixes = cidr === undefined ? named.flatMap(({ spec }) => spec.externalCIDRs) : [cidr]
    return prefixes.some(prefix => isInside(address, prefix)) && !except.some(prefix => isInside(address, prefix))
  }
}

const isPolicy = (object: { readonly kind: string }): object is Policy => object.kind.endsWith('Policy')

const NAMESPACE = 'io.kubernetes.pod.namespace'
const NAMESPACE_LABEL = 'io.cilium.k8s.namespace.labels.'

function isEndpoint(selector: Selector, namespace: string | undefined, { pod, isNode }: Somebody): boolean {
  const keys = [...Object.keys(selector.matchLabels ?? {}), ...(selector.matchExpressions ?? []).map(({ key }) => key)]
  if (keys.some(key => key.startsWith('reserved:')))
    return !pod && selects(selector, isNode ? { 'reserved:host': '' } : { 'reserved:world': '' })
  if (!pod) return false
  const isScoped = keys.some(key => key.endsWith(NAMESPACE) || key.includes(NAMESPACE_LABEL))
  if (!isScoped && namespace !== undefined && pod.namespace !== namespace) return false
  const ofNamespace = Object.entries(pod.namespaceLabels).map(([key, value]) => [`${NAMESPACE_LABEL}${key}`, value])
  return selects(selector, {
    ...pod.labels,
    [NAMESPACE]: pod.namespace,
    ...(Object.fromEntries(ofNamespace) as Labels),
  })
}

function isEntity(entity: string, { pod, isNode, address }: Somebody): boolean {
  if (entity === 'all') return true
  if (entity === 'host') return isNode === true
  if (entity === 'cluster') return pod !== undefined || isNode === true
  if (pod || isNode || !entity.startsWith('world')) return false
  return entity === 'world' || entity === (address.includes(':') ? 'world-ipv6' : 'world-ipv4')
}

const NUMBERS: Readonly<Record<string, readonly number[]>> = { TCP: [6], UDP: [17], SCTP: [132], ANY: [6, 17, 132] }

/** `open`, `denied`, or the requests that are allowed. */
export type Answer = string
const OPEN = 'open'
const DENIED = 'denied'

/** The text of a request begins with its protocol. */
const parserOf = (requests: string): string => requests.slice(0, requests.indexOf(' '))

/** Who allows without naming requests allows all of them; nobody can judge two protocols. */
function united(allows: readonly Match[]): Answer {
  const all = allows.flatMap(({ requests }) => requests ?? [])
  if (allows.some(({ requests }) => requests === undefined)) return OPEN
  return new Set(all.map(parserOf)).size > 1 ? DENIED : [...new Set(all)].sort().join(', ')
}

type Tls = { readonly secret: { readonly namespace?: string; readonly name: string } }
type PortItem = { readonly ports: readonly Port[]; readonly rules?: Readonly<Record<string, readonly object[]>> } & {
  readonly terminatingTLS?: Tls
  readonly originatingTLS?: Tls
}

/** Requests inside of TLS are as another protocol, for each pair of Secrets. */
function tlsWord({ terminatingTLS, originatingTLS }: PortItem, own: string | undefined): string {
  if (!terminatingTLS && !originatingTLS) return ''
  const names = [terminatingTLS, originatingTLS].map(tls => {
    return tls ? `${tls.secret.namespace ?? own ?? 'default'}/${tls.secret.name}` : ''
  })
  return `<${names.join('|')}>`
}

/** What each matching part of an item asks of requests; undefined: nothing. */
function requestsOf(
  item: Item,
  namespace: string | undefined,
  to: Somebody,
  asked: Question,
): (readonly string[] | undefined)[] {
  const toPorts = item['toPorts'] as readonly PortItem[] | undefined
  if (!toPorts) return [undefined]
  return toPorts
    .filter(({ ports }) => isPort({ toPorts: [{ ports }] }, to, asked))
    .flatMap(item => {
      const word = tlsWord(item, namespace)
      const rules = item.rules ?? (word && { http: [{}] })
      if (!rules) return [undefined]
      // Nobody asks for names over SCTP.
      if (rules['dns'] && asked.protocol === 132) return []
      return Object.entries(rules).map(([parser, list]) => list.map(rule => `${parser}${word} ${JSON.stringify(rule)}`))
    })
}

function isPort(item: Item, { pod }: Somebody, asked: Question): boolean {
  const toPorts = item['toPorts'] as readonly PortItem[] | undefined
  const icmps = item['icmps'] as readonly { readonly fields: readonly { type: number | string; family?: string }[] }[]
  if (icmps)
    return icmps.some(({ fields }) =>
      fields.some(({ type, family }) => {
        const number = type === 'EchoRequest' ? (family === 'IPv6' ? 128 : 8) : type
        return asked.protocol === (family === 'IPv6' ? 58 : 1) && asked.port === number
      }),
    )
  if (!toPorts) return true
  return toPorts.some(({ ports }) =>
    ports.some(({ port, endPort, protocol = 'ANY' }) => {
      if (!NUMBERS[protocol]?.includes(asked.protocol)) return false
      if (port === '0') return true
      if (/^\d+$/.test(port)) return Number(port) <= asked.port && asked.port <= (endPort ?? Number(port))
      const own = pod?.ports.find(({ name, protocol }) => name === port && protocol === TRANSPORTS[asked.protocol])
      return own?.containerPort === asked.port
    }),
  )
}
