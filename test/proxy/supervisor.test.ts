// The supervisor as a process, beside a datapath that this test loads: what it waits for,
// what it makes findable, what it keeps, and how it ends.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { proxySocketIndex } from '../../src/maps/index.ts'
import type { L7RuleSet } from '../../src/policy/index.ts'
import { recordOf } from '../../src/sandbox/process-record.ts'
import { needsRoot } from '../bpf/support.ts'
import { TestProxy, until } from './supervisor-process.ts'

const set = (number: number, method: string): L7RuleSet => ({
  number,
  rules: { parser: 'http', rules: [{ rule: 'r', field: 'f', method, headers: [] }], serverNames: [] },
})

const KEPT: readonly L7RuleSet[] = [
  set(1, 'GET'),
  set(2, 'PUT'),
  { number: 3, rules: { parser: 'dns', rules: [] } },
  { number: 4, rules: { parser: 'kafka', rules: [] } },
]

test('it waits for a datapath, and lets it find a socket for each kind', { skip: needsRoot }, async t => {
  const proxy = new TestProxy(t)
  proxy.start()
  const waiting = await proxy.status(({ ready }) => !ready)
  assert.match(waiting.waitsFor ?? '', /there is no datapath in .*: the agent makes it/)
  await assert.rejects(proxy.client.changeRuleSets({ add: [set(1, 'GET')], remove: [] }), {
    status: 503,
    message: /are kept, and nobody judges by them yet: there is no datapath/,
  })
  using datapath = proxy.load()
  const ready = await proxy.status(status => status.ready)
  assert.deepEqual(
    ready.servers.map(({ name, state }) => [name, state]),
    [
      ['haproxy', 'serving'],
      ['dns', 'idle'],
      ['kafka', 'idle'],
    ],
    'servers run for which there are rule sets',
  )
  for (const { kind, protocol, family } of ready.sockets) {
    const index = proxySocketIndex(datapath.schema, kind as 'HTTP', protocol === 'UDP' ? 'udp' : 'tcp', family)
    assert.ok(datapath.maps.proxy_sockets.get(index), `${kind} ${protocol} IPv${family}`)
  }
  assert.equal(ready.sockets.length, 10)
  assert.equal(ready.ruleSets.sets, 1, 'what came before is kept')
})

test('rule sets outlive it; after SIGTERM and after SIGKILL nothing of it runs', { skip: needsRoot }, async t => {
  const proxy = new TestProxy(t)
  using datapath = proxy.load()
  let generation = ''
  for (const by of ['SIGKILL', 'SIGTERM'] as const) {
    proxy.start()
    const status = await proxy.status(({ ready }) => ready)
    assert.notEqual(status.generation, generation)
    generation = status.generation
    const answer = await proxy.client.changeRuleSets({ add: KEPT, remove: [] })
    assert.deepEqual(answer, { generation, failures: [] })
    const { servers } = await proxy.client.status()
    assert.deepEqual([...new Set(servers.map(({ state }) => state))], ['serving'], 'each has rule sets')
    const pids = [status.pid, ...servers.flatMap(({ pid }) => pid ?? [])]
    assert.equal(pids.length, 4)
    assert.deepEqual(await proxy.end(by), by === 'SIGTERM' ? [0, null] : [null, by])
    await until('its servers to end', () => pids.every(pid => !recordOf(pid)))
    const index = proxySocketIndex(datapath.schema, 'HTTP', 'tcp', 4)
    await until('its sockets to be gone', () => datapath.maps.proxy_sockets.get(index) === undefined)
  }
  proxy.start()
  await proxy.status(({ ready }) => ready)
  assert.deepEqual((await proxy.client.ruleSets()).ruleSets, KEPT)
  await proxy.client.replaceRuleSets([set(2, 'PUT')])
  assert.deepEqual((await proxy.client.ruleSets()).ruleSets, [set(2, 'PUT')])
})

test('another datapath is taken into use', { skip: needsRoot }, async t => {
  const proxy = new TestProxy(t)
  proxy.start()
  {
    using first = proxy.load()
    assert.ok(first.pins)
    await proxy.status(({ ready }) => ready)
  }
  for (const version of fs.readdirSync(proxy.pins)) fs.rmSync(path.join(proxy.pins, version), { recursive: true })
  await proxy.status(({ ready }) => !ready)
  using second = proxy.load()
  await proxy.status(({ ready }) => ready)
  assert.ok(second.maps.proxy_sockets.get(proxySocketIndex(second.schema, 'KAFKA', 'tcp', 6)))
})

test('what it is given is looked at', { skip: needsRoot }, async t => {
  const proxy = new TestProxy(t)
  using datapath = proxy.load()
  assert.ok(datapath.pins)
  proxy.start()
  await proxy.status(({ ready }) => ready)
  const bad = [
    { number: 0, rules: set(1, 'GET').rules },
    { number: 1 },
    { number: 1, rules: { parser: 'smtp', rules: [] } },
  ]
  for (const one of bad)
    await assert.rejects(proxy.client.replaceRuleSets([one as L7RuleSet]), { status: 400, code: 'BAD_REQUEST' })
  assert.deepEqual((await proxy.client.ruleSets()).ruleSets, [])
})
