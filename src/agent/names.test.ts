// What the DNS server of a node is told: errors that say what is wrong, and selectors as
// soon as they are others.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NameController, volatileMemory } from '../controllers/index.ts'
import { ReferenceCounts } from '../policy/index.ts'
import { ManualClock, WaitError, Waiters } from '../state/index.ts'
import { createTables } from '../tables/index.ts'
import { Names } from './names.ts'

const never = new AbortController().signal

function started(learn: () => Promise<void> = async () => undefined) {
  const references = new ReferenceCounts()
  const waiters = new Waiters()
  const policies = {
    references,
    whenReferencesChange: (revision: number, signal: AbortSignal) => {
      const holds = () => references.revision !== revision
      return waiters.wait({ what: 'a change', holds, obstacle: () => undefined }, signal)
    },
  }
  const select = (text: string): void => {
    references.nameSelectors.add(text)
    references.revision++
    waiters.release()
  }
  const tables = createTables()
  const clock = new ManualClock()
  return { names: new Names({ tables, controller: { learn }, policies, clock }), select, tables, clock }
}

const taught = {
  name: 'a.example.',
  addresses: [{ address: '192.0.2.1', ttlSeconds: 30 }],
  client: '10.244.0.2',
  server: '10.96.0.10',
  timeMicros: 0,
}

test('whoever knows other selectors is told them', async () => {
  const { names, select } = started()
  const first = await names.teach({ names: [] }, never)
  assert.deepEqual(first.selectors, [])
  select('*.example')
  const second = await names.teach({ names: [taught], selectorsRevision: first.selectorsRevision }, never)
  assert.deepEqual(second.selectors, ['*.example'])
  const third = await names.teach({ names: [taught], selectorsRevision: second.selectorsRevision }, never)
  assert.deepEqual(third, { selectorsRevision: second.selectorsRevision })
})

test('whoever asks for selectors alone hears of new ones at once', async () => {
  const { names, select } = started()
  const { selectorsRevision } = await names.teach({ names: [] }, never)
  const asked = names.teach({ names: [], selectorsRevision }, never)
  select('a.example')
  assert.deepEqual((await asked).selectors, ['a.example'])
  const gone = AbortSignal.abort()
  const { selectorsRevision: now } = await names.teach({ names: [] }, never)
  assert.deepEqual(await names.teach({ names: [], selectorsRevision: now }, gone), { selectorsRevision: now })
})

test('what is not in force is no success', async () => {
  const { names } = started(() =>
    Promise.reject(new WaitError('192.0.2.1/32', 'aborted', new Error('the map is full'))),
  )
  await assert.rejects(names.teach({ names: [taught] }, never), {
    code: 'NOT_IN_FORCE',
    status: 503,
    message: /^the addresses of a\.example\. are not in force: .*the map is full/,
  })
  const { names: broken } = started(() => Promise.reject(new Error('no number is left')))
  await assert.rejects(broken.teach({ names: [taught] }, never), { code: 'NOT_LEARNT' })
})

test('a request that is none is refused with its place', async () => {
  const { names } = started()
  await assert.rejects(names.teach({ names: [{ ...taught, addresses: [] }] }, never), {
    code: 'BAD_REQUEST',
    message: /^names\.0\.addresses: /,
  })
  await assert.rejects(names.teach(undefined, never), { code: 'BAD_REQUEST', message: /^body: / })
})

test('what is left of an answer is what is left of its time to live', async () => {
  const { names, tables, clock } = started()
  const { name, client, server, timeMicros } = taught
  const controller = new NameController({
    tables,
    clock,
    memory: volatileMemory(),
    policies: { relabel: async () => undefined },
    podCidrs: [],
    nodeAddresses: [],
    minimumTtlSeconds: 0,
    addressesPerName: 10,
  })
  const addresses = [{ address: '192.0.2.1', ttlSeconds: 60 }]
  await controller.learn([{ name, client, server, timeMicros, addresses }], never)
  const secondsLeft = () => names.list().map(known => known.secondsLeft)
  assert.deepEqual(secondsLeft(), [60])
  await clock.advance(62_000)
  assert.deepEqual(secondsLeft(), [0])
})
