// What agent and DNS server leave for each other survives both, and stays within bounds.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import type { TaughtName } from '../dns/index.ts'
import { NameHandover } from './name-handover.ts'

function place(t: TestContext): string {
  const folder = fs.mkdtempSync(path.join(tmpdir(), 'axo-handover-'))
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }))
  return path.join(folder, 'agent.sock')
}

const taught = (name: string, timeMicros = 0): TaughtName => ({
  name,
  addresses: [{ address: '192.0.2.1', ttlSeconds: 30 }],
  client: '10.0.0.1',
  server: '10.0.0.2',
  timeMicros,
})

test('identities are read anew when they are others, and those that cannot be read are none', t => {
  const socket = place(t)
  const [agent, server] = [new NameHandover(socket), new NameHandover(socket)]
  assert.equal(server.identities(), undefined)
  for (const number of [1, 2]) {
    const said = { datapath: 'a 1', own: [], identities: [{ number, base: 9, selectors: ['a'] }] }
    agent.writeIdentities(said)
    assert.deepEqual(server.identities(), said)
    assert.equal(server.identities(), server.identities(), 'read once')
  }
  fs.writeFileSync(`${socket}.identities`, '{"datapath"')
  assert.equal(server.identities(), undefined)
})

test('what was taught is there for the next agent, but for a line that was cut short', t => {
  const socket = place(t)
  const handover = new NameHandover(socket)
  assert.deepEqual(handover.taught(), [])
  handover.addTaught(taught('a.'))
  fs.appendFileSync(`${socket}.taught`, '{"name":"cut')
  handover.addTaught(taught('b.'))
  assert.deepEqual(new NameHandover(socket).taught(), [taught('a.'), taught('b.')])
  handover.forgetTaught()
  assert.deepEqual(handover.taught(), [])
})

test('answers that say the same take the place of each other; beyond the bound there is no room', t => {
  const handover = new NameHandover(place(t), 1_000)
  for (let time = 0; time < 50; time++) assert.ok(handover.addTaught(taught('a.', time)))
  assert.equal(handover.taught().at(-1)?.timeMicros, 49)
  const outcomes = Array.from({ length: 20 }, (_, i) => handover.addTaught(taught(`name${i}.`)))
  assert.equal(outcomes.at(-1), false)
  assert.ok(handover.taught().length < 10)
})
