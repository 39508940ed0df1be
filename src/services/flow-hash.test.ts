// The hash of a flow is that of the datapath: these numbers are from bpf/lib/service.h,
// compiled for this processor.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ip } from '../ip/index.ts'
import { flowHash, slotOfHash } from './index.ts'

const flow = (source: string, sourcePort: number, destination: string, destinationPort: number, protocol: number) => ({
  source: ip(source).bytes,
  sourcePort,
  destination: ip(destination).bytes,
  destinationPort,
  protocol,
})

test('a flow has the hash that the datapath gives it', () => {
  assert.equal(flowHash(flow('10.0.0.1', 40000, '192.0.2.1', 80, 6)), 4136413731)
  assert.equal(flowHash(flow('fd00:ffee::9', 65535, '2001:db8::1', 53, 17)), 2624413678)
})

test('hashes are spread over all slots in order', () => {
  assert.deepEqual(
    [0, 2 ** 31, 2 ** 32 - 1].map(hash => slotOfHash(hash, 16381)),
    [0, 8190, 16380],
  )
})
