// The predictor by itself: verdicts and their words on maps in memory. That the
// kernel agrees is the business of test/datapath, where every packet goes to both.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { cidr, ip, mac } from '../ip/index.ts'
import { ipcacheKey, MemoryDatapath, type PolicyTerm, policyElement, toAddress, worldEntries } from '../maps/index.ts'
import { ethernet, frame, ipv4, type TcpFlag, tcp } from '../packet/index.ts'
import { applyPrediction, describePrediction, type Prediction, predict, worldOf } from './index.ts'

const object = readFileSync(new URL('../../build/pod.o', import.meta.url))
const HOST_MAC = '0a:00:00:00:00:01'
const SECOND = 1_000_000_000n

const client = { address: '10.0.0.1', mac: '0a:00:00:00:01:01', ifindex: 11, id: 1, identity: 1001, policy: 1 }
const server = { address: '10.0.0.2', mac: '0a:00:00:00:01:02', ifindex: 12, id: 2, identity: 1002, policy: 2 }
type Pod = typeof client

const anything = { identity: 0, protocol: 0, port: 0, portPrefixLength: 0, verdict: 'allow', precedence: 0 } as const
const toPort80: PolicyTerm = {
  ...anything,
  direction: 'ingress',
  identity: client.identity,
  protocol: 6,
  port: 80,
  portPrefixLength: 16,
}

function node(ingressOfServer: readonly PolicyTerm[]) {
  const datapath = new MemoryDatapath(object)
  const { maps, schema } = datapath
  maps.ipcache.updateBatch(worldEntries(schema.reservedIdentity))
  maps.ipcache.set(ipcacheKey(cidr('192.0.2.0/24')), { identity: 3000, flags: 0 })
  for (const { address, ifindex, id, identity, policy, mac: ether } of [client, server])
    maps.endpoints.set(toAddress(ip(address)), { ifindex, id, identity, policy, mac: mac(ether), flags: 0 })
  const set = (policy: number, terms: readonly PolicyTerm[]): void =>
    maps.policy_maps.set(
      policy,
      datapath.createPolicyMap(terms.map((term, index) => policyElement(schema, term, 10 * policy + index))),
    )
  set(client.policy, [{ ...anything, direction: 'egress' }])
  set(server.policy, ingressOfServer)
  maps.runtime.set(0, { revision: 1, proxies: 0 })
  return { datapath, set, world: worldOf(datapath, mac(HOST_MAC)) }
}

function packet(from: Pod, to: { address: string }, ports: [number, number], flags: TcpFlag[]): Uint8Array {
  return frame(
    ethernet({ source: from.mac, destination: HOST_MAC }),
    ipv4({ source: from.address, destination: to.address }),
    tcp({ sourcePort: ports[0], destinationPort: ports[1], flags }),
  )
}

const fromPod = (pod: Pod, bytes: Uint8Array, now = 1n) =>
  ({ hook: 'from_pod', frame: bytes, ifindex: pod.ifindex, ingressIfindex: pod.ifindex, now }) as const

const inShort = ({ verdict, reason, to, egress_rule, ingress_rule }: Prediction) => ({
  verdict,
  reason,
  to,
  rules: [egress_rule, ingress_rule],
})

const cases = [
  {
    name: 'a rule allows the port',
    given: packet(client, server, [40000, 80], ['syn']),
    want: { verdict: 'forwarded', reason: 'NONE', to: 'endpoint', rules: [10, 20] },
  },
  {
    name: 'no rule allows the port',
    given: packet(client, server, [40000, 81], ['syn']),
    want: { verdict: 'dropped', reason: 'POLICY_DENIED', to: 'nowhere', rules: [10, 0] },
  },
  {
    name: 'to the outside',
    given: packet(client, { address: '192.0.2.7' }, [40000, 443], ['syn']),
    want: { verdict: 'forwarded', reason: 'NONE', to: 'stack', rules: [10, 0] },
  },
  {
    name: 'another pod’s address',
    given: packet({ ...client, address: server.address }, client, [1, 2], ['syn']),
    want: { verdict: 'dropped', reason: 'INVALID_SOURCE_IP', to: 'nowhere', rules: [0, 0] },
  },
]
for (const { name, given, want } of cases)
  test(`verdict: ${name}`, () => {
    const { world } = node([toPort80])
    assert.deepEqual(inShort(predict(world, fromPod(client, given))), want)
  })

test('a prediction explains itself', () => {
  const { world } = node([toPort80])
  assert.deepEqual(describePrediction(predict(world, fromPod(client, packet(client, server, [40000, 81], ['syn'])))), [
    'connection: a new one',
    'identities: 10.0.0.1 is 1001, 10.0.0.2 is 1002',
    'egress policy: rule 10 allows identity 1002, protocol 6, port 81',
    'ingress policy: no entry for identity 1001, protocol 6, port 81: denied',
    'dropped: POLICY_DENIED',
  ])
})

test('a prediction changes nothing; applied, the conversation goes on from there', () => {
  const { world, datapath, set } = node([toPort80])
  const question = fromPod(client, packet(client, server, [40000, 80], ['syn']))
  const answer = fromPod(server, packet(server, client, [80, 40000], ['syn', 'ack']))
  const opened = predict(world, question)
  assert.equal(datapath.maps.flows.count(), 0)
  assert.equal(predict(world, answer).reason, 'POLICY_DENIED')

  applyPrediction(opened, datapath.maps)
  assert.equal(predict(world, answer).reason, 'NONE')
  assert.equal(predict(world, answer).isReply, true)

  set(server.policy, [])
  assert.equal(predict(world, answer).reason, 'NONE', 'the revision has not been raised')
  datapath.maps.runtime.set(0, { revision: 2, proxies: 0 })
  assert.equal(predict(world, answer).reason, 'POLICY_DENIED')
})

test('a connection ends by the time that is given', () => {
  const { world, datapath } = node([toPort80])
  const { tcp_open_seconds: open, tcp_established_seconds: established } = world.constants
  const answerAt = (now: bigint) => fromPod(server, packet(server, client, [80, 40000], ['ack']), now)
  applyPrediction(predict(world, fromPod(client, packet(client, server, [40000, 80], ['syn']), 0n)), datapath.maps)
  assert.equal(predict(world, answerAt(BigInt(open) * SECOND - 1n)).reason, 'NONE')
  assert.equal(predict(world, answerAt(BigInt(open) * SECOND)).reason, 'POLICY_DENIED')

  applyPrediction(predict(world, answerAt(1n)), datapath.maps)
  assert.equal(predict(world, answerAt(BigInt(established) * SECOND)).reason, 'NONE')
  assert.equal(predict(world, answerAt(BigInt(established) * SECOND + 2n)).reason, 'POLICY_DENIED')
})
