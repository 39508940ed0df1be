// What an agent leaves for the DNS server, and what it takes over from one before it.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { datapathName, NameHandover } from '../api/index.ts'
import type { OutsideIdentity } from '../dns/index.ts'
import type { Datapath } from '../maps/index.ts'
import { FolderLock } from '../sys/folder-lock.ts'
import { standInForNames } from './name-stand-in.ts'

const IPCACHE = 7
const identity = (number: number, base = 9): OutsideIdentity => ({ number, base, selectors: ['*.example'] })

function place(t: TestContext) {
  const folder = fs.mkdtempSync(path.join(tmpdir(), 'axo-stand-in-'))
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }))
  const socket = path.join(folder, 'agent.sock')
  const datapath = { pins: { path: folder }, maps: { ipcache: { id: IPCACHE } } } as unknown as Datapath
  const configuration = { socket, podCidrs: ['10.244.0.0/16'], nodeAddresses: ['172.30.0.2'] }
  const start = () => standInForNames({ configuration, datapath })
  const handover = new NameHandover(socket)
  return { folder, handover, start, said: () => handover.identities()?.identities.map(({ number }) => number) }
}

test('identities are gone from the file before, and there after', async t => {
  const { start, said, handover } = place(t)
  using first = await start()
  assert.equal(said(), undefined)
  first.audience.restrict([identity(1), identity(2)])
  assert.equal(said(), undefined, 'what is new is not in force yet')
  first.audience.publish([identity(1), identity(2)])
  assert.deepEqual(said(), [1, 2])
  assert.deepEqual(handover.identities()?.own, ['10.244.0.0/16', '172.30.0.2/32'])
  first.audience.restrict([identity(1), identity(2, 10), identity(3)])
  assert.deepEqual(said(), [1], 'nor is one whose place has another identity')
})

test('what an agent before has said holds until the next one changes it, but of this datapath alone', async t => {
  const { start, said, handover } = place(t)
  for (const [datapath, left] of [
    [datapathName(IPCACHE), [1]],
    ['of another boot 7', []],
  ] as const) {
    handover.writeIdentities({ datapath, own: [], identities: [identity(1), identity(2)] })
    using next = await start()
    next.audience.restrict([identity(1)])
    next.audience.publish(left.map(number => identity(number)))
    assert.deepEqual(said() ?? [], left.length > 0 ? left : [1, 2])
    if (left.length === 0) assert.equal(handover.identities()?.datapath, datapath, 'which nobody reads')
  }
})

test('one who writes now is waited for; while an agent lives nobody else has the lock', async t => {
  const { start, folder } = place(t)
  using lock = new FolderLock(folder)
  assert.ok(lock.take())
  const starting = start()
  setTimeout(() => lock.release(), 30)
  {
    using agent = await starting
    assert.deepEqual([agent.taught, lock.take()], [[], false])
  }
  assert.equal(lock.take(), true)
})
