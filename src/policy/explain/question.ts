// Reads what somebody asks: two ends and a port, as texts. What cannot be asked is told
// in a sentence, with what is right: names that are near, ports that there are.

import { cidr, cidrContains, firstAddress, type IpAddress, parseIp } from '../../ip/index.ts'
import { namedPortKey, namedPortNumbers, protocolName, protocolNumber } from '../../labels/index.ts'
import { suggestion } from '../../manifests/index.ts'
import type { Cluster, ClusterPod, End } from '../cluster/cluster.ts'
import { podName } from '../cluster/reach.ts'
import { canonicalName, NameSelectors } from '../model/name-selector.ts'
import { askedIcmpType, icmpFamily } from './icmp-types.ts'

/** May `from` open a connection to this port of `to`? For ICMP the port is the type. */
export type Question = {
  readonly from: End
  readonly to: End
  /** IP protocol number. */
  readonly protocol: number
  readonly port: number
  /** The end that stands for every address outside the cluster, if one does. */
  readonly world?: 'from' | 'to' | undefined
}

/** Something that cannot be asked; the message says what is right. */
export class QuestionError extends Error {
  override readonly name = 'QuestionError'
  readonly code = 'BAD_QUESTION'
}

const WORLD = 'world'

/**
 * Reads a question from three texts.
 * @param from `NAMESPACE/POD`, `POD` of namespace default, an IP address, a DNS name that policies select, or `world`
 * @param to the same
 * @param port `8080/TCP`, `http/TCP`, `8/ICMP`, `echo-request/ICMPv6`; TCP where no protocol is given
 * @throws QuestionError
 */
export function readQuestion(cluster: Cluster, from: string, to: string, port: string): Question {
  if (from === WORLD && to === WORLD)
    throw new QuestionError('one of the two must be a pod, or an address of the cluster')
  const { protocol, text } = readProtocol(port)
  const [one, other] = [readEnd(cluster, from), readEnd(cluster, to)]
  const family = commonFamily(one, other, protocol)
  const [fromEnd, toEnd] = [endOf(cluster, one, family), endOf(cluster, other, family)]
  const world = one.kind === 'world' ? 'from' : other.kind === 'world' ? 'to' : undefined
  return { from: fromEnd, to: toEnd, protocol, port: readPort(other, protocol, text), ...(world && { world }) }
}

/** Finds a pod by its name. @throws QuestionError with names that are near */
export function findPod(cluster: Cluster, text: string): ClusterPod {
  const { pods } = cluster.content
  const wanted = text.includes('/') ? text : `default/${text}`
  const exact = pods.find(pod => podName(pod) === wanted)
  if (exact) return exact
  const sameName = text.includes('/') ? [] : pods.filter(({ name }) => name === text)
  if (sameName.length === 1 && sameName[0]) return sameName[0]
  if (sameName.length > 1)
    throw new QuestionError(`there are ${sameName.length} pods ${text}; say which: ${shortList(sameName.map(podName))}`)
  const begin = pods.map(podName).filter(name => name.startsWith(wanted))
  const near = begin.length > 0 ? ` (did you mean ${shortList(begin)}?)` : suggestion(wanted, pods.map(podName))
  throw new QuestionError(`there is no pod ${wanted}${near}`)
}

type Named =
  | { readonly kind: 'pod'; readonly pod: ClusterPod }
  | { readonly kind: 'address'; readonly end: End }
  | { readonly kind: 'world' }
  /** A name of DNS; with its addresses, once there was an answer. */
  | { readonly kind: 'name'; readonly selectors: readonly string[]; readonly ends: readonly End[] }

function readEnd(cluster: Cluster, text: string): Named {
  if (text === WORLD) return { kind: 'world' }
  const address = parseIp(text)
  if (address) return { kind: 'address', end: cluster.endAt(address) }
  if (/^[\d.]+$|:/.test(text)) throw new QuestionError(`"${text}" is no IP address`)
  const named = readName(cluster, text)
  if (named) return named
  const pod = findPod(cluster, text)
  if (pod.addresses.length === 0)
    throw new QuestionError(`pod ${podName(pod)} has no address, so nothing can reach it yet`)
  return { kind: 'pod', pod }
}

/** A name with a dot that is no pod's, if policies select it or it was answered. */
function readName(cluster: Cluster, text: string): Named | undefined {
  const name = canonicalName(text)
  if (!/^[-\w]+(\.[-\w]+)+$/.test(name)) return undefined
  const { pods, learntNames = [] } = cluster.content
  if (pods.some(pod => pod.name === text)) return undefined
  const selectors = new NameSelectors(cluster.repository.references().nameSelectors).selecting(name)
  const ends = learntNames.filter(learnt => learnt.name === name).map(({ address }) => cluster.endAt(address))
  return selectors.length + ends.length > 0 ? { kind: 'name', selectors, ends } : undefined
}

/** The first family of the destination that the source has too. */
function commonFamily(from: Named, to: Named, protocol: number): 4 | 6 {
  const [wanted, sources] = [familiesOf(to), familiesOf(from)]
  const common = wanted.filter(family => sources.includes(family))
  const icmp = icmpFamily(protocol)
  const ofProtocol = icmp ? common.filter(family => `IPv${family}` === icmp) : common
  const [family] = ofProtocol
  if (family !== undefined) return family
  if (common.length > 0)
    throw new QuestionError(`${protocolName(protocol)} is not of IPv${common[0]}, the only family that both have`)
  const families = [sources, wanted].map(list => list.map(each => `IPv${each}`).join(' and '))
  throw new QuestionError(`they have no address family in common: the one has ${families[0]}, the other ${families[1]}`)
}

function familiesOf(named: Named): readonly (4 | 6)[] {
  if (named.kind === 'world') return [4, 6]
  if (named.kind === 'address') return [named.end.address.family]
  if (named.kind === 'name')
    return named.ends.length > 0 ? [...new Set(named.ends.map(({ address }) => address.family))] : [4, 6]
  return [...new Set(named.pod.addresses.map(({ family }) => family))]
}

function endOf(cluster: Cluster, named: Named, family: 4 | 6): End {
  if (named.kind === 'address') return named.end
  if (named.kind === 'name') {
    const known = named.ends.find(({ address }) => address.family === family)
    return known ?? { kind: 'world', address: someAddressOutside(cluster, family), names: named.selectors }
  }
  const end = named.kind === 'pod' ? cluster.endOf(named.pod, family) : undefined
  return end ?? { kind: 'world', address: someAddressOutside(cluster, family) }
}

/** Blocks for documentation and of well-known resolvers; what stands for the world must be in no block that policies name. */
const OUTSIDE = {
  4: ['203.0.113.1/32', '198.51.100.1/32', '192.0.2.1/32', '8.8.8.8/32', '1.1.1.1/32', '9.9.9.9/32'],
  6: ['2001:db8::1/128', '2001:4860:4860::8888/128', '2606:4700:4700::1111/128', '2620:fe::fe/128'],
} as const

function someAddressOutside(cluster: Cluster, family: 4 | 6): IpAddress {
  const { prefixes } = cluster.repository.references()
  const candidates = OUTSIDE[family].map(text => firstAddress(cidr(text)))
  const free = candidates.filter(address => cluster.endAt(address).kind === 'world')
  const blocks = (address: IpAddress): number =>
    prefixes.covering(address).filter(({ prefix }) => prefix.prefixLength > 0 && cidrContains(prefix, address)).length
  const [best] = free.toSorted((a, b) => blocks(a) - blocks(b))
  if (!best)
    throw new QuestionError('every address that could stand for the world is one of the cluster: name an address')
  return best
}

function readProtocol(text: string): { readonly protocol: number; readonly text: string } {
  const [port = '', name = 'TCP', more] = text.split('/')
  const protocol = protocolNumber(name)
  if (port === '' || more !== undefined)
    throw new QuestionError(`"${text}" is not PORT/PROTOCOL, such as 8080/TCP or http/TCP`)
  if (protocol === undefined) throw new QuestionError(`"${name}" in "${text}" is not TCP, UDP, SCTP, ICMP or ICMPv6`)
  return { protocol, text: port }
}

function readPort(to: Named, protocol: number, text: string): number {
  const name = protocolName(protocol)
  const family = icmpFamily(protocol)
  if (family) {
    const type = askedIcmpType(family, text)
    if (type === undefined)
      throw new QuestionError(`"${text}" is no type of ${name}: 0 to 255, or a name such as EchoRequest`)
    return type
  }
  if (/^\d+$/.test(text)) {
    const port = Number(text)
    if (port < 1 || port > 65535) throw new QuestionError(`port ${text} is not 1 to 65535`)
    return port
  }
  const pod = to.kind === 'pod' ? to.pod : to.kind === 'address' && to.end.kind === 'pod' ? to.end.pod : undefined
  if (!pod) throw new QuestionError(`only pods have named ports: give the number instead of "${text}"`)
  const numbers = namedPortNumbers(pod.namedPorts)
  const port = numbers.get(namedPortKey({ name: text, protocol }))
  if (port !== undefined) return port
  const has =
    numbers.size === 0
      ? 'it has no named ports'
      : `it has ${[...numbers]
          .map(([key, number]) => `${key} (${number})`)
          .sort()
          .join(', ')}`
  throw new QuestionError(`pod ${podName(pod)} has no port "${text}" of ${name}; ${has}`)
}

const SHOWN_NAMES = 5

const shortList = (names: readonly string[]): string => {
  const more = names.length - SHOWN_NAMES
  return names.slice(0, SHOWN_NAMES).join(', ') + (more > 0 ? ` or ${more} more` : '')
}
