// Which of the kernel's flows a proxy takes for the connection in hand.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { ip } from '../ip/index.ts'
import { type Flow, type FlowLeg, MemoryDatapath } from '../maps/index.ts'
import { type Connection, KnownFlows } from './known-flows.ts'
import { flowEntry } from './testing/flow-entry.ts'

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
function write(connection: Connection, change: Partial<Flow> = {}, leg: FlowLeg = 'TO_PROXY'): void {
  const [key, flow] = flowEntry(schema, 'DNS', connection, { expires_ns: 2000n, l7: [7, 8], ...change })
  maps.flows.set({ ...key, leg: schema.flowLeg.number[leg] }, flow)
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

  const others: readonly (readonly [string, Partial<Flow>, leg?: FlowLeg])[] = [
    ['of another proxy', { proxy: schema.proxyKind.number.HTTP }],
    ['that has expired', { expires_ns: 1000n }],
    ['that the other end opened', { flags: schema.flowFlags.number.INITIATOR_IS_HIGH }],
    ['that is direct', {}, 'DIRECT'],
    ['between proxy and server', {}, 'FROM_PROXY'],
  ]
  for (const [what, change, leg] of others)
    it(`are not one ${what}`, () => {
      maps.flows.clear()
      const asked = connection('10.0.1.1', '10.0.1.2', 'TCP')
      write(asked, change, leg)
      assert.equal(known.find(asked), undefined)
    })
})
