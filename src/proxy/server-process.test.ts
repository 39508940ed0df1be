// A server's life under the supervisor, with processes that do as they are told: started
// again with everything, told only of its own, ended when it does not obey.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { L7RuleSet } from '../policy/index.ts'
import type { RuleSetChange } from './child.ts'
import { type Launcher, ServerProcess } from './server-process.ts'

const set = (number: number, parser: 'dns' | 'tls' = 'dns'): L7RuleSet => ({ number, rules: { parser, rules: [] } })
const numbers = (sets: readonly L7RuleSet[]) => sets.map(({ number }) => number)

/** @param script what each process does, in a shell */
function start(
  script = 'exec sleep 60',
  apply: (change: RuleSetChange) => void = () => undefined,
  serving: () => Promise<readonly []> = () => Promise.resolve([]),
) {
  const stored: L7RuleSet[] = []
  const heard: string[] = []
  const launcher: Launcher = {
    name: 'test',
    parsers: ['dns'],
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
      }
    },
  }
  const stop = new AbortController()
  const server = new ServerProcess({
    launcher,
    ruleSets: () => stored,
    log: { info: () => undefined, error: () => undefined },
  })
  const running = server.run(stop.signal)
  return {
    server,
    heard,
    change(add: readonly L7RuleSet[], remove: readonly number[] = []) {
      stored.push(...add)
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
  assert.deepEqual(one.heard, ['start ', '+1,101 -', '+ -101'])
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
  assert.deepEqual(one.heard, ['start ', '+1 -', 'start 1'])
})

test('its last words say why it ended', async () => {
  await using one = start('echo first >&2; echo no such file >&2; exit 3')
  while (one.server.status.restarts < 2) await sleep(5)
  assert.equal(one.server.status.lastEnd, 'exit code 3: no such file')
})

test('one that does not take rule sets is ended and started with them', async () => {
  await using one = start('exec sleep 60', ({ add }) => {
    if (numbers(add).includes(7)) throw new Error('the pipe is full')
  })
  await one.change([set(7)])
  assert.equal(one.server.status.lastEnd, 'the pipe is full (killed by SIGTERM)')
  assert.deepEqual(one.heard, ['start ', '+7 -', 'start 7'])
})

test('who waits for it does not wait longer than he wants', async () => {
  await using one = start('exit 1')
  one.server.tell({ whole: false, add: [set(1)], remove: [] })
  await assert.rejects(one.server.upToDate(AbortSignal.abort(new Error('enough'))), /enough/)
})

test('one that does not serve yet lets a bounded number of changes wait, and is started again with everything', async () => {
  const { promise, resolve } = Promise.withResolvers<readonly []>()
  await using one = start(
    'exec sleep 60',
    () => undefined,
    () => promise,
  )
  const sets = Array.from({ length: 3000 }, (_, index) => set(index))
  const changes = sets.map(each => one.change([each]))
  assert.deepEqual([one.server.status.upToDate, one.server.status.changesDropped], [false, 3000])
  resolve([])
  await Promise.all(changes)
  assert.deepEqual(one.heard, ['start ', `start ${numbers(sets).join()}`])
  assert.match(one.server.status.lastEnd ?? '', /^more than 1000 changes waited/)
})
