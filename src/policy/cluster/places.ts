// Everybody whom the policies of some clusters can tell apart: the pods, the nodes, and
// of the world one address for each set of prefixes that cover it, and one for each
// selector of DNS names. Whoever asks all of them misses nothing.

import {
  ADDRESS_BITS,
  addressAt,
  type Cidr,
  cidr,
  cidrContains,
  firstAddress,
  type IpAddress,
  ip,
  lastAddress,
  PrefixTrie,
} from '../../ip/index.ts'
import { canonicalName, NameSelectors, nameWords } from '../model/name-selector.ts'
import type { Cluster, ClusterPod, End } from './cluster.ts'
import { podName } from './reach.ts'

/** Somebody who may open or take connections, at one address or one of each family. */
export type Place = {
  readonly kind: 'pod' | 'node' | 'world'
  /** `shop/web`, `node node1`, `world`, `10.0.0.0/8`, `api.example.com`, `names matching *.example.com`. */
  readonly name: string
  readonly ends: readonly End[]
  readonly pod?: ClusterPod
}

/** All pods, by name. */
export function podPlaces(cluster: Cluster): Place[] {
  return cluster.content.pods
    .map(pod => {
      const ends = ([4, 6] as const).flatMap(family => cluster.endOf(pod, family) ?? [])
      return { kind: 'pod' as const, name: podName(pod), ends, pod }
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Where nodes without an address are assumed to be. */
const NODE_POOLS: readonly Cidr[] = [cidr('172.30.0.0/16'), cidr('fd00:172:30::/64')]

/** The nodes that are declared or that pods name; and one more when there is one only, since another node is no own node. */
export function nodePlaces(cluster: Cluster): Place[] {
  const { nodes, pods } = cluster.content
  const names = new Set([...nodes.map(({ name }) => name), ...pods.map(({ node }) => node)])
  if (names.size === 0) names.add('')
  if (names.size === 1) names.add(ANOTHER_NODE)
  const free = NODE_POOLS.map(pool => ({ pool, offset: 2 }))
  return [...names].sort().map(node => {
    const known = nodes.find(({ name }) => name === node)?.addresses ?? []
    const addresses = known.length > 0 ? known : free.flatMap(each => nextFree(cluster, each) ?? [])
    const name = node === '' ? 'the node' : node === ANOTHER_NODE ? 'another node' : `node ${node}`
    return { kind: 'node', name, ends: addresses.map((address): End => ({ kind: 'node', node, address })) }
  })
}

/** No name of a node. */
const ANOTHER_NODE = '(another)'

function nextFree(cluster: Cluster, place: { readonly pool: Cidr; offset: number }): IpAddress | undefined {
  for (;;) {
    const address = addressAt(place.pool, place.offset++)
    if (!address || cluster.endAt(address).kind === 'world') return address
  }
}

/** Name of what no prefix of a policy covers. */
export const WORLD = 'world'
const WHOLE_WORLD: readonly { readonly prefix: Cidr; readonly preferred: IpAddress }[] = [
  { prefix: cidr('0.0.0.0/0'), preferred: ip('198.51.100.1') },
  { prefix: cidr('::/0'), preferred: ip('2001:db8::1') },
]

/**
 * The classes of addresses outside every cluster, with one address each: what lies in the same prefixes of policies, and
 * of `more`, is one class. What no prefix covers is `world`, at an address of each family.
 */
export function worldPlaces(clusters: readonly Cluster[], more: readonly Cidr[] = []): Place[] {
  const prefixes = new PrefixTrie<true>()
  for (const { prefix } of WHOLE_WORLD) prefixes.set(prefix, true)
  for (const { repository } of clusters)
    for (const { prefix } of repository.references().prefixes) prefixes.set(prefix, true)
  for (const prefix of more) prefixes.set(prefix, true)
  const isOutside = (address: IpAddress) => clusters.every(cluster => cluster.endAt(address).kind === 'world')
  const worldEnds: End[] = []
  const places: Place[] = []
  for (const { prefix } of prefixes) {
    const whole = WHOLE_WORLD.find(each => each.prefix.text === prefix.text)
    const address = addressOnlyIn(prefix, prefixes, isOutside, whole?.preferred)
    if (!address) continue
    const end: End = { kind: 'world', address }
    if (whole) worldEnds.push(end)
    else places.push({ kind: 'world', name: prefix.text, ends: [end] })
  }
  const names = namePlaces(clusters, worldEnds.length > 0 ? worldEnds : places.flatMap(({ ends }) => ends))
  const world: Place[] = worldEnds.length > 0 ? [{ kind: 'world', name: WORLD, ends: worldEnds }] : []
  return [...world, ...places, ...names]
}

/** One for each selector of names, at the first address of each family. */
function namePlaces(clusters: readonly Cluster[], outside: readonly End[]): Place[] {
  const all = new Set(clusters.flatMap(({ repository }) => [...repository.references().nameSelectors]))
  const selectors = new NameSelectors(all)
  return [...all].sort().map((text): Place => {
    // What stands for a pattern is a name that no other selector selects.
    const names = text.includes('*') ? [text] : selectors.selecting(text)
    return { kind: 'world', name: nameWords(text), ends: endsOfNames(outside, names) }
  })
}

function endsOfNames(outside: readonly End[], names: readonly string[]): End[] {
  return ([4, 6] as const).flatMap(family => {
    const base = outside.find(({ address }) => address.family === family)
    return base ? [{ kind: 'world', address: base.address, names }] : []
  })
}

/** The addresses that a DNS name may be answered with: outside the cluster, as if no narrower prefix covered them. */
export function placeOfName(cluster: Cluster, name: string): Place {
  const names = new NameSelectors(cluster.repository.references().nameSelectors).selecting(canonicalName(name))
  const outside = worldPlaces([cluster]).flatMap(({ ends }) => ends)
  return { kind: 'world', name, ends: endsOfNames(outside, names) }
}

/** An address whose longest prefix is this one; undefined when narrower ones or the cluster leave none. */
function addressOnlyIn(
  prefix: Cidr,
  prefixes: PrefixTrie<true>,
  isOutside: (address: IpAddress) => boolean,
  preferred: IpAddress | undefined,
): IpAddress | undefined {
  const isIn = (address: IpAddress) => prefixes.longestMatch(address)?.prefix.text === prefix.text
  if (preferred && isIn(preferred) && isOutside(preferred)) return preferred
  // The first address of a network is rarely a host's: it is taken when there is no other.
  for (const start of ADDRESS_BITS[prefix.family] - prefix.prefixLength > 1 ? [1n, 0n] : [0n])
    for (let offset = start; ; ) {
      const address = addressAt(prefix, offset)
      if (!address) break
      if (isIn(address)) {
        if (isOutside(address)) return address
        offset++
      } else {
        const inner = prefixes.longestMatch(address)?.prefix as Cidr
        offset = numberOf(lastAddress(inner)) - numberOf(firstAddress(prefix)) + 1n
      }
    }
  return undefined
}

const numberOf = ({ bytes }: IpAddress): bigint => bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n)

/** Whether a class of the world lies inside a prefix. The addresses of names may be anywhere. */
export function isInside({ kind, ends }: Place, prefix: Cidr): boolean {
  if (kind !== 'world') return false
  return ends.some(end => cidrContains(prefix, end.address) && (!('names' in end) || prefix.prefixLength === 0))
}

/** Pairs of ends of a common address family. */
export function endsBetween(from: Place, to: Place): (readonly [End, End])[] {
  return to.ends.flatMap(end => {
    const other = from.ends.find(({ address }) => address.family === end.address.family)
    return other ? [[other, end] as const] : []
  })
}
