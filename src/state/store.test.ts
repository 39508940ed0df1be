// Tables, writes and watchers: atomicity, indexes, revisions, coalescing, marks; and the
// store against a plain map on random writes.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Database, defineTable, type Table, waitForAny } from './index.ts'

type Pod = { readonly name: string; readonly node: string; readonly ips: readonly string[] }

const podTable = defineTable({
  name: 'pods',
  key: (pod: Pod) => pod.name,
  indexes: { node: pod => [pod.node], ip: pod => pod.ips },
  columns: { NAME: pod => pod.name, NODE: pod => pod.node, IPS: pod => pod.ips.join(' ') },
})

function setUp() {
  const database = new Database()
  return { database, pods: database.add(podTable), others: database.add({ ...podTable, name: 'others' }) }
}

const pod = (name: string, node = 'n1', ...ips: string[]): Pod => ({ name, node, ips })
const names = (pods: readonly Pod[]) => pods.map(row => row.name).sort()

test('rows are found by primary key and by every index key', () => {
  const { database, pods } = setUp()
  database.write(tx => {
    tx.put(pods, pod('a', 'n1', '10.0.0.1', 'fd00::1'))
    tx.put(pods, pod('b', 'n1', '10.0.0.2'))
    tx.put(pods, pod('c', 'n2'))
  })
  assert.equal(pods.get('a')?.node, 'n1')
  assert.deepEqual(names(pods.by('node', 'n1')), ['a', 'b'])
  assert.deepEqual(names(pods.by('ip', 'fd00::1')), ['a'])
  database.write(tx => tx.put(pods, pod('a', 'n2', '10.0.0.1')))
  assert.deepEqual(names(pods.by('node', 'n1')), ['b'])
  assert.deepEqual(names(pods.by('ip', 'fd00::1')), [])
  assert.deepEqual(names(pods.by('node', 'nowhere')), [])
})

test('a write that throws leaves every table, index, revision and watcher as it was', () => {
  const { database, pods, others } = setUp()
  const markDelivered = pods.registerInitializer('files')
  database.write(tx => tx.put(pods, pod('a', 'n1')))
  using watcher = pods.watch()
  watcher.take()
  const fails = () =>
    database.write(tx => {
      tx.put(pods, pod('a', 'n2'))
      tx.delete(pods, 'a')
      tx.put(pods, pod('a', 'n3'))
      tx.put(others, pod('z'))
      markDelivered()
      throw new Error('no')
    })
  assert.throws(fails, /^Error: no$/)
  assert.deepEqual(pods.all(), [pod('a', 'n1')])
  assert.deepEqual([names(pods.by('node', 'n1')), names(pods.by('node', 'n3'))], [['a'], []])
  assert.deepEqual([database.revision, pods.revision, pods.revisionOf('a'), others.size], [1, 1, 1, 0])
  assert.deepEqual([watcher.size, watcher.ready, pods.initialized], [0, false, false])
})

test('writes cannot be nested, awaited, outlived or used on a foreign table', () => {
  const { database, pods } = setUp()
  assert.throws(() => database.write(() => database.write(() => {})), /write inside a write/)
  assert.throws(() => database.write(async tx => tx.put(pods, pod('a'))), /must not be async/)
  assert.equal(pods.size, 0)
  const escaped = database.write(tx => tx)
  assert.throws(() => escaped.put(pods, pod('a')), /over/)
  assert.throws(() => new Database().write(tx => tx.put(pods, pod('a'))), /another database/)
  assert.throws(() => database.write(tx => tx.put(pods, pod(''))), /empty key/)
  assert.throws(() => database.add(podTable), /exists/)
  database.write(tx => tx.put(pods, pod('a')))
  assert.equal(pods.size, 1)
})

test('rows are frozen to the bottom', () => {
  const { database, pods } = setUp()
  const row = { name: 'a', node: 'n1', ips: ['10.0.0.1'] }
  database.write(tx => tx.put(pods, row))
  assert.throws(() => row.ips.push('x'), TypeError)
  assert.throws(() => Object.assign(row, { node: 'n2' }), TypeError)
})

test('a put of an equal row changes nothing', () => {
  const { database, pods } = setUp()
  database.write(tx => tx.put(pods, pod('a', 'n1', '10.0.0.1')))
  using watcher = pods.watch()
  watcher.take()
  assert.equal(
    database.write(tx => tx.put(pods, pod('a', 'n1', '10.0.0.1'))),
    false,
  )
  assert.deepEqual([database.revision, pods.revisionOf('a'), watcher.size], [1, 1, 0])
})

test('revisions are those of the write that changed the row, the table, the database', () => {
  const { database, pods, others } = setUp()
  database.write(tx => tx.put(pods, pod('a')))
  database.write(tx => tx.put(others, pod('x')))
  database.write(tx => tx.put(pods, pod('b')))
  assert.deepEqual([pods.revisionOf('a'), others.revision, pods.revisionOf('b'), pods.revision], [1, 2, 3, 3])
  database.write(tx => tx.delete(pods, 'a'))
  assert.deepEqual([pods.revision, pods.revisionOf('a'), database.revision], [4, undefined, 4])
})

test('replace makes a table, or one key of an index, hold exactly the given rows', () => {
  const { database, pods } = setUp()
  database.write(tx => tx.replace(pods, [pod('a', 'n1'), pod('b', 'n1'), pod('c', 'n2')]))
  const revision = pods.revisionOf('a')
  database.write(tx => tx.replace(pods, [pod('a', 'n1'), pod('d', 'n1')], { index: 'node', key: 'n1' }))
  assert.deepEqual(names(pods.all()), ['a', 'c', 'd'])
  assert.equal(pods.revisionOf('a'), revision)
  assert.throws(
    () => database.write(tx => tx.replace(pods, [pod('e', 'n2')], { index: 'node', key: 'n1' })),
    /not under/,
  )
  assert.throws(() => database.write(tx => tx.replace(pods, [pod('e'), pod('e', 'n2')])), /two rows/)
  assert.deepEqual(names(pods.all()), ['a', 'c', 'd'])
})

test('a watcher sees each key once, as it is now, with what it saw before', () => {
  const { database, pods } = setUp()
  database.write(tx => tx.replace(pods, [pod('a'), pod('b')]))
  using watcher = pods.watch()
  assert.deepEqual(
    watcher.take().map(change => [change.kind, change.key, change.previous]),
    [
      ['put', 'a', undefined],
      ['put', 'b', undefined],
    ],
  )
  for (let i = 0; i < 5; i++) database.write(tx => tx.put(pods, pod('a', `n${i}`)))
  database.write(tx => tx.delete(pods, 'b'))
  assert.deepEqual(watcher.take(), [
    { kind: 'put', key: 'a', row: pod('a', 'n4'), previous: pod('a'), revision: pods.revisionOf('a') },
    { kind: 'delete', key: 'b', previous: pod('b'), revision: pods.revision },
  ])
  assert.deepEqual(watcher.take(), [])
})

test('a watcher that nobody reads does not grow with rows that come and go', () => {
  const { database, pods } = setUp()
  using watcher = pods.watch()
  for (let i = 0; i < 1000; i++) {
    database.write(tx => tx.put(pods, pod(`pod-${i}`)))
    database.write(tx => tx.delete(pods, `pod-${i}`))
  }
  assert.equal(watcher.size, 0)
})

test('waiting ends with a change, a mark, an abort or a close', async () => {
  const { database, pods, others } = setUp()
  using watcher = pods.watch()
  using other = others.watch()
  const changed = watcher.wait()
  database.write(tx => tx.put(pods, pod('a')))
  assert.equal(await changed, true)
  watcher.take()

  const markDelivered = pods.registerInitializer('files')
  const marked = watcher.wait()
  markDelivered()
  assert.equal(await marked, true)
  assert.deepEqual(watcher.take(), [])

  const either = waitForAny([watcher, other])
  database.write(tx => tx.put(others, pod('x')))
  assert.equal(await either, true)

  const stop = new AbortController()
  const aborted = watcher.wait(stop.signal)
  stop.abort()
  assert.equal(await aborted, false)
  assert.equal(await watcher.wait(stop.signal), false)

  const closed = watcher.wait()
  watcher.close()
  assert.equal(await closed, false)
  assert.equal(await watcher.wait(), false)
})

test('batches yields what changed until the signal is aborted', async () => {
  const { database, pods } = setUp()
  using watcher = pods.watch()
  const stop = new AbortController()
  const seen: string[] = []
  database.write(tx => tx.put(pods, pod('a')))
  for await (const changes of watcher.batches(stop.signal)) {
    seen.push(...changes.map(change => `${change.kind} ${change.key}`))
    if (seen.length === 1) database.write(tx => tx.replace(pods, [pod('b')]))
    else stop.abort()
  }
  assert.deepEqual(seen.sort(), ['delete a', 'put a', 'put b'])
})

test('a table is initialised when it has sources and all of them have delivered', async () => {
  const { database, pods } = setUp()
  assert.equal(pods.initialized, false)
  const first = pods.registerInitializer('files')
  const second = pods.registerInitializer('api')
  assert.throws(() => pods.registerInitializer('api'), /registered twice/)
  const waiting = pods.whenInitialized()
  first()
  first()
  assert.deepEqual([pods.initialized, pods.pendingSources], [false, ['api']])
  database.write(tx => {
    tx.put(pods, pod('a'))
    second()
    assert.equal(pods.initialized, false, 'not before the commit')
  })
  assert.equal(pods.initialized, true)
  assert.equal(await waiting, true)
  assert.equal(await setUp().pods.whenInitialized(AbortSignal.abort()), false)
})

test('every table prints itself, sorted by key', () => {
  const { database, pods } = setUp()
  database.write(tx => tx.replace(pods, [pod('b', 'n2'), pod('a', 'n1', '10.0.0.1', 'fd00::1')]))
  assert.deepEqual(
    database.tables().map(table => table.name),
    ['others', 'pods'],
  )
  assert.deepEqual(database.table('pods')?.print(), {
    columns: ['NAME', 'NODE', 'IPS'],
    rows: [
      ['a', 'n1', '10.0.0.1 fd00::1'],
      ['b', 'n2', ''],
    ],
  })
  assert.equal(database.table('nothing'), undefined)
})

// The store against a plain Map, and a reader that follows a watcher against the store.

type Command = { readonly kind: 'put'; readonly pod: Pod } | { readonly kind: 'delete'; readonly name: string }

const podOf = fc.record(
  {
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    node: fc.constantFrom('n1', 'n2', 'n3'),
    ips: fc.array(fc.constantFrom('1', '2'), { maxLength: 2 }),
  },
  { noNullPrototype: true },
)
const command: fc.Arbitrary<Command> = fc.oneof(
  podOf.map(pod => ({ kind: 'put' as const, pod })),
  fc.constantFrom('a', 'b', 'c', 'd').map(name => ({ kind: 'delete' as const, name })),
)
const write = fc.record({
  commands: fc.array(command, { maxLength: 6 }),
  fails: fc.boolean(),
  readerLooks: fc.boolean(),
})

function checkAgainst(model: ReadonlyMap<string, Pod>, pods: Table<Pod, 'node' | 'ip'>) {
  assert.deepEqual(new Map(pods.all().map(row => [row.name, row])), model)
  for (const node of ['n1', 'n2', 'n3']) {
    assert.deepEqual(names(pods.by('node', node)), names([...model.values()].filter(row => row.node === node)))
  }
  for (const ip of ['1', '2']) {
    assert.deepEqual(names(pods.by('ip', ip)), names([...model.values()].filter(row => row.ips.includes(ip))))
  }
}

test('on any writes the store agrees with a map, and so does a reader that follows it', () => {
  fc.assert(
    fc.property(fc.array(write, { maxLength: 20 }), writes => {
      const { database, pods } = setUp()
      using watcher = pods.watch()
      let model = new Map<string, Pod>()
      const followed = new Map<string, Pod>()
      const look = () => {
        for (const change of watcher.take()) {
          assert.deepEqual(change.previous, followed.get(change.key))
          if (change.kind === 'put') followed.set(change.key, change.row)
          else followed.delete(change.key)
        }
        assert.deepEqual(followed, model)
      }
      for (const { commands, fails, readerLooks } of writes) {
        const next = new Map(model)
        const before = database.revision
        try {
          database.write(tx => {
            for (const item of commands) {
              if (item.kind === 'put') {
                tx.put(pods, item.pod)
                next.set(item.pod.name, item.pod)
              } else {
                assert.equal(tx.delete(pods, item.name), next.delete(item.name))
              }
            }
            checkAgainst(next, pods)
            if (fails) throw new Error('roll back')
          })
          model = next
        } catch (error) {
          if (!(error instanceof Error && error.message === 'roll back')) throw error
          assert.equal(database.revision, before)
        }
        checkAgainst(model, pods)
        if (readerLooks) look()
      }
      look()
    }),
  )
})
