// A server's life under the supervisor, with processes that do as they are told: started
// again with everything, told only of its own, ended when it does not obey.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { getEventListeners } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openTransparentSocket } from '../net/index.ts'
import type { L7RuleSet } from '../policy/index.ts'
import type { RuleSetChange } from './child.ts'
import type { Use } from './need.ts'
import { type Launcher, ServerProcess } from './server-process.ts'

const needsRoot = process.getuid?.() === 0 ? false : 'needs root'
const isSo = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await sleep(5)
}
const set = (number: number, parser: 'dns' | 'tls' = 'dns'): L7RuleSet => ({ number, rules: { parser, rules: [] } })
const numbers = (sets: readonly L7RuleSet[]) => sets.map(({ number }) => number)

type Needs = {
  readonly stored: L7RuleSet[]
  readonly sockets: readonly number[]
  readonly use: Use
  readonly unneededMs: number
}

/** @param script what each process does, in a shell */
function start(
  script = 'exec sleep 60',
  apply: (change: RuleSetChange) => void = () => undefined,
  serving: () => Promise<readonly []> = () => Promise.resolve([]),
  { stored = [set(0)], sockets = [], use = { open: 0, ever: 0 }, unneededMs = 600_000 }: Partial<Needs> = {},
) {
  const heard: string[] = []
  const launcher: Launcher = {
    name: 'test',
    parsers: ['dns'],
    sockets,
    async launch(ruleSets) {
      heard.push(`start ${numbers(ruleSets).join()}`)
      return {
        process: spawn('sh', ['-c', script], { stdio: ['ignore', 'ignore', 'pipe'] }),
        serving: serving(),
        async apply(change) {
          heard.push(`+${numbers(change.add).join()} -${change.remove.join()}`)
          apply(change)
          return change.add.filter(({ number }) => number > 100).map(({ number }) => ({ number, error: 'too large' }))
        },
        counts: () => ({}),
        use: async () => use,
      }
    },
  }
  const stop = new AbortController()
  const server = new ServerProcess({
    launcher,
    ruleSets: () => stored,
    unneededMs,
    log: { info: () => undefined, error: () => undefined },
  })
  const running = server.run(stop.signal)
  return {
    server,
    heard,
    change(add: readonly L7RuleSet[], remove: readonly number[] = []) {
      const left = stored.filter(({ number }) => !remove.includes(number))
      stored.splice(0, stored.length, ...left, ...add)
      server.tell({ whole: false, add, remove })
      return server.upToDate(AbortSignal.timeout(10_000))
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      await running
    },
  }
}

test('it is told of its own rule sets, and says which it cannot judge by', async () => {
  await using one = start()
  await one.change([set(1), set(2, 'tls'), set(101)])
  await one.change([set(3, 'tls')])
  await one.change([], [101])
  assert.deepEqual(one.heard, ['start 0', '+1,101 -', '+ -101'])
  assert.deepEqual(one.server.failures, [])
  assert.equal(one.server.status.state, 'serving')
})

test('one that died is started again with all that there is', async () => {
  await using one = start()
  await one.change([set(1)])
  const { pid } = one.server.status
  assert.ok(pid)
  process.kill(pid, 'SIGKILL')
  while (one.server.status.restarts === 0 || !one.server.status.upToDate) await sleep(5)
  assert.equal(one.server.status.lastEnd, 'killed by SIGKILL')
  assert.deepEqual(one.heard, ['start 0', '+1 -', 'start 0,1'])
})

test('its last words say why it ended', async () => {
  await using one = start('echo first >&2; echo no such file >&2; exit 3')
  while (one.server.status.restarts < 2) await sleep(5)
  assert.equal(one.server.status.lastEnd, 'exit code 3: first; no such file')
})

test('one that does not start judges by nothing, and says why; one that starts again does', async () => {
  let isBroken = true
  await using one = start('exec sleep 60', undefined, async () => {
    if (isBroken) throw new Error('no key')
    return []
  })
  await isSo(() => one.server.failures.length > 0)
  assert.deepEqual(one.server.failures, [{ number: 0, error: 'test does not start: no key (killed by SIGTERM)' }])
  isBroken = false
  await one.server.upToDate(AbortSignal.timeout(10_000))
  assert.deepEqual(one.server.failures, [])
})

test('one that does not take rule sets is ended and started with them', async () => {
  await using one = start('exec sleep 60', ({ add }) => {
    if (numbers(add).includes(7)) throw new Error('the pipe is full')
  })
  await one.change([set(7)])
  assert.equal(one.server.status.lastEnd, 'the pipe is full (killed by SIGTERM)')
  assert.deepEqual(one.heard, ['start 0', '+7 -', 'start 0,7'])
})

test('who waits for it does not wait longer than he wants', async () => {
  await using one = start('exit 1')
  one.server.tell({ whole: false, add: [set(1)], remove: [] })
  await assert.rejects(one.server.upToDate(AbortSignal.abort(new Error('enough'))), /enough/)
})

test('who waited leaves nothing at a signal that others keep', async () => {
  await using one = start()
  const { signal } = new AbortController()
  const change = one.change([set(1)])
  await one.server.upToDate(signal)
  await change
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})

test('one that does not serve yet lets a bounded number of changes wait, and is started again with everything', async () => {
  const { promise, resolve } = Promise.withResolvers<readonly []>()
  await using one = start(
    'exec sleep 60',
    () => undefined,
    () => promise,
  )
  const sets = Array.from({ length: 3000 }, (_, index) => set(1 + index))
  const changes = sets.map(each => one.change([each]))
  assert.deepEqual([one.server.status.upToDate, one.server.status.changesDropped], [false, 3000])
  resolve([])
  await Promise.all(changes)
  assert.deepEqual(one.heard, ['start 0', `start 0,${numbers(sets).join()}`])
  assert.match(one.server.status.lastEnd ?? '', /^more than 1000 changes waited/)
})

test('it runs only while there is something for it to judge by', async () => {
  await using one = start('exec sleep 60', undefined, undefined, { stored: [], unneededMs: 40 })
  assert.deepEqual([one.server.status.state, one.server.status.upToDate], ['idle', true])
  await one.change([set(1, 'tls')])
  await one.change([], [1])
  await sleep(20)
  assert.deepEqual([one.server.status.state, one.heard], ['idle', []])
  await one.change([set(2)])
  assert.deepEqual([one.server.status.state, one.heard], ['serving', ['start 2']])
  await sleep(100)
  assert.equal(one.server.status.state, 'serving')
  await one.change([], [2])
  await isSo(() => one.server.status.state === 'idle' && one.server.status.pid === undefined)
  await one.change([set(3)])
  assert.deepEqual([one.heard, one.server.status.restarts], [['start 2', '+ -2', 'start 3'], 0])
})

test('what is open keeps it, also without rules', async () => {
  const use = { open: 1, ever: 1 }
  await using one = start('exec sleep 60', undefined, undefined, { stored: [], unneededMs: 40, use })
  await one.change([set(1)])
  await one.change([], [1])
  await sleep(100)
  assert.equal(one.server.status.state, 'serving')
  use.open = 0
  await isSo(() => one.server.status.state === 'idle')
})

test('a connection that waits starts it, without rules', { skip: needsRoot }, async () => {
  using socket = openTransparentSocket(4, 'TCP')
  await using one = start('exec sleep 60', undefined, undefined, { stored: [], sockets: [socket.fd] })
  assert.equal(one.server.status.state, 'idle')
  const client = net.connect(socket.port, '127.0.0.1')
  await isSo(() => one.server.status.state === 'serving')
  client.destroy()
  assert.deepEqual(one.heard, ['start '])
})
