// Which addresses connections use, read from the datapath's map of flows.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ip } from '../ip/index.ts'
import { type FlowKey, orderedFlowKey } from '../maps/index.ts'
import { usedAddresses } from './used-addresses.ts'

const never = new AbortController().signal

const keyOf = (source: string, destination: string): FlowKey =>
  orderedFlowKey({
    source: { bytes: ip(source).bytes },
    destination: { bytes: ip(destination).bytes },
    source_port: 40_000,
    destination_port: 443,
    protocol: 6,
  }).key

type Flows = Parameters<typeof usedAddresses>[0]

/** A map with these connections; only what is read of them is there. */
function flowsOf(...flows: readonly (readonly [from: string, to: string, expiresNs: bigint, leg?: number])[]): Flows {
  return {
    *entries() {
      for (const [from, to, expires_ns, leg = 0] of flows)
        yield [{ ...keyOf(from, to), leg }, { expires_ns }] as unknown as ReturnType<
          Flows['entries']
        > extends Generator<infer Entry>
          ? Entry
          : never
    },
  }
}

test('either end of a live connection is in use, directly or by a proxy', async () => {
  const flows = flowsOf(
    ['10.244.0.2', '192.0.2.1', 1_000n],
    ['10.244.0.2', '192.0.2.2', 500n],
    ['10.244.0.2', '192.0.2.3', 1_000n, 2],
    ['2001:db8::1', 'fd00::2', 1_000n],
  )
  const used = usedAddresses(flows, () => 600n)
  const asked = new Set(['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4', '2001:db8::1'])
  assert.deepEqual([...(await used(asked, never))].sort(), ['192.0.2.1', '192.0.2.3', '2001:db8::1'])
})

test('a long map is read piece by piece, until nobody wants to know any more', async () => {
  const many = Array.from({ length: 5_000 }, (_, i) => ['10.244.0.2', `198.18.${i >> 8}.${i & 255}`, 1n] as const)
  const used = usedAddresses(flowsOf(...many), () => 0n)
  assert.deepEqual(await used(new Set(['198.18.19.135']), never), new Set(['198.18.19.135']))
  const stop = new AbortController()
  const asked = used(new Set(['203.0.113.1']), stop.signal)
  stop.abort(new Error('no more'))
  await assert.rejects(asked, /no more/)
})
