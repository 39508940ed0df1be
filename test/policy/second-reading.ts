// What policies of the Cilium kinds mean, read a second time: straight from the objects,
// without labels of identities, map entries or any code of the engine. It knows what
// random-cilium-policies.ts writes, and one node.

type Labels = Readonly<Record<string, string>>
type Selector = {
  readonly matchLabels?: Labels
  readonly matchExpressions?: readonly { readonly key: string; readonly operator: string; readonly values?: string[] }[]
}
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
export type Policy = {
  readonly metadata: { readonly namespace?: string; readonly annotations?: Labels }
  readonly spec?: Body
  readonly specs?: readonly Body[]
}
export type Group = {
  readonly metadata: { readonly name: string; readonly labels: Labels }
  readonly spec: { readonly externalCIDRs: readonly string[] }
}

export type Pod = {
  readonly namespace: string
  readonly labels: Labels
  readonly namespaceLabels: Labels
  readonly ports: readonly { readonly name: string; readonly protocol: string; readonly containerPort: number }[]
}
/** Somebody at an address; without a pod and not the node it is the world. */
export type Somebody = { readonly address: string; readonly pod?: Pod; readonly isNode?: boolean }
export type Question = { readonly protocol: number; readonly port: number }
type Direction = 'ingress' | 'egress'

export class SecondReading {
  readonly #policies: readonly Policy[]
  readonly #groups: readonly Group[]

  /** Policies that are tried out enforce nothing. */
  constructor(policies: readonly Policy[], groups: readonly Group[]) {
    this.#policies = policies.filter(({ metadata }) => metadata.annotations?.['policy.axoneme.io/audit'] !== 'true')
    this.#groups = groups
  }

  /** Both ends must let a connection pass; what the node sends always comes in. */
  passes(from: Somebody, to: Somebody, question: Question): boolean {
    return (
      this.#permits('egress', from, to, to, question) &&
      (from.isNode || this.#permits('ingress', to, from, to, question))
    )
  }

  #permits(direction: Direction, { pod }: Somebody, peer: Somebody, to: Somebody, question: Question): boolean {
    if (!pod) return true
    const rules: { rank: number; allows: boolean; tier: string }[] = []
    let isIsolated = false
    for (const { metadata, spec, specs = [] } of this.#policies) {
      const { namespace, annotations = {} } = metadata
      if (namespace !== undefined && namespace !== pod.namespace) continue
      const tier = annotations['policy.axoneme.io/tier'] ?? 'normal'
      const rank = Number(annotations['policy.axoneme.io/priority'] ?? 5000)
      for (const body of spec ? [spec, ...specs] : specs) {
        if (!selects(body.endpointSelector, pod.labels)) continue
        const allows = (body[direction] ?? []) as readonly Item[]
        const denies = (body[`${direction}Deny`] ?? []) as readonly Item[]
        isIsolated ||= body.enableDefaultDeny?.[direction] ?? allows.length + denies.length > 0
        for (const item of [...allows, ...denies])
          if (this.#isPeer(item, direction, namespace, peer) && isPort(item, to, question))
            rules.push({ rank, allows: allows.includes(item), tier })
      }
    }
    for (const tier of ['admin', 'normal', 'isolation', 'baseline']) {
      if (tier === 'isolation' && isIsolated) return false
      const inTier = rules.filter(rule => rule.tier === tier)
      const first = inTier.filter(({ rank }) => inTier.every(other => rank <= other.rank))
      if (first.length > 0) return first.every(({ allows }) => allows)
    }
    return true
  }

  #isPeer(item: Item, direction: Direction, namespace: string | undefined, peer: Somebody): boolean {
    const word = direction === 'ingress' ? 'from' : 'to'
    const list = (field: string) => item[`${word}${field}`] as readonly never[] | undefined
    const [endpoints, cidrs, blocks, entities] = ['Endpoints', 'CIDR', 'CIDRSet', 'Entities'].map(list)
    if (!endpoints && !cidrs && !blocks && !entities)
      return item['toPorts'] !== undefined || item['icmps'] !== undefined
    const isWorld = !peer.pod && !peer.isNode
    return (
      (endpoints ?? []).some(selector => isEndpoint(selector, namespace, peer)) ||
      (cidrs ?? []).some(cidr => isWorld && isInside(peer.address, cidr)) ||
      (blocks ?? []).some(block => isWorld && this.#isInBlock(block, peer.address)) ||
      (entities ?? []).some(entity => isEntity(entity, peer))
    )
  }

  #isInBlock({ cidr, cidrGroupRef, cidrGroupSelector, except = [] }: Block, address: string): boolean {
    const named = this.#groups.filter(({ metadata }) =>
      cidrGroupSelector ? selects(cidrGroupSelector, metadata.labels) : metadata.name === cidrGroupRef,
    )
    const prefixes = cidr === undefined ? named.flatMap(({ spec }) => spec.externalCIDRs) : [cidr]
    return prefixes.some(prefix => isInside(address, prefix)) && !except.some(prefix => isInside(address, prefix))
  }
}

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

/** Where a label comes from makes no difference: all that the random policies ask for come from Kubernetes. */
function selects({ matchLabels = {}, matchExpressions = [] }: Selector, labels: Labels): boolean {
  const valueOf = (key: string): string | undefined => labels[key.replace(/^(k8s|any):/, '')]
  return (
    Object.entries(matchLabels).every(([key, value]) => valueOf(key) === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = valueOf(key)
      const isListed = value !== undefined && values.includes(value)
      if (operator === 'In' || operator === 'NotIn') return isListed === (operator === 'In')
      return (value !== undefined) === (operator === 'Exists')
    })
  )
}

function isEntity(entity: string, { pod, isNode, address }: Somebody): boolean {
  if (entity === 'all') return true
  if (entity === 'host') return isNode === true
  if (entity === 'cluster') return pod !== undefined || isNode === true
  if (pod || isNode || !entity.startsWith('world')) return false
  return entity === 'world' || entity === (address.includes(':') ? 'world-ipv6' : 'world-ipv4')
}

const NUMBERS: Readonly<Record<string, readonly number[]>> = { TCP: [6], UDP: [17], SCTP: [132], ANY: [6, 17, 132] }
const NAMES: Readonly<Record<number, string>> = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' }

function isPort(item: Item, { pod }: Somebody, asked: Question): boolean {
  const toPorts = item['toPorts'] as readonly { readonly ports: readonly Port[] }[] | undefined
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
      const own = pod?.ports.find(({ name, protocol }) => name === port && protocol === NAMES[asked.protocol])
      return own?.containerPort === asked.port
    }),
  )
}

function isInside(address: string, cidr: string): boolean {
  const [base = '', length = ''] = cidr.split('/')
  if (address.includes(':') !== base.includes(':')) return false
  const width = address.includes(':') ? 128 : 32
  const shift = BigInt(width - Number(length))
  return numberOf(address) >> shift === numberOf(base) >> shift
}

/** Of what the random policies write: at most one `::`, no embedded IPv4. */
function numberOf(address: string): bigint {
  if (!address.includes(':')) return address.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n)
  const [head = '', tail = ''] = address.split('::')
  const groups = (text: string) => text.split(':').filter(part => part !== '')
  const zeros = Array<string>(8 - groups(head).length - groups(tail).length).fill('0')
  return [...groups(head), ...zeros, ...groups(tail)].reduce((sum, part) => sum * 65536n + BigInt(`0x${part}`), 0n)
}
