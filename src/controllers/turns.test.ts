// One change at a time: who waits for his turn, and who only waits until nobody has it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turns } from './turns.ts'

const never = new AbortController().signal

test('one works at a time, also after one that fails', async () => {
  const turns = new Turns()
  const log: string[] = []
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const work = (name: string, gate?: Promise<void>) => async (): Promise<void> => {
    log.push(`${name} begins`)
    await gate
    log.push(`${name} ends`)
  }
  const first = turns.alone(work('first', gates[0]?.promise), never)
  const second = turns.alone(async () => {
    await work('second', gates[1]?.promise)()
    throw new Error('in vain')
  }, never)
  const third = turns.alone(work('third'), never)
  const look = async (): Promise<void> => {
    while (turns.isTaken) await turns.whenFree(never)
    log.push('free')
  }
  const looking = look()
  gates[0]?.resolve()
  await first
  gates[1]?.resolve()
  await assert.rejects(second, /in vain/)
  await Promise.all([third, looking])
  const order = log.filter(line => line !== 'free')
  assert.deepEqual(order, ['first begins', 'first ends', 'second begins', 'second ends', 'third begins', 'third ends'])
  const free = log.indexOf('free')
  assert.ok(free < 0 || !(log[free - 1] ?? '').endsWith('begins'), 'free means that nobody works')
})

test('who gives up does not hold up the others', async () => {
  const turns = new Turns()
  const gate = Promise.withResolvers<void>()
  const first = turns.alone(() => gate.promise, never)
  const stop = new AbortController()
  const second = turns.alone(() => assert.fail('it has given up'), stop.signal)
  stop.abort()
  await assert.rejects(second, { name: 'WaitError' })
  gate.resolve()
  await first
  assert.equal(turns.isTaken, false)
})
