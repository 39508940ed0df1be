// When those who asked hear of an answer, and what the agent is told of it.

import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ApiError } from '../../api/index.ts'
import type { NamesAnswer, TaughtName, TaughtNames } from '../../dns/index.ts'
import { noCounts } from './counts.ts'
import { Teacher, type TeacherOptions } from './teacher.ts'

const SELECTORS: NamesAnswer = { selectorsRevision: 'r1', selectors: ['*.held.example'] }
/** Longer than any test takes. */
const LONG_MS = 60_000

const taught = (name: string, ...addresses: string[]): TaughtName => ({
  name,
  addresses: addresses.map(address => ({ address, ttlSeconds: 60 })),
  client: '10.0.0.1',
  server: '10.0.0.2',
  timeMicros: Math.round((performance.timeOrigin + performance.now()) * 1000),
})

/** A teacher of an agent that this test plays: requests wait until it answers. */
function start(t: TestContext, waitMs = LONG_MS, standIn?: TeacherOptions['standIn']) {
  const counts = noCounts()
  const asked: { names: TaughtNames; answer: (answer: NamesAnswer) => void; fail: (error: Error) => void }[] = []
  const wanted: (() => void)[] = []
  const teacher = new Teacher({
    waitMs,
    counts,
    standIn,
    tell: names => {
      const { promise, resolve, reject } = Promise.withResolvers<NamesAnswer>()
      asked.push({ names, answer: resolve, fail: reject })
      wanted.shift()?.()
      return promise
    },
  })
  t.after(() => teacher[Symbol.dispose]())
  const next = async () => {
    while (asked.length === 0) await new Promise<void>(resolve => wanted.push(resolve))
    const request = asked.shift()
    assert.ok(request)
    return request
  }
  /** The next request that names somebody; others are answered. */
  const nextNames = async () => {
    for (;;) {
      const request = await next()
      if (request.names.names.length > 0) return request
      request.answer(SELECTORS)
    }
  }
  const passed: string[] = []
  const teach = (name: string, ...addresses: string[]): void =>
    teacher.teach(taught(name, ...addresses), () => passed.push(name))
  return { counts, next, nextNames, teach, passed }
}

const soon = () => sleep(20)

describe('teaching', () => {
  it('holds an answer back until the agent has it in force, and not again while it has', async t => {
    const { counts, next, nextNames, teach, passed } = start(t)
    ;(await next()).answer(SELECTORS)
    await soon()
    teach('a.held.example.', '192.0.2.1')
    const { names, answer } = await nextNames()
    assert.deepEqual(names.names[0]?.addresses, [{ address: '192.0.2.1', ttlSeconds: 60 }])
    assert.equal(names.selectorsRevision, 'r1')
    await soon()
    assert.deepEqual(passed, [])
    answer(SELECTORS)
    await soon()
    assert.deepEqual(passed, ['a.held.example.'])
    teach('a.held.example.', '192.0.2.1')
    assert.equal(passed.length, 2, 'known')
    teach('a.held.example.', '192.0.2.1', '192.0.2.2')
    assert.equal(passed.length, 2, 'one address is news')
    ;(await nextNames()).answer(SELECTORS)
    await soon()
    assert.deepEqual([passed.length, counts.held, counts.heldInVain], [3, 2, 0])
  })

  it('tells of names that no selector means afterwards, together', async t => {
    const { next, nextNames, teach, passed } = start(t)
    ;(await next()).answer(SELECTORS)
    await soon()
    teach('b.example.', '192.0.2.1')
    teach('c.example.', '192.0.2.1')
    assert.deepEqual(passed, ['b.example.', 'c.example.'])
    const { names } = await nextNames()
    assert.deepEqual(
      names.names.map(({ name }) => name),
      ['b.example.', 'c.example.'],
    )
  })

  it('holds everything back as long as it does not know selectors', async t => {
    const { next, nextNames, teach, passed } = start(t)
    const first = await next()
    teach('b.example.', '192.0.2.1')
    assert.deepEqual(passed, [])
    first.answer(SELECTORS)
    ;(await nextNames()).answer(SELECTORS)
    await soon()
    assert.deepEqual(passed, ['b.example.'])
  })

  it('takes up new selectors, and keeps those that it has where it is told none', async t => {
    const { next, nextNames, teach, passed } = start(t)
    ;(await next()).answer({ selectorsRevision: 'r1', selectors: ['b.example'] })
    await soon()
    teach('b.example.', '192.0.2.1')
    ;(await nextNames()).answer({ selectorsRevision: 'r1' })
    await soon()
    teach('b.example.', '192.0.2.2')
    assert.deepEqual(passed, ['b.example.'], 'held again')
    ;(await nextNames()).answer({ selectorsRevision: 'r2', selectors: [] })
    await soon()
    teach('b.example.', '192.0.2.3')
    assert.equal(passed.length, 3)
  })

  it('passes an answer on when the agent takes too long, and tells it all the same', async t => {
    const { counts, next, nextNames, teach, passed } = start(t, 50)
    ;(await next()).answer(SELECTORS)
    await soon()
    teach('a.held.example.', '192.0.2.1')
    const { fail } = await nextNames()
    await sleep(100)
    assert.deepEqual([passed, counts.held, counts.heldInVain], [['a.held.example.'], 1, 1])
    fail(new Error('away'))
    assert.equal((await nextNames()).names.names[0]?.name, 'a.held.example.')
    assert.equal(passed.length, 1, 'once')
  })

  it('tells an agent that comes back what it has missed', async t => {
    const { next, nextNames, teach, passed } = start(t)
    ;(await next()).answer(SELECTORS)
    await soon()
    teach('a.held.example.', '192.0.2.1')
    ;(await nextNames()).fail(new Error('away'))
    teach('a.held.example.', '192.0.2.2')
    const { names, answer } = await nextNames()
    assert.deepEqual(names.names[0]?.addresses.map(({ address }) => address).sort(), ['192.0.2.1', '192.0.2.2'])
    answer(SELECTORS)
    await soon()
    assert.deepEqual(passed, ['a.held.example.', 'a.held.example.'])
  })

  it('has an answer put in force by the stand-in while the agent is away, and only then', async t => {
    const alone: string[] = []
    const teachAlone = ({ name }: TaughtName) => {
      alone.push(name)
      return name.startsWith('b.') ? 'not mine' : 'in force'
    }
    const { counts, next, nextNames, teach, passed } = start(t, LONG_MS, { teach: teachAlone })
    ;(await next()).answer(SELECTORS)
    await soon()
    teach('a.held.example.', '192.0.2.1')
    assert.deepEqual(alone, [])
    ;(await nextNames()).fail(new Error('away'))
    await soon()
    assert.deepEqual(passed, ['a.held.example.'], 'who waited already')
    teach('c.held.example.', '192.0.2.3')
    teach('c.held.example.', '192.0.2.3')
    teach('b.held.example.', '192.0.2.2')
    assert.deepEqual(passed, ['a.held.example.', 'c.held.example.', 'c.held.example.'])
    assert.deepEqual(alone, ['a.held.example.', 'c.held.example.', 'b.held.example.'], 'each once')
    const { names, answer } = await nextNames()
    assert.deepEqual(
      names.names.map(({ name }) => name),
      ['b.held.example.'],
      'what is left for the agent',
    )
    answer(SELECTORS)
    await soon()
    assert.deepEqual([passed.length, counts.heldInVain], [4, 0])
  })

  it('gives up what the agent refuses', async t => {
    const { counts, next, nextNames, teach, passed } = start(t)
    ;(await next()).answer(SELECTORS)
    await soon()
    teach('a.held.example.', '192.0.2.1')
    ;(await nextNames()).fail(new ApiError(400, 'BAD', 'no'))
    await soon()
    assert.deepEqual([passed, counts.untaught], [['a.held.example.'], 1])
  })

  it('holds nothing back where there is nobody to tell', () => {
    using teacher = new Teacher({ waitMs: LONG_MS, counts: noCounts(), tell: undefined })
    let isPassed = false
    teacher.teach(taught('a.held.example.', '192.0.2.1'), () => {
      isPassed = true
    })
    assert.ok(isPassed)
  })
})
