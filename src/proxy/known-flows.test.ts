// Which of the kernel's flows a proxy takes for the connection in hand.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { ip } from '../ip/index.ts'
import { type Flow, MemoryDatapath, orderedFlowKey } from '../maps/index.ts'
import { type Connection, KnownFlows } from './known-flows.ts'

const { maps, schema } = new MemoryDatapath(readFileSync(new URL('../../build/pod.o', import.meta.url)))
const known = new KnownFlows(maps.flows, schema, 'DNS', () => 1000n)

function connection(client: string, server: string, transport: 'TCP' | 'UDP' = 'UDP'): Connection {
  return {
    transport,
    client: { address: ip(client).bytes, port: 40_000 },
    server: { address: ip(server).bytes, port: 53 },
  }
}

/** Writes the flow that the datapath would have. */
function write({ client, server, transport }: Connection, change: Partial<Flow> = {}, leg = 1): void {
  const { key, sourceIsHigh } = orderedFlowKey({
    source: { bytes: client.address },
    destination: { bytes: server.address },
    source_port: client.port,
    destination_port: server.port,
    protocol: transport === 'UDP' ? 17 : 6,
  })
  maps.flows.set(
    { ...key, leg },
    { ...FLOW, flags: sourceIsHigh ? schema.flowFlags.number.INITIATOR_IS_HIGH : 0, ...change },
  )
}

const FLOW: Flow = {
  expires_ns: 2000n,
  reported_ns: 0n,
  packets: [0n, 0n],
  bytes: [0n, 0n],
  revision: 1,
  identity: [300, 400],
  endpoint: [1, 2],
  egress_rule: 5,
  ingress_rule: 6,
  tcp_flags: new Uint8Array(2),
  flags: 0,
  audit: 0,
  service: 9,
  proxy: schema.proxyKind.number.DNS,
  l7: [7, 8],
}

describe('known flows', () => {
  for (const [client, server] of [
    ['10.0.0.1', '10.0.0.2'],
    ['10.0.0.2', '10.0.0.1'],
    ['fd00::1', 'fd00::2'],
  ] as const)
    it(`tell of ${client} and ${server} in the client's order`, () => {
      const asked = connection(client, server)
      write(asked)
      assert.deepEqual(known.find(asked), { identities: [300, 400], sets: [7, 8], rules: [5, 6], service: 9 })
      assert.equal(known.find({ ...asked, transport: 'TCP' }), undefined)
    })

  const others: readonly (readonly [string, Partial<Flow>, leg?: number])[] = [
    ['of another proxy', { proxy: schema.proxyKind.number.HTTP }],
    ['that has expired', { expires_ns: 1000n }],
    ['that the other end opened', { flags: schema.flowFlags.number.INITIATOR_IS_HIGH }],
    ['that is direct', {}, 0],
    ['between proxy and server', {}, 2],
  ]
  for (const [what, change, leg] of others)
    it(`are not one ${what}`, () => {
      maps.flows.clear()
      const asked = connection('10.0.1.1', '10.0.1.2', 'TCP')
      write(asked, change, leg)
      assert.equal(known.find(asked), undefined)
    })
})
