// What the DNS server writes while no agent is there, and what it leaves alone.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { OutsideIdentities, TaughtName } from '../../dns/index.ts'
import { cidr, ip } from '../../ip/index.ts'
import { ipcacheKey, ipcacheQuestion, MemoryDatapath } from '../../maps/index.ts'
import { noCounts } from './counts.ts'
import { StandIn } from './stand-in.ts'

const WORLD = 9
const BLOCK = 16777216
const NAMED = 16777217
const BOTH = 16777218
const NAMED_IN_BLOCK = 16777219
const POD = 300

const IDENTITIES: OutsideIdentities = {
  datapath: 'this one',
  own: ['10.244.0.0/16'],
  identities: [
    { number: NAMED, base: WORLD, selectors: ['*.example'] },
    { number: BOTH, base: WORLD, selectors: ['*.example', '*.other'] },
    { number: NAMED_IN_BLOCK, base: BLOCK, selectors: ['*.example'] },
  ],
}

function started({ identities = IDENTITIES, hasLock = true, hasRoom = true } = {}) {
  const { maps } = new MemoryDatapath(readFileSync(new URL('../../../build/pod.o', import.meta.url)))
  for (const [prefix, identity, flags] of [
    ['0.0.0.0/0', WORLD, 0],
    ['198.51.100.0/24', BLOCK, 0],
    ['203.0.113.0/24', BLOCK + 100, 0],
    ['192.0.2.50/32', POD, 0],
    ['192.0.2.60/32', WORLD, 1],
  ] as const)
    maps.ipcache.set(ipcacheKey(cidr(prefix)), { identity, flags })
  const written: TaughtName[] = []
  const counts = noCounts()
  const standIn = new StandIn({
    handover: { identities: () => identities, addTaught: taught => hasRoom && written.push(taught) > 0 },
    lock: { take: () => hasLock, release: () => undefined },
    ipcache: maps.ipcache,
    runtime: maps.runtime,
    datapath: 'this one',
    counts,
  })
  const teach = (name: string, ...addresses: string[]) =>
    standIn.teach({
      name,
      addresses: addresses.map(address => ({ address, ttlSeconds: 30 })),
      client: '10.244.0.2',
      server: '10.96.0.10',
      timeMicros: 0,
    })
  const identityOf = (address: string) => maps.ipcache.get(ipcacheQuestion(ip(address)))?.identity
  const revision = () => maps.runtime.get(0)?.revision ?? 0
  return { teach, identityOf, revision, written, counts }
}

test('an address gets the identity of its selectors, is written down, and connections are judged again', () => {
  const { teach, identityOf, revision, written, counts } = started()
  assert.equal(teach('A.example.', '192.0.2.1'), 'in force')
  assert.deepEqual([identityOf('192.0.2.1'), revision(), counts.standIn], [NAMED, 1, 1])
  assert.deepEqual(written[0]?.addresses, [{ address: '192.0.2.1', ttlSeconds: 30 }])
  assert.equal(teach('b.example.', '192.0.2.1'), 'in force')
  assert.deepEqual([revision(), written.length], [1, 2], 'what it has already is only written down')
})

test('what an address has already is kept beside what is new', () => {
  const { teach, identityOf } = started()
  teach('a.example.', '192.0.2.1')
  assert.equal(teach('a.other.', '192.0.2.1'), 'in force')
  assert.equal(identityOf('192.0.2.1'), BOTH)
})

test('a prefix that a policy names counts, and where nobody said what comes of it nothing is written', () => {
  const { teach, identityOf, written } = started()
  assert.equal(teach('a.example.', '198.51.100.7', '203.0.113.7'), 'not mine')
  assert.deepEqual([identityOf('198.51.100.7'), identityOf('203.0.113.7')], [NAMED_IN_BLOCK, BLOCK + 100])
  assert.equal(written[0]?.addresses.length, 1)
  assert.equal(teach('b.other.', '192.0.2.2'), 'not mine')
  assert.equal(identityOf('192.0.2.2'), WORLD)
})

test('pods, the node and special addresses stay who they are', () => {
  const { teach, identityOf, written } = started()
  teach('a.example.', '10.244.3.4', '127.0.0.1', '192.0.2.50', '192.0.2.60')
  assert.deepEqual(['10.244.3.4', '192.0.2.50', '192.0.2.60'].map(identityOf), [WORLD, POD, WORLD])
  assert.deepEqual(written, [])
})

test('nothing is written beside an agent, of another datapath, without room, or for names that nobody means', () => {
  for (const [given, outcome] of [
    [{ hasLock: false }, 'agent there'],
    [{ identities: { ...IDENTITIES, datapath: 'another' } }, 'not mine'],
    [{ hasRoom: false }, 'not mine'],
  ] as const) {
    const { teach, identityOf } = started(given)
    assert.equal(teach('a.example.', '192.0.2.1'), outcome)
    assert.equal(identityOf('192.0.2.1'), WORLD)
  }
  const { teach, written } = started()
  assert.equal(teach('a.free.', '192.0.2.1'), 'not mine')
  assert.deepEqual(written, [])
})
