// The ipcache and the endpoint map, as rows come and go; in memory, which passes the
// same tests as the kernel's maps.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { MapFullError } from '../bpf/index.ts'
import { cidr, ip, mac } from '../ip/index.ts'
import { ipcacheKey, MemoryDatapath } from '../maps/index.ts'
import type { Address, EndpointEntry } from '../tables/index.ts'
import { endpointEntryOperations, ipcacheOperations } from './map-entries.ts'

const object = readFileSync(new URL('../../build/pod.o', import.meta.url))
const HOST_FLAG = 1
const { signal } = new AbortController()

function ipcacheOf(size: number) {
  const { ipcache } = new MemoryDatapath(object, { ipcache: size }).maps
  const log: string[] = []
  const operations = ipcacheOperations(ipcache, HOST_FLAG, () => void log.push('changed'))
  const identityOf = (prefix: string) => ipcache.get(ipcacheKey(cidr(prefix)))?.identity
  return { ipcache, operations, log, identityOf }
}

const row = (prefix: string, identity: number): Address => ({ prefix, identity, isHost: false, owner: 'policy' })

test('rows are written, and the change is told', async () => {
  const { ipcache, operations, log, identityOf } = ipcacheOf(10)
  assert.equal((await operations.update([row('10.0.0.1/32', 256), row('::/0', 10)], signal))?.size ?? 0, 0)
  assert.deepEqual(log, ['changed'])
  assert.deepEqual([identityOf('10.0.0.1/32'), identityOf('::/0')], [256, 10])
  await operations.delete([row('10.0.0.1/32', 256)], signal)
  assert.equal(ipcache.count(), 1)
  assert.deepEqual(log, ['changed', 'changed'])
})

test('a full map refuses what is new, and takes every change of what it has', async () => {
  const { operations, log, identityOf } = ipcacheOf(2)
  await operations.update([row('10.0.0.1/32', 256), row('10.0.0.2/32', 256)], signal)
  const refused = row('10.0.0.3/32', 257)
  const failures = await operations.update([row('10.0.0.1/32', 300), refused, row('10.0.0.2/32', 301)], signal)
  assert.deepEqual([...(failures ?? new Map()).keys()], [refused])
  assert.ok(failures?.get(refused) instanceof MapFullError)
  assert.deepEqual([identityOf('10.0.0.1/32'), identityOf('10.0.0.2/32')], [300, 301])
  assert.equal(log.at(-1), 'changed')
})

test('what no row accounts for goes', async () => {
  const { ipcache, operations, log } = ipcacheOf(10)
  const rows = [row('10.0.0.0/8', 300), row('10.0.0.1/32', 256)]
  await operations.update([...rows, row('10.0.0.2/32', 257)], signal)
  await operations.prune(rows, signal)
  assert.equal(ipcache.count(), 2)
  const changes = log.length
  await operations.prune(rows, signal)
  assert.equal(log.length, changes, 'nothing was there to prune')
})

test('what the map has since before the start is not written again, and what differs is', async () => {
  const { ipcache, operations, log } = ipcacheOf(10)
  await operations.update([row('10.0.0.1/32', 256), row('10.0.0.0/8', 300)], signal)
  const next = ipcacheOperations(ipcache, HOST_FLAG, () => void log.push('changed by the next'))
  log.splice(0)
  assert.equal((await next.update([row('10.0.0.1/32', 256), row('10.0.0.0/8', 300)], signal))?.size ?? 0, 0)
  assert.equal(log.length, 0)
  const third = ipcacheOperations(ipcache, HOST_FLAG, () => void log.push('changed by the third'))
  await third.update([row('10.0.0.1/32', 256), { ...row('10.0.0.0/8', 300), isHost: true }], signal)
  assert.deepEqual(log, ['changed by the third'])
  assert.deepEqual(ipcache.get(ipcacheKey(cidr('10.0.0.0/8'))), { identity: 300, flags: HOST_FLAG })
})

test('a prefix is not taken for the longer one that it begins with', async () => {
  const { ipcache, operations } = ipcacheOf(10)
  await operations.update([row('10.0.0.0/8', 300)], signal)
  await ipcacheOperations(ipcache, HOST_FLAG, () => undefined).update([row('10.0.0.0/24', 300)], signal)
  assert.equal(ipcache.count(), 2)
})

test('later rows are written without reading the map, for somebody may have changed it', async t => {
  const { ipcache, operations, identityOf } = ipcacheOf(10)
  const reading = t.mock.method(ipcache, 'lookupBatch')
  await operations.update([row('10.0.0.1/32', 256)], signal)
  assert.equal(reading.mock.callCount(), 1)
  ipcache.clear()
  await operations.update([row('10.0.0.1/32', 256)], signal)
  assert.equal(identityOf('10.0.0.1/32'), 256)
  assert.equal(reading.mock.callCount(), 1)
})

test('a row that no element can say fails alone', async () => {
  const { endpoints } = new MemoryDatapath(object).maps
  const operations = endpointEntryOperations(endpoints, () => undefined)
  const entry = (address: string, mac = '0a:00:00:00:00:01'): EndpointEntry => ({
    address,
    endpoint: 1,
    ifindex: 7,
    mac,
    identity: 256,
    policy: 1,
    containerId: 'c1',
  })
  const faulty = [entry('10.0.0'), entry('10.0.0.8', 'no mac')]
  const failures = await operations.update([...faulty, entry('fd00::7')], signal)
  assert.deepEqual([...(failures ?? new Map()).keys()], faulty)
  assert.deepEqual(endpoints.lookupBatch(), [
    [
      { bytes: ip('fd00::7').bytes },
      { ifindex: 7, id: 1, identity: 256, policy: 1, mac: mac('0a:00:00:00:00:01'), flags: 0 },
    ],
  ])
})
