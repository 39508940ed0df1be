// Random policies and packets for the differential test, from one seed. Few
// addresses, ports and identities, so that packets meet rules and each other; broken
// fields seldom, so that most packets get far.

import { ip } from '../../src/ip/index.ts'
import type { PolicyTerm } from '../../src/maps/index.ts'
import {
  back,
  between,
  echo,
  type Family,
  icmp,
  icmpError,
  isPod,
  type Packet,
  sctp,
  sentOf,
  tcp,
  udp,
} from './cases.ts'
import {
  arp,
  ip as buildIp,
  bytes,
  ETHERTYPE,
  type Extension,
  ethernet,
  type IpFields,
  icmp as icmpMessage,
  PROTOCOL,
  padding,
} from './frames.ts'
import { A, B, C, HOST, HOST_MAC, OUTSIDE, type Party, PODS, ROUTER, type Rule, type Sent, UPLINK } from './node.ts'
import { SERVICES } from './services.ts'

/** A small generator of good quality: sfc32. The same seed gives the same numbers on every machine. */
export class Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number) {
    this.#a = seed >>> 0
    this.#b = (seed / 2 ** 32) >>> 0
    this.#c = 0x9e3779b9
    for (let round = 0; round < 12; round++) this.#next()
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) >>> 0
    this.#counter = (this.#counter + 1) >>> 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) >>> 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) >>> 0
    return sum
  }

  /** 0 to limit - 1. */
  below(limit: number): number {
    return Math.floor((this.#next() / 2 ** 32) * limit)
  }

  /** True once in `count` times. */
  oneIn(count: number): boolean {
    return this.below(count) === 0
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)] as Item
  }
}

export const SERVICE_PORTS = [53, 80]
export const PORTS = [53, 80, 81, 443, 8080, 40000, 40001, 0, 65535]
const IDENTITIES = [0, 0, 1, 9, 10, A.identity, B.identity, C.identity, 2000, 2001, 2002, 2003]
const ICMP_TYPES = [0, 3, 8, 13, 128, 129, 1, 133, 136]
const PROTOCOLS = [
  PROTOCOL.tcp,
  PROTOCOL.tcp,
  PROTOCOL.udp,
  PROTOCOL.udp,
  PROTOCOL.sctp,
  PROTOCOL.icmp,
  PROTOCOL.icmpv6,
  253,
]
const PRECEDENCES = [0, 1, 1, 2, 0x7fff_ffff, 0xffff_ffff]

/** A list of entries as the policy engine makes them, denies and precedences included. */
export function randomPolicy(random: Random): Rule[] {
  const rules = new Map<string, Rule>()
  const add = (rule: Rule): void =>
    void rules.set([rule.direction, rule.identity, rule.protocol, rule.port, rule.portPrefixLength].join(), rule)
  for (const direction of ['ingress', 'egress'] as const) if (random.oneIn(4)) add(auditedDefault(direction))
  for (let count = random.below(12); count > 0; count--) add(randomRule(random))
  return [...rules.values()]
}

/** Allows everything, and lets proxies judge some of it. */
export function proxyPolicy(random: Random): Rule[] {
  const rule = (direction: Rule['direction'], protocol: number): Rule => ({
    direction,
    protocol,
    precedence: 1,
    rule: 2 + random.below(5),
    ...(random.oneIn(2) && { l7: { proxy: random.pick(['HTTP', 'DNS', 'HTTPS']), rules: 1 + random.below(5) } }),
  })
  return (['ingress', 'egress'] as const).flatMap(direction => [
    { direction, rule: 1 },
    rule(direction, PROTOCOL.tcp),
    rule(direction, PROTOCOL.udp),
  ])
}

/** Of a pod that only audited policies isolate. */
const auditedDefault = (direction: Rule['direction']): Rule => ({
  direction,
  identity: 0,
  protocol: 0,
  port: 0,
  portPrefixLength: 0,
  precedence: 1,
  verdict: 'deny',
  audit: true,
  byDefault: true,
  rule: 2,
})

function randomRule(random: Random): Rule {
  const protocol = random.oneIn(3) ? 0 : random.pick(PROTOCOLS)
  const isIcmp = protocol === PROTOCOL.icmp || protocol === PROTOCOL.icmpv6
  const portPrefixLength = protocol === 0 ? 0 : random.pick([0, 16, 16, 16, 12, 4, random.below(17)])
  const port = random.pick(isIcmp ? ICMP_TYPES : PORTS)
  const term: PolicyTerm = {
    direction: random.pick(['ingress', 'egress']),
    identity: random.pick(IDENTITIES),
    protocol,
    port: port & (0xffff << (16 - portPrefixLength)) & 0xffff,
    portPrefixLength,
    precedence: random.pick(PRECEDENCES),
    ...(random.oneIn(3)
      ? { verdict: 'deny', audit: random.oneIn(2), byDefault: random.oneIn(3) }
      : // That of a denial means nothing here.
        { verdict: 'allow', audit: random.oneIn(4), byDefault: random.oneIn(20) }),
    ...(random.oneIn(3) && { l7: { proxy: random.pick(['HTTP', 'DNS', 'HTTPS']), rules: 1 + random.below(5) } }),
  }
  return { ...term, rule: 1 + random.below(1000) }
}

const NEIGHBOUR: Party = { ...OUTSIDE, name: 'neighbour', 4: ip('198.51.100.8').bytes, 6: ip('2001:db8::8').bytes }
/** Addresses that mean something to neighbour discovery, or are wrong on the wire. */
const ODD_ADDRESSES: readonly Party[] = [
  { ...A, 4: ip('224.0.0.1').bytes, 6: ip('ff02::1').bytes },
  { ...A, 4: ip('255.255.255.255').bytes, 6: ip('ff05::2').bytes },
  { ...A, 4: ip('0.0.0.0').bytes, 6: ip('::').bytes },
  { ...A, 4: ip('169.254.0.1').bytes, 6: ip('fe80::1').bytes },
  { ...A, 4: ip('127.0.0.1').bytes, 6: ip('10.244.0.11').bytes },
]
const PARTIES: readonly Party[] = [A, B, C, A, B, C, HOST, OUTSIDE, NEIGHBOUR, ROUTER]

/** Two parties and what they say to each other: each call makes a packet anew, with other flags. */
export type Exchange = {
  readonly family: Family
  readonly there: () => Packet
  readonly back: () => Packet
  /** What it gets back is not what was sent back: what an error of its own is about. */
  readonly received?: () => Packet
}

export function randomExchange(random: Random): Exchange {
  const family = random.pick([4, 6] as const)
  const from = random.pick(PARTIES)
  const to = random.pick(isPod(from) ? (random.oneIn(2) ? SERVICES : PARTIES) : PODS)
  const ports = between(from, to, random.pick(PORTS), random.pick(SERVICES.includes(to) ? SERVICE_PORTS : PORTS))
  return { family, ...randomTalk(random, from, to, ports) }
}

/** Every third packet or so begins something new; the others go on with what there was, or are errors about it. */
export function nextPacket(
  random: Random,
  recent: Exchange[],
): { readonly packet: Packet; readonly family: Family; readonly exchange: Exchange } {
  if (recent.length === 0 || random.oneIn(3)) {
    recent.push(randomExchange(random))
    if (recent.length > 20) recent.shift()
  }
  const exchange = random.pick(recent)
  const { family } = exchange
  if (exchange.received && random.oneIn(12)) {
    const received = exchange.received()
    return { exchange, family, packet: icmpError(received.to, received.from, received) }
  }
  const packet = random.oneIn(2) ? exchange.there() : exchange.back()
  if (!random.oneIn(12)) return { exchange, family, packet }
  const receiver = random.oneIn(6) ? random.pick(PARTIES) : packet.from
  const reporter = random.oneIn(3) ? packet.to : random.pick(PARTIES)
  return { exchange, family, packet: icmpError(reporter, receiver, packet) }
}

export const FLAGS = [0x02, 0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x00, 0x01, 0x03, 0x06, 0xc2, 0x3f]
const ECHO_IDS = [0, 1, 8, 128, 40000]

function randomTalk(
  random: Random,
  from: Party,
  to: Party,
  ports: ReturnType<typeof between>,
): Omit<Exchange, 'family'> {
  const protocol = random.pick(PROTOCOLS)
  if (protocol === PROTOCOL.tcp) {
    const flags = (): number => (random.oneIn(8) ? random.below(256) : random.pick(FLAGS))
    return { there: () => tcp(ports, flags()), back: () => tcp(back(ports), flags()) }
  }
  if (protocol === PROTOCOL.udp) return { there: () => udp(ports), back: () => udp(back(ports)) }
  if (protocol === PROTOCOL.sctp) return { there: () => sctp(ports), back: () => sctp(back(ports)) }
  if (protocol === PROTOCOL.icmp) {
    const id = random.pick(ECHO_IDS)
    const kinds = random.oneIn(6) ? (['reply', 'request'] as const) : (['request', 'reply'] as const)
    return { there: () => echo(from, to, kinds[0], id), back: () => echo(to, from, kinds[1], id) }
  }
  if (protocol === PROTOCOL.icmpv6) {
    const type = (): { 4: number; 6: number } => ({
      4: random.below(20),
      6: random.oneIn(2) ? random.below(8) : 126 + random.below(20),
    })
    return { there: () => icmp(from, to, type()), back: () => icmp(to, from, type()) }
  }
  const number = random.below(256)
  return { there: () => ({ ...udp(ports), protocol: number }), back: () => ({ ...udp(back(ports)), protocol: number }) }
}

/** Fields that are wrong, or merely unusual. */
function withOddities(random: Random, packet: Packet): Packet {
  const fields: Partial<IpFields> = {
    ...packet.ip,
    ...(random.oneIn(6) && { timeToLive: random.pick([0, 1, 2, 64, 255]) }),
    ...(random.oneIn(8) && { fragment: randomFragment(random) }),
    ...(random.oneIn(12) && { extensions: randomExtensions(random) }),
    ...(random.oneIn(20) && { inner: randomExtensions(random) }),
    ...(random.oneIn(12) && { options: randomOptions(random) }),
    ...(random.oneIn(60) && { length: random.below(70) }),
    ...(random.oneIn(100) && { headerWords: random.below(16) }),
  }
  const ethernet = {
    ...(random.oneIn(60) && { source: random.pick([A.mac, B.mac, HOST_MAC]) }),
    ...(random.oneIn(60) && { destination: random.pick([A.mac, HOST_MAC, Uint8Array.of(1, 0, 0x5e, 0, 0, 1)]) }),
  }
  return {
    ...packet,
    ip: fields,
    ethernet,
    ...(random.oneIn(25) && { to: random.pick(ODD_ADDRESSES) }),
    ...(random.oneIn(40) && { from: random.pick(ODD_ADDRESSES), hook: 'from_pod' as const }),
    ...(random.oneIn(50) && { at: random.pick(PODS).ifindex }),
    ...(random.oneIn(30) && { cameBy: random.pick([0, UPLINK, A.ifindex, B.ifindex]) }),
    ...(random.oneIn(60) && isPod(packet.to) && { hook: 'to_pod' as const }),
  }
}

const randomFragment = (random: Random) => ({
  id: random.below(3),
  offset: random.pick([0, 0, 0, 8, 16, 24, 1000]),
  more: !random.oneIn(3),
  ...(random.oneIn(5) && { next: random.pick([6, 17, 44, 58, 59, 60]) }),
})

function randomExtensions(random: Random): Extension[] {
  return Array.from({ length: random.oneIn(10) ? 7 + random.below(4) : 1 + random.below(3) }, () =>
    randomExtension(random),
  )
}

function randomExtension(random: Random): Extension {
  switch (random.below(7)) {
    case 0:
      return { kind: 43, body: bytes(0, random.below(5), random.oneIn(3) ? 1 : 0, 0, 0, 0, 0) }
    case 1:
      return { kind: 51, body: bytes(4, new Uint8Array(22)) }
    case 2:
      return { kind: 44, body: bytes(0, 0, random.oneIn(3) ? 1 : 0, 0, 0, 0, random.below(3)) }
    case 3:
      return { kind: 60, body: bytes(random.below(4), new Uint8Array(6)) }
    default:
      return padding(random.pick([0, 60]), 1 + random.below(3))
  }
}

const randomOptions = (random: Random): Uint8Array =>
  Uint8Array.from({ length: 4 * (1 + random.below(10)) }, () =>
    random.pick([0, 1, 1, 1, 2, 3, 7, 8, 131, 137, 148, 255]),
  )

/** What a pod asks about its neighbours, right or nearly so. */
export function randomQuestion(random: Random): Sent {
  const [pod, other, third] = [random.pick(PODS), random.pick(PARTIES), random.pick(PARTIES)]
  const sender = random.oneIn(4) ? other : pod
  const source = random.oneIn(6) ? other.mac : pod.mac
  const target = random.oneIn(4) ? sender : third
  const at = { hook: 'from_pod', ifindex: pod.ifindex, ingressIfindex: pod.ifindex } as const
  if (random.oneIn(2)) {
    const fields = {
      operation: random.pick([1, 1, 1, 2, 3]),
      senderMac: random.oneIn(6) ? other.mac : pod.mac,
      senderIp: random.oneIn(8) ? new Uint8Array(4) : sender[4].subarray(12),
      targetIp: target[4].subarray(12),
    }
    return damaged(
      random,
      { ...at, frame: ethernet({ source, destination: HOST_MAC, type: ETHERTYPE.arp }, arp(fields)) },
      14,
    )
  }
  const ends = {
    source: random.oneIn(4) ? random.pick(ODD_ADDRESSES)[6] : sender[6],
    destination: random.oneIn(2) ? random.pick(ODD_ADDRESSES)[6] : third[6],
  }
  const body = bytes(0, 0, 0, 0, target[6], random.oneIn(2) ? bytes(1, 1, pod.mac) : new Uint8Array(0))
  const type = random.pick([135, 135, 135, 136, 133, 131, 132, 143, 130, 134, 137])
  const message = icmpMessage(ends, type, random.oneIn(8) ? 1 : 0, body)
  const fields = { ...ends, timeToLive: random.pick([255, 255, 255, 254, 1]) }
  const destination = random.oneIn(3) ? Uint8Array.of(0x33, 0x33, 0, 0, 0, 1) : HOST_MAC
  const frame = ethernet({ source, destination, type: ETHERTYPE.ipv6 }, buildIp(6, fields, PROTOCOL.icmpv6, message))
  return damaged(random, { ...at, frame }, 54)
}

export function randomSent(random: Random, packet: Packet, family: Family): Sent {
  const sent = sentOf(random.oneIn(2) ? packet : withOddities(random, packet), family)
  return damaged(random, sent, family === 4 ? 34 : 54)
}

/**
 * A byte changed, or the end cut off, now and then. An IP header stays whole: a test run takes no frame that has less,
 * and answers EINVAL.
 */
function damaged(random: Random, sent: Sent, least: number): Sent {
  const frame = sent.frame.slice()
  if (random.oneIn(25)) frame[14 + random.below(frame.length - 14)] = random.below(256)
  const end = random.oneIn(30) ? least + random.below(Math.max(frame.length - least, 1)) : frame.length
  return { ...sent, frame: frame.subarray(0, end) }
}
