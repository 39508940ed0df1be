// The order in which a pod's devices are made and removed, and what one that cannot be
// does to the others. Devices and programs are stand-ins; the namespace is this process's
// own, and nothing in it is touched.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Link, Namespace } from '../net/index.ts'
import type { Endpoint } from '../tables/index.ts'
import { endpointRow } from '../tables/testing/rows.ts'
import { endpointDeviceOperations, PodGoneError } from './endpoint-devices.ts'

const OWN_NAMESPACE = '/proc/self/ns/net'
const { signal } = new AbortController()

type Fault = (what: string) => void

function started(t: { after(clean: () => void): void }, fault: Fault = () => undefined) {
  const node = Namespace.open(OWN_NAMESPACE)
  t.after(() => node.close())
  const calls: string[] = []
  const call = (what: string): void => {
    calls.push(what)
    fault(what)
  }
  const there = { links: [] as number[], programs: [] as number[] }
  const network = {
    createPair: ({ id }: Endpoint) => call(`pair ${id}`),
    configure: ({ id }: Endpoint) => call(`configure ${id}`),
    remove: ({ ifindex }: Pick<Endpoint, 'ifindex'>) => call(`remove ${ifindex}`),
    list: () => there.links.map(index => ({ index }) as Link),
  }
  const attacher = {
    attach: (ifindex: number) => call(`attach ${ifindex}`),
    detach: (ifindex: number) => call(`detach ${ifindex}`),
    attached: () => there.programs,
  }
  const endpoint = (id: number, more: Partial<Endpoint> = {}): Endpoint =>
    endpointRow(id, `pod${id}`, {
      networkNamespace: OWN_NAMESPACE,
      networkNamespaceInode: node.inode,
      ifindex: 100 + id,
      ...more,
    })
  return { calls, there, endpoint, operations: endpointDeviceOperations(network, attacher, node) }
}

test('the programs are on the device before the pod’s side gets an address', async t => {
  const { calls, endpoint, operations } = started(t, what => {
    if (what.startsWith('configure')) throw new Error('no more')
  })
  const row = endpoint(1)
  const failures = await operations.update([row], signal)
  assert.deepEqual(calls, ['pair 1', 'attach 101', 'configure 1'])
  assert.equal(failures?.get(row)?.message, 'no more')
})

test('a pod whose namespace is gone, or another one by now, gets nothing, and the others go on', async t => {
  const { calls, endpoint, operations } = started(t, what => {
    if (what.startsWith('attach')) throw new Error('refused')
  })
  const gone = endpoint(1, { networkNamespace: '/proc/self/ns/nothing' })
  const other = endpoint(2, { networkNamespaceInode: 1 })
  const file = endpoint(3, { networkNamespace: '/dev/null' })
  const last = endpoint(4)
  const failures = await operations.update([gone, other, file, last], signal)
  assert.deepEqual(calls, ['pair 4', 'attach 104'])
  assert.deepEqual([...(failures?.keys() ?? [])], [gone, other, file, last])
  for (const row of [gone, other, file]) assert.ok(failures?.get(row) instanceof PodGoneError)
  assert.match(
    failures?.get(gone)?.message ?? '',
    /^pod shop\/pod1: its network namespace \/proc\/self\/ns\/nothing cannot/,
  )
  assert.match(failures?.get(other)?.message ?? '', /^pod shop\/pod2: .*another network namespace/)
})

test('a deletion takes the device, then its programs; one that fails does not stop the others', async t => {
  const { calls, endpoint, operations } = started(t, what => {
    if (what === 'remove 101') throw new Error('busy')
  })
  const rows = [endpoint(1), endpoint(2)]
  const failures = await operations.delete(rows, signal)
  assert.deepEqual(calls, ['remove 101', 'remove 102', 'detach 102'])
  assert.deepEqual([...(failures?.keys() ?? [])], [rows[0]])
})

test('devices and programs that no endpoint accounts for are removed, and no others', async t => {
  const { calls, there, endpoint, operations } = started(t)
  there.links = [101, 102, 103]
  there.programs = [102, 104]
  await operations.prune([endpoint(1), endpoint(2)], signal)
  assert.deepEqual(calls, ['remove 103', 'detach 104'])
})
