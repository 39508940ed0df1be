// Policies of every kind, from the YAML of random objects through the engine's entries into the kernel's maps: for every
// packet that opens a connection the program, the predictor and the engine's own verdict must agree, on the verdict
// and on the rule. What a proxy is to judge goes no further here, since none listens. Another seed for every run; AXONEME_SEED repeats one, AXONEME_PACKETS sets how many are sent.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatIp } from '../../src/ip/index.ts'
import {
  type Cluster,
  type ConnectionVerdict,
  DEFAULT_DENY,
  type End,
  type Judgement,
  judgeOf,
  type L7Rules,
  parseManifests,
  type RuleKey,
  readCluster,
  rulesOf,
  tlsMeaning,
} from '../../src/policy/index.ts'
import { POLICY_SERVICES } from '../e2e/random-cilium-policies.ts'
import { policySet } from '../e2e/random-policies.ts'
import { namespaceManifest, podAt } from '../e2e/support.ts'
import { requestPolicySet } from '../policy/random-request-policies.ts'
import { between, echo, type Family, icmp, icmpOf, isPod, type Packet, sctp, sentOf, tcp, udp } from './cases.ts'
import { PROTOCOL } from './frames.ts'
import { HOST, needsRoot, type Observed, OUTSIDE, type Party, PODS, type Rule, TestNode } from './node.ts'
import { Random } from './random.ts'
import { SERVICE, ServiceMaps } from './services.ts'

const seed = Number(process.env['AXONEME_SEED'] ?? Math.floor(Math.random() * 2 ** 31)) | 0
const wanted = Number(process.env['AXONEME_PACKETS'] ?? 100_000)
/** Under one set of policies. */
const ROUND = 500
const OUTSIDE_OF_TLS = 1
const SYN = 0x02

const KEYS: Readonly<Record<string, { readonly key: string; readonly labels: Readonly<Record<string, string>> }>> = {
  a: { key: 'x/a', labels: { app: 'web', tier: 'front' } },
  b: { key: 'y/a', labels: { app: 'web', tier: 'back' } },
  c: { key: 'x/c', labels: { app: 'db' } },
}

/** The random policies and their services name the addresses of another cluster. */
const atTheseAddresses = (objects: readonly object[]): object[] =>
  JSON.parse(JSON.stringify(objects).replaceAll('10.244.1.', '10.244.0.').replaceAll('192.0.2.', '198.51.100.'))

const world = [
  { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node1' }, status: { addresses: addressesOf(HOST) } },
  namespaceManifest('x', { team: 'one', stage: 'test' }),
  namespaceManifest('y', { team: 'two', stage: 'test' }),
  ...PODS.map(pod => {
    const { key = '', labels = {} } = KEYS[pod.name] ?? {}
    const swapped = pod.name === 'c'
    const ports = ['tcp', 'udp'].flatMap(protocol => [
      { containerPort: swapped ? 81 : 80, protocol: protocol.toUpperCase(), name: `first-${protocol}` },
      { containerPort: swapped ? 80 : 81, protocol: protocol.toUpperCase(), name: `second-${protocol}` },
    ])
    return podAt(
      key,
      ([4, 6] as const).map(family => textOf(pod, family)),
      { labels, ports },
    )
  }),
  ...atTheseAddresses(POLICY_SERVICES),
]

function textOf(party: Party, family: Family): string {
  return formatIp(party[family])
}

function addressesOf(party: Party): object[] {
  return ([4, 6] as const).map(family => ({ type: 'InternalIP', address: formatIp(party[family]) }))
}

test(`kernel, predictor and engine agree on policies of every kind: ${wanted} packets, seed ${seed}`, {
  skip: needsRoot,
}, t => {
  const random = new Random(seed)
  const rounds = Math.ceil(wanted / ROUND)
  const sets = fc.sample(fc.oneof(policySet, { weight: 2, arbitrary: requestPolicySet }), { numRuns: rounds, seed })
  using node = new TestNode()
  const services = new ServiceMaps(node)
  const seen = { forwarded: 0, dropped: 0, audited: 0, judged: 0 }
  node.inside(() => {
    for (const [round, set] of sets.entries()) {
      const policies = atTheseAddresses(set)
      const stage = new Stage(node, services, [...world, ...policies])
      for (let index = 0; index < ROUND; index++) {
        const opening = stage.randomOpening(random, index)
        const verdict = stage.send(opening, `packet ${index} of round ${round}, seed ${seed}`, policies)
        seen[verdict]++
      }
    }
  })
  t.diagnostic(`seed ${seed}: ${JSON.stringify(seen)} of ${rounds * ROUND}`)
  for (const [verdict, count] of Object.entries(seen))
    assert.ok(count > wanted / 1000, `some packets are ${verdict}: ${count}`)
})

type Opening = {
  readonly from: Party
  readonly to: Party
  readonly family: Family
  readonly protocol: number
  /** Of the destination; for ICMP the type. */
  readonly port: number
  readonly packet: Packet
}

/** What a packet is for in a third of the cases: policy sees the same backend and port. */
const SERVED = { frontend: SERVICE, port: 9999 } as const
const PORTS = [79, 80, 80, 80, 81, 81, 82, 1, 443, 65535]

/** One set of policies, in the engine and in the maps. */
class Stage {
  readonly #node: TestNode
  readonly #services: ServiceMaps
  readonly #cluster: Cluster
  readonly #numbers = new Map<RuleKey, number>()
  /** Rules that are alike in no TLS context. */
  readonly #inTls: L7Rules[] = []

  constructor(node: TestNode, services: ServiceMaps, objects: readonly object[]) {
    this.#node = node
    this.#services = services
    const text = objects.map(object => JSON.stringify(object)).join('\n---\n')
    const { objects: manifests, problems } = parseManifests(text, 'random.yaml')
    assert.deepEqual(problems, [])
    const read = readCluster(manifests)
    const errors = read.problems.filter(({ severity }) => severity === 'error')
    assert.deepEqual(errors, [], text)
    this.#cluster = read.cluster
    this.#fill()
  }

  /** Identities first: a policy is resolved for those that are known. */
  #fill(): void {
    const parties = ([4, 6] as const).flatMap(family => [...PODS, OUTSIDE, HOST].map(party => ({ party, family })))
    const viewer = this.#endOf(PODS[0] as Party, 4)
    const identities = parties.map(
      ({ party, family }) => this.#cluster.party(this.#endOf(party, family), viewer).identity,
    )
    const rules = PODS.map(pod => [pod.name, this.#rulesOf(this.#endOf(pod, 4))] as const)
    this.#node.reset(Object.fromEntries(rules))
    for (const slot of this.#inTls.keys()) this.#node.setTlsContext(OUTSIDE_OF_TLS + slot + 1, slot)
    for (const [i, { party, family }] of parties.entries()) {
      const identity = identities[i] ?? 0
      if (isPod(party)) this.#node.addEndpoint(party, { identity }, [family])
      else this.#node.setIpcache(`${textOf(party, family)}/${family === 4 ? 32 : 128}`, identity, party === HOST)
    }
  }

  #rulesOf(end: End): Rule[] {
    const entries = this.#cluster.party(end).policy?.entries ?? []
    return entries.map(({ rule, treatment, ...term }) => ({
      ...term,
      ...((treatment?.audit || treatment?.l7?.rules.audit) && { audit: true }),
      ...(treatment?.l7 && {
        l7: { proxy: KINDS[judgeOf(treatment.l7.rules)], rules: this.#ruleSetOf(treatment.l7.rules) },
      }),
      ...(rule === DEFAULT_DENY && { byDefault: true }),
      rule: this.#numberOf(rule),
    }))
  }

  /** One for rules of each TLS context, with a slot of its own, and one for all others. */
  #ruleSetOf(rules: L7Rules): number {
    if (judgeOf(rules) !== 'https') return OUTSIDE_OF_TLS
    const known = this.#inTls.find(other => tlsMeaning(rules) === tlsMeaning(other)) ?? rules
    if (known === rules) this.#inTls.push(rules)
    return OUTSIDE_OF_TLS + this.#inTls.indexOf(known) + 1
  }

  #numberOf(rule: RuleKey): number {
    const known = this.#numbers.get(rule) ?? this.#numbers.size + 1
    this.#numbers.set(rule, known)
    return known
  }

  #endOf(party: Party, family: Family): End {
    return this.#cluster.endAt({ family, bytes: party[family] })
  }

  randomOpening(random: Random, index: number): Opening {
    const from = random.pick<Party>([...PODS, OUTSIDE, HOST])
    const to = random.pick<Party>([...PODS, ...(isPod(from) ? [OUTSIDE, HOST] : [])].filter(to => to !== from))
    const family = random.pick([4, 6] as const)
    // No connection is known from the packets before: each has a port of its own.
    const [sourcePort, port] = [10_000 + index, random.pick(PORTS)]
    const protocol = random.pick([PROTOCOL.tcp, PROTOCOL.tcp, PROTOCOL.udp, PROTOCOL.udp, PROTOCOL.sctp, PROTOCOL.icmp])
    const byService = isPod(from) && random.oneIn(3)
    if (byService) this.#services.set({ ...SERVED, protocol, backends: [{ party: to, port }] }, family)
    const ends = byService
      ? between(from, SERVED.frontend, sourcePort, SERVED.port)
      : between(from, to, sourcePort, port)
    const opening = { from, to, family, protocol, port }
    if (protocol === PROTOCOL.tcp) return { ...opening, packet: tcp(ends, SYN) }
    if (protocol === PROTOCOL.udp) return { ...opening, packet: udp(ends) }
    if (protocol === PROTOCOL.sctp) return { ...opening, packet: sctp(ends) }
    const echoType = family === 4 ? 8 : 128
    const type = random.oneIn(3) ? 13 : echoType
    const packet = type === echoType ? echo(from, to, 'request', sourcePort) : icmp(from, to, { 4: type, 6: type })
    return { ...opening, protocol: icmpOf(family), port: type, packet }
  }

  send({ from, to, family, protocol, port, packet }: Opening, name: string, policies: readonly object[]): Outcome {
    const expected = this.#cluster.verdict(this.#endOf(from, family), this.#endOf(to, family), protocol, port)
    const observed = this.#node.send(sentOf(packet, family))
    const question = `${from.name} → ${to.name} ${port}/${protocol} IPv${family}`
    const explain = `${name}: ${question}\n${JSON.stringify(policies)}`
    assert.deepEqual(outcomeOf(observed), this.#expectedOutcome(expected), explain)
    return outcomeOf(observed).verdict
  }

  #expectedOutcome({ egress, ingress, isTorn }: ConnectionVerdict): ReturnType<typeof outcomeOf> {
    const decided = [egress, ingress].map(judgement => this.#ruleOf(judgement))
    const isDenied = (judgement: Judgement | undefined) => judgement?.verdict === 'denied'
    if (isDenied(egress)) return { verdict: 'dropped', rules: [decided[0] ?? 0, 0] }
    if (isDenied(ingress)) return { verdict: 'dropped', rules: [decided[0] ?? 0, decided[1] ?? 0] }
    const rules = [decided[0] ?? 0, decided[1] ?? 0]
    if (isTorn) return { verdict: 'dropped', rules }
    if (rulesOf(egress) || rulesOf(ingress)) return { verdict: 'judged', rules }
    const isAudited = [egress, ingress].some(judgement => judgement?.audit)
    return { verdict: isAudited ? 'audited' : 'forwarded', rules }
  }

  #ruleOf(judgement: Judgement | undefined): number {
    const rule = judgement?.entry?.rule
    return rule === undefined ? 0 : this.#numberOf(rule)
  }
}

const KINDS = { http: 'HTTP', https: 'HTTPS', tls: 'TLS', dns: 'DNS', kafka: 'KAFKA' } as const

type Outcome = 'forwarded' | 'dropped' | 'audited' | 'judged'

function outcomeOf({ prediction }: Observed): { readonly verdict: Outcome; readonly rules: readonly number[] } {
  const { verdict, reason, to, egress_rule, ingress_rule } = prediction
  const rules = [egress_rule, ingress_rule]
  if (to === 'proxy' || reason === 'SOCKET_LOOKUP_FAILED') return { verdict: 'judged', rules }
  if (verdict === 'absorbed' || verdict === 'redirected') assert.fail('a packet of these is dropped or goes on')
  return { verdict, rules }
}
