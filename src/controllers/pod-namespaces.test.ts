// Where the services of each pod are translated, as pods, namespaces and endpoints come
// and go.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import { createTables, type Endpoint, type Namespace, type Pod, type Tables } from '../tables/index.ts'
import { endpointRow, podRow } from '../tables/testing/rows.ts'
import { PodNamespaceController } from './pod-namespaces.ts'

const namespace = (more: Partial<Namespace> = {}): Namespace => ({
  name: 'shop',
  labels: {},
  audit: false,
  origin: { file: '', line: 0 },
  ...more,
})

type Given = {
  readonly pod?: Partial<Pod>
  readonly namespace?: Partial<Namespace>
  readonly sockets?: boolean
  readonly byDefault?: 'packet'
}

async function withController(given: Given, body: (tables: Tables, settled: () => Promise<string[]>) => Promise<void>) {
  const stop = new AbortController()
  const tables = createTables()
  const controller = new PodNamespaceController({
    tables,
    translatesInSockets: given.sockets ?? true,
    byDefault: given.byDefault ?? 'socket',
  })
  const done = controller.run(stop.signal)
  const settled = async (): Promise<string[]> => {
    for (let turn = 0; turn < 3; turn++) await eventLoopTurn()
    return tables.podNamespaces.all().map(({ pod, translation, because }) => `${pod} ${translation} ${because}`.trim())
  }
  const initialized = [tables.endpoints, tables.pods, tables.namespaces].map(table => table.registerInitializer('test'))
  tables.database.write(tx => {
    tx.put(tables.endpoints, endpointRow(1, 'web'))
    assert.equal(tables.podNamespaces.initialized, false)
    tx.put(tables.pods, podRow('web', given.pod))
    tx.put(tables.namespaces, namespace(given.namespace))
    for (const mark of initialized) mark()
  })
  try {
    await body(tables, settled)
  } finally {
    stop.abort()
    await done
  }
}

const WANTED: readonly (Given & { readonly text: string; readonly row: string })[] = [
  { text: 'nobody asks', row: 'shop/web socket' },
  { text: 'the pod asks', pod: { translation: 'packet' }, row: 'shop/web packet the pod' },
  { text: 'its namespace asks', namespace: { translation: 'packet' }, row: 'shop/web packet its namespace' },
  {
    text: 'the pod asks for something else than its namespace',
    pod: { translation: 'socket' },
    namespace: { translation: 'packet' },
    row: 'shop/web socket the pod',
  },
  { text: 'nobody asks, on a node that goes by the packet', byDefault: 'packet', row: 'shop/web packet' },
  {
    text: 'the pod asks for sockets on such a node',
    byDefault: 'packet',
    pod: { translation: 'socket' },
    row: 'shop/web socket the pod',
  },
  {
    text: 'there are no socket programs',
    pod: { translation: 'socket' },
    sockets: false,
    row: 'shop/web packet no socket programs',
  },
]
for (const { text, row, ...given } of WANTED)
  test(text, () =>
    withController(given, async (tables, settled) => {
      assert.deepEqual(await settled(), [row])
      assert.equal(tables.podNamespaces.initialized, true)
    }),
  )

test('a change of annotations is followed, and a pod that is deleted keeps what it had', () =>
  withController({}, async (tables, settled) => {
    await settled()
    tables.database.write(tx => tx.put(tables.namespaces, namespace({ translation: 'packet' })))
    assert.deepEqual(await settled(), ['shop/web packet its namespace'])
    tables.database.write(tx => tx.put(tables.pods, podRow('web', { translation: 'socket' })))
    assert.deepEqual(await settled(), ['shop/web socket the pod'])
    tables.database.write(tx => tx.delete(tables.pods, 'shop/web'))
    assert.deepEqual(await settled(), ['shop/web socket the pod'])
  }))

test('a namespace is known as long as its endpoint', () =>
  withController({}, async (tables, settled) => {
    const other: Endpoint = endpointRow(2, 'other', { addresses: ['10.0.0.2', 'fd00::2'] })
    tables.database.write(tx => tx.put(tables.endpoints, other))
    await settled()
    const { cookie, endpoint, addresses } = tables.podNamespaces.by('endpoint', '2')[0] ?? assert.fail('no row')
    assert.deepEqual([cookie, endpoint, addresses], [other.networkNamespaceCookie, 2, other.addresses])
    tables.database.write(tx => tx.delete(tables.endpoints, 'c1'))
    assert.deepEqual(await settled(), ['shop/other socket'])
  }))
