// Conversions between domain values and map elements, on the layouts of the compiled datapath, in memory.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import * as fc from 'fast-check'
import { compileCodec, parseObject } from '../bpf/index.ts'
import { cidr, ip } from '../ip/index.ts'
import {
  decodeFlowEvent,
  type FlowEvent,
  FlowEventReader,
  ipcacheKey,
  ipcacheQuestion,
  MemoryDatapath,
  orderedFlowKey,
  type PolicyTerm,
  policyElement,
  policyTerm,
  readDatapathObject,
  readPacketCounters,
  toAddress,
  worldEntries,
} from './index.ts'

const object = readFileSync(new URL('../../build/pod.o', import.meta.url))
const { schema, spec } = readDatapathObject(object)

test('an object that lacks a map is refused by name', () => {
  const maps = new Map([...spec.maps].filter(([name]) => name !== 'ipcache'))
  assert.throws(() => readDatapathObject({ ...spec, maps }), /there is no map ipcache/)
})

test('the world entries keep the families apart', () => {
  const { maps } = new MemoryDatapath(object)
  maps.ipcache.updateBatch(worldEntries(schema.reservedIdentity))
  maps.ipcache.set(ipcacheKey(cidr('10.0.0.0/8')), { identity: 300, flags: 0 })
  const identityOf = (address: string) => maps.ipcache.get(ipcacheQuestion(ip(address)))?.identity
  assert.equal(identityOf('10.1.2.3'), 300)
  assert.equal(identityOf('11.1.2.3'), schema.reservedIdentity.number.WORLD_IPV4)
  assert.equal(identityOf('fd00::1'), schema.reservedIdentity.number.WORLD_IPV6)
})

const term: fc.Arbitrary<PolicyTerm> = fc
  .record({
    direction: fc.constantFrom('ingress' as const, 'egress' as const),
    identity: fc.nat(0xffff_ffff),
    protocol: fc.nat(255),
    port: fc.nat(0xffff),
    portPrefixLength: fc.nat(16),
    verdict: fc.constantFrom('allow' as const, 'deny' as const),
    precedence: fc.nat(0xffff_ffff),
    flags: fc.subarray(['audit', 'byDefault'] as const),
  })
  .map(({ flags, ...given }) => ({ ...given, ...Object.fromEntries(flags.map(flag => [flag, true])) }))
  .map(given =>
    given.protocol === 0
      ? { ...given, port: 0, portPrefixLength: 0 }
      : { ...given, port: given.port & (0xffff << (16 - given.portPrefixLength)) & 0xffff },
  )

test('a policy term survives its map element', () => {
  fc.assert(
    fc.property(term, fc.nat(0xffff_ffff), (given, rule) => {
      assert.deepEqual(policyTerm(schema, ...policyElement(schema, given, rule)), { ...given, rule })
    }),
  )
})

test('a policy term that no key can say is refused', () => {
  const good: PolicyTerm = {
    direction: 'egress',
    identity: 0,
    protocol: 6,
    port: 80,
    portPrefixLength: 16,
    verdict: 'allow',
    precedence: 0,
  }
  assert.throws(() => policyElement(schema, { ...good, protocol: 0 }, 1), RangeError)
  assert.throws(() => policyElement(schema, { ...good, portPrefixLength: 10 }, 1), RangeError)
})

test('both directions of a connection have one key, and tell who is who', () => {
  const address = fc.uint8Array({ minLength: 16, maxLength: 16 })
  const port = fc.nat(0xffff)
  fc.assert(
    fc.property(address, address, port, port, fc.nat(255), (a, b, source_port, destination_port, protocol) => {
      const there = { source: { bytes: a }, destination: { bytes: b }, source_port, destination_port, protocol }
      const back = {
        source: there.destination,
        destination: there.source,
        source_port: destination_port,
        destination_port: source_port,
        protocol,
      }
      const one = orderedFlowKey(there)
      const other = orderedFlowKey(back)
      assert.deepEqual(one.key, other.key)
      const same = Buffer.compare(a, b) === 0 && source_port === destination_port
      assert.equal(one.sourceIsHigh !== other.sourceIsHigh, !same)
    }),
  )
})

test('counters are summed over CPUs and named', () => {
  const { maps } = new MemoryDatapath(object)
  const perCpu = [...maps.packet_counts.entries()][0]?.[1].length ?? 0
  const count = (packets: bigint, bytes: bigint) => Array.from({ length: perCpu }, () => ({ packets, bytes }))
  maps.packet_counts.set(133 * 4 + 1, count(2n, 120n))
  maps.packet_counts.set(2, count(1n, 60n))
  maps.packet_counts.set(schema.packetCounters.number.COUNTERS + 181 * 4 + 2, count(3n, 180n))
  const total = (packets: bigint, bytes: bigint) => ({
    packets: packets * BigInt(perCpu),
    bytes: bytes * BigInt(perCpu),
  })
  assert.deepEqual(readPacketCounters(schema, maps.packet_counts), [
    { verdict: 'FORWARDED', reason: 'NONE', direction: 'EGRESS', ...total(1n, 60n) },
    { verdict: 'DROPPED', reason: 'POLICY_DENIED', direction: 'INGRESS', ...total(2n, 120n) },
    { verdict: 'AUDIT', reason: 'POLICY_DENY', direction: 'EGRESS', ...total(3n, 180n) },
  ])
})

test('the event reader and the decoder read the same record', () => {
  const { btf } = parseObject(object)
  const codec = compileCodec<FlowEvent>(btf, btf.struct('flow_event').typeId)
  const event: FlowEvent = {
    time_ns: 0x1234_5678_9abc_def0n,
    source: toAddress(ip('10.0.0.1')),
    destination: toAddress(ip('10.0.0.2')),
    packets: [3n, 2n ** 40n],
    bytes: [2n ** 33n + 5n, 7n],
    source_port: 40000,
    destination_port: 443,
    protocol: 6,
    family: 4,
    tcp_flags: 0x12,
    icmp_type: 8,
    icmp_code: 9,
    kind: 1,
    verdict: 2,
    direction: 1,
    drop_reason: 133,
    observation: 101,
    is_reply: 1,
    flow_flags: 4,
    identity: [70000, 0xffff_ffff],
    endpoint: [1, 2],
    egress_rule: 0xffff_fffe,
    ingress_rule: 12,
    length: 1514,
    ifindex: 77,
    service: 0xffff_fff0,
    proxy: 5,
  }
  const start = 8
  const view = new DataView(new ArrayBuffer(codec.size + start))
  codec.encode(event, view, start)
  const reader = new FlowEventReader(schema.flowEvent).at(view, start, codec.size)
  for (const field of Object.keys(event) as (keyof FlowEvent)[]) {
    if (field === 'source' || field === 'destination') assert.deepEqual({ bytes: reader[field].bytes }, event[field])
    else if (field === 'packets' || field === 'bytes')
      assert.deepEqual([BigInt(reader[field](0)), BigInt(reader[field](1))], event[field])
    else if (field === 'identity' || field === 'endpoint')
      assert.deepEqual([reader[field](0), reader[field](1)], event[field])
    else assert.equal(reader[field], event[field], field)
  }
  assert.deepEqual(decodeFlowEvent(schema.flowEvent, view, start, codec.size), event)
  assert.throws(() => reader.at(view, start, codec.size - 8), RangeError)
})
