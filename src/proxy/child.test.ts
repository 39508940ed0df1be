// The child's half of the contract, with this test as the supervisor.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { FromChild, ToChild } from './child.ts'
import { linesOf } from './lines.ts'

const PROGRAM = fileURLToPath(new URL('testing/child-program.ts', import.meta.url))

function start(t: TestContext) {
  const child = spawn(process.execPath, [PROGRAM], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  const [, , , control, events] = child.stdio
  assert.ok(control instanceof net.Socket && events instanceof net.Socket)
  const answers = linesOf(control)
  return {
    child,
    control,
    events: linesOf(events),
    send: (message: ToChild) => control.write(`${JSON.stringify(message)}\n`),
    next: async () => JSON.parse((await answers.next()).value ?? '') as FromChild,
  }
}

test('a child serves, applies rule sets, tells events, and ends with its supervisor', async t => {
  const { child, control, events, send, next } = start(t)
  send({ type: 'start', start: { bpf: '/bpf', state: '/state' } })
  assert.deepEqual(await next(), { type: 'ready' })
  const rules = { parser: 'dns', rules: [] } as const
  const change = { whole: true, add: [1, 2].map(number => ({ number, rules })), remove: [] }
  send({ type: 'rule-sets', revision: 7, change })
  assert.deepEqual(await next(), { type: 'applied', revision: 7, failures: [{ number: 2, error: 'not by 2' }] })
  const event = JSON.parse((await events.next()).value ?? '') as { reason?: string }
  assert.equal(event.reason, 'of /bpf: 1, 2')
  control.destroy()
  assert.deepEqual(await once(child, 'exit'), [0, null])
})

test('a child that fails to serve ends with an error', async t => {
  const { child, send } = start(t)
  send({ type: 'start', start: { bpf: 'broken', state: '/state' } })
  assert.deepEqual(await once(child, 'exit'), [1, null])
})

test('a child whose events find no room tells how many were lost when there is room again, without a further event', async t => {
  const { events, send, next } = start(t)
  send({ type: 'start', start: { bpf: '/bpf', state: '/state' } })
  await next()
  const emitted = 200
  const remove = Array.from({ length: emitted }, () => 1)
  // The answer comes when all are emitted; nobody has read any of them by then.
  send({ type: 'rule-sets', revision: 1, change: { whole: false, add: [], remove } })
  assert.deepEqual(await next(), { type: 'applied', revision: 1, failures: [] })
  let read = 0
  for await (const line of events) {
    const { missed } = JSON.parse(line) as { missed?: number }
    if (missed === undefined) read++
    else {
      // The event of the change itself is one more.
      assert.equal(read + missed, emitted + 1)
      return
    }
  }
  assert.fail('no loss was told')
})
