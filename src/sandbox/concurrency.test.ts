// Locks, places in line, pauses and process records: what keeps concurrent work in order.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { Backoff, pause } from './backoff.ts'
import { withLock } from './lock.ts'
import { isAlive, recordOf } from './process-record.ts'
import { Semaphore } from './semaphore.ts'

test('a lock has one holder, leaves no file, and serves everybody who waits', async () => {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-lock-')), 'sandbox.lock')
  let holders = 0
  let served = 0
  const hold = () =>
    withLock(file, { timeoutMs: 60_000 }, async () => {
      assert.equal(++holders, 1)
      await setImmediate()
      holders--
      served++
    })
  await Promise.all([hold(), hold(), hold(), hold()])
  assert.equal(served, 4)
  assert.ok(!fs.existsSync(path.dirname(file)), 'the empty folder is gone too')
})

test('a lock that stays held is an error, and one whose holder fails is free', async () => {
  const file = path.join(os.tmpdir(), `axoneme-lock-${process.pid}/sandbox.lock`)
  await assert.rejects(
    withLock(file, { timeoutMs: 0 }, async () => {
      let waited = false
      const second = withLock(file, { timeoutMs: 0, onWait: () => (waited = true) }, async () => {})
      await assert.rejects(second, { code: 'busy' })
      assert.ok(waited)
      throw new Error('the holder fails')
    }),
    /the holder fails/,
  )
  assert.equal(await withLock(file, { timeoutMs: 0 }, async () => 'free'), 'free')
})

test('a semaphore lets so many in, in order, and forgets who gave up', async () => {
  const semaphore = new Semaphore(2)
  const [first] = await Promise.all([semaphore.acquire(), semaphore.acquire()])
  const order: string[] = []
  const impatient = new AbortController()
  const gaveUp = assert.rejects(semaphore.acquire(impatient.signal), { name: 'AbortError' })
  const third = semaphore.acquire().then(() => order.push('third'))
  const fourth = semaphore.acquire().then(() => order.push('fourth'))
  impatient.abort()
  await gaveUp
  first()
  first()
  await third
  await setImmediate()
  assert.deepEqual(order, ['third'], 'a place given back twice counts once')
  void fourth
})

test('pauses double up to a limit, and end early when aborted', async () => {
  const backoff = new Backoff({ firstMs: 10, maxMs: 50 })
  assert.deepEqual([backoff.fail(), backoff.fail(), backoff.fail(), backoff.fail()], [10, 20, 40, 50])
  const stop = new AbortController()
  const paused = pause(2 ** 30, stop.signal)
  stop.abort()
  assert.equal(await paused, false)
  assert.equal(await pause(0, new AbortController().signal), true)
})

test('a record means one process and no later one of the same number', async () => {
  const own = recordOf(process.pid)
  assert.ok(own && isAlive(own))
  assert.ok(!isAlive({ ...own, startTicks: own.startTicks - 1 }))
  assert.ok(!isAlive({ ...own, bootId: 'another boot' }))
  const child = spawn('sleep', ['60'])
  const record = recordOf(child.pid ?? 0)
  assert.ok(record && isAlive(record))
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.ok(!isAlive(record))
})
