// The program in the kernel against the predictor, on random policies and random
// sequences of packets: verdict, reason, rules, event, the frame that leaves and the
// connection's entry must agree. Another seed for every run; AXONEME_SEED repeats one,
// AXONEME_PACKETS sets how many packets are sent.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DropReason } from '../../src/maps/index.ts'
import type { Prediction } from '../../src/trace/index.ts'
import { needsRoot, PODS, type Sent, TestNode } from './node.ts'
import { type Exchange, nextPacket, proxyPolicy, Random, randomPolicy, randomQuestion, randomSent } from './random.ts'
import { answering, changeServices, removeBackends } from './random-services.ts'
import { ServiceMaps } from './services.ts'

const seed = Number(process.env['AXONEME_SEED'] ?? Math.floor(Math.random() * 2 ** 48))
const wanted = Number(process.env['AXONEME_PACKETS'] ?? 120_000)
const WANTED = [
  'POLICY_DENIED',
  'POLICY_DENY',
  'INVALID_PACKET',
  'FRAGMENT_NOT_FOUND',
  'NO_SERVICE',
  'SOCKET_LOOKUP_FAILED',
  'SOCKET_ASSIGN_FAILED',
  'PROXY_MIDSTREAM',
  'PROXY_CONFLICT',
] as const
/** Packets under one set of policies, before the maps are emptied. */
const ROUND = 400

test(`the predictor and the kernel agree on ${wanted} packets, seed ${seed}`, { skip: needsRoot }, t => {
  const random = new Random(seed)
  using node = new TestNode()
  const services = new ServiceMaps(node)
  const reasons = new Map<DropReason, number>()
  const reports = new Map<string, number>()
  const audited = new Map<DropReason, number>()
  const translated = new Map<string, number>()
  const count = <Key>(map: Map<Key, number>, key: Key): void => void map.set(key, (map.get(key) ?? 0) + 1)
  let sent = 0
  try {
    node.inside(() => {
      while (sent < wanted) {
        const policyOf = startRound(node, random)
        for (let changes = 0; changes < 3; changes++) changeServices(random, services)
        const recent: Exchange[] = []
        for (let index = 0; index < ROUND; index++, sent++) {
          if (random.oneIn(200)) node.setPolicy(random.pick(PODS), policyOf(random))
          if (random.oneIn(60)) node.raiseRevision()
          if (random.oneIn(60)) node.setTlsContext(1 + random.below(5), random.oneIn(2) ? random.below(3) : undefined)
          if (random.oneIn(80)) changeServices(random, services)
          if (random.oneIn(300)) removeBackends(random, services)
          const next = nextPacket(random, recent)
          const { prediction } = node.send(
            random.oneIn(40)
              ? randomQuestion(random)
              : byProxy(node, random, randomSent(random, next.packet, next.family)),
          )
          if (random.oneIn(12)) makeLeg(node, random, prediction)
          const answered = answering(random, next.exchange, prediction)
          if (answered) recent.push(answered)
          if (prediction.service !== 0) count(translated, prediction.verdict)
          count(prediction.verdict === 'audited' ? audited : reasons, prediction.reason)
          count(reports, prediction.report ?? 'none')
        }
      }
    })
  } catch (error) {
    if (error instanceof Error) error.message = `packet ${sent} of seed ${seed}: ${error.message}`
    throw error
  }
  t.diagnostic(
    `seed ${seed}: ${sent} packets; ${summary(reasons)}; audited: ${summary(audited)}; events: ${summary(reports)}; translated: ${summary(translated)}`,
  )
  // Random input that is all dropped at the door would prove nothing.
  assert.ok((reasons.get('NONE') ?? 0) > sent / 5, 'at least a fifth of the packets passes')
  for (const reason of WANTED) assert.ok((reasons.get(reason) ?? 0) > 0, `some are dropped for ${reason}`)
  assert.ok((translated.get('forwarded') ?? 0) > sent / 100, 'some are translated')
  for (const reason of ['POLICY_DENIED', 'POLICY_DENY'] as const)
    assert.ok((audited.get(reason) ?? 0) > 0, `some pass that would be dropped for ${reason}`)
})

/** Now and then it is a proxy that sends it. */
function byProxy(node: TestNode, random: Random, sent: Sent): Sent {
  if (sent.hook === 'from_pod' || !random.oneIn(4)) return sent
  return {
    ...sent,
    ingressIfindex: random.oneIn(8) ? sent.ingressIfindex : 0,
    mark: node.world.schema.proxyMark.number[random.pick(['FROM_PROXY', 'ACCEPTED'] as const)],
  }
}

/** A connection that a proxy has by now: no proxy listens, so that none would come about by packets of pods alone. */
function makeLeg(node: TestNode, random: Random, { flow: known }: Prediction): void {
  const { TO_PROXY, FROM_PROXY } = node.world.schema.flowLeg.number
  if (!known) return
  const { key, flow } = known
  const proxied = { ...flow, proxy: random.pick([0, 1, 1, 3, 4]), l7: [random.below(3), 0] as const }
  node.setFlow({ ...key, leg: random.pick([TO_PROXY, FROM_PROXY]) }, proxied)
  if (random.oneIn(2)) for (const { maps } of [node.datapath, node.memory]) maps.flows.delete(key)
}

function startRound(node: TestNode, random: Random): typeof randomPolicy {
  const isolated = random.oneIn(4) ? [] : PODS.filter(() => !random.oneIn(3))
  const policyOf = random.oneIn(4) ? proxyPolicy : randomPolicy
  node.reset(Object.fromEntries(isolated.map(pod => [pod.name, policyOf(random)])), random.oneIn(2))
  // Some in slots that there are not.
  for (let number = 1; number <= 5; number++) if (random.oneIn(2)) node.setTlsContext(number, random.pick([0, 31, 32]))
  if (random.oneIn(2)) node.setIpcache('198.51.100.0/24', 2000)
  if (random.oneIn(2)) node.setIpcache('2001:db8::/64', 2001)
  // Once a policy names everybody, the world has a number of this node's own.
  if (random.oneIn(3)) node.setIpcache('0.0.0.0/0', 2002)
  if (random.oneIn(3)) node.setIpcache('::/0', 2003)
  if (random.oneIn(20)) node.removePolicy(random.pick(PODS).policy)
  return policyOf
}

const summary = (counts: ReadonlyMap<string, number>): string =>
  [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([name, number]) => `${name} ${number}`)
    .join(', ')
