// What both halves of the second reading share: who is at an address, labels and
// prefixes, as far as the random policies write them.

export type Labels = Readonly<Record<string, string>>
export type Selector = {
  readonly matchLabels?: Labels
  readonly matchExpressions?: readonly { readonly key: string; readonly operator: string; readonly values?: string[] }[]
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
export type Direction = 'ingress' | 'egress'

/** A rule that matches: its tier, its place among those of the tier (lower first), and what it does. */
export type Match = {
  readonly tier: string
  readonly rank: number
  readonly action: 'allow' | 'deny' | 'pass'
  /** Those that it allows, of one that speaks of requests. */
  readonly requests?: readonly string[] | undefined
}
/** What one policy says of a connection at one end. */
export type Said = { readonly isolates: boolean; readonly matches: readonly Match[] }

/** Of kinds that have no priority, and of policies that name none. */
export const NO_PRIORITY = 5000

/** Rules of a policy whose order counts come one after the other; elsewhere all are first. */
export const rankOf = (priority: number, place = 0): number => priority * 256 + place

export const TRANSPORTS: Readonly<Record<number, string>> = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' }

/** Where a label comes from makes no difference: all that the random policies ask for come from Kubernetes. */
export function selects({ matchLabels = {}, matchExpressions = [] }: Selector, labels: Labels): boolean {
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

export function isInside(address: string, cidr: string): boolean {
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
