// How a service stands, from what is declared, what is wanted and what the kernel says.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { declaredService } from '../services/testing/worlds.ts'
import { ManualClock, type Status } from '../state/index.ts'
import { statusTable } from '../state/operations.ts'
import { createTables, type Problem, type Service, type ServiceStatus } from '../tables/index.ts'
import { serviceEntryRow, servicePortRow } from '../tables/testing/rows.ts'
import { ServiceSince } from './service-since.ts'
import { serviceDetail, serviceStatusView } from './service-status-view.ts'

const origin = { file: 'web.yaml', line: 3 }

function setup() {
  const tables = createTables()
  const { database, services, serviceEntries, problems } = tables
  const clock = new ManualClock()
  const status = database.add(statusTable('service-maps'))
  const since = new ServiceSince(status, clock)
  const kernel = { status, sinceMs: (key: string) => since.sinceMs(key) }
  const view = database.addView(serviceStatusView(tables, kernel))
  const write = (put: (tx: Parameters<Parameters<typeof database.write>[0]>[0]) => void) => database.write(put)
  return {
    tables,
    clock,
    kernel,
    declare: (more: Partial<Service> = {}) =>
      write(tx => tx.put(services, { ...declaredService('web', { clusterIps: ['10.96.0.10'] }), origin, ...more })),
    resolve: (...ports: Parameters<typeof serviceEntryRow>[1][]) =>
      write(tx => tx.put(serviceEntries, serviceEntryRow('web', ...ports))),
    tell: (told: Omit<Status, 'key' | 'revision'> & object) =>
      write(tx =>
        tx.put(status, { key: 'shop/web', revision: serviceEntries.revisionOf('shop/web') ?? 0, ...told } as Status),
      ),
    complain: (more: Partial<Problem> = {}) =>
      write(tx =>
        tx.put(problems, {
          id: `p ${problems.size}`,
          severity: 'error',
          object: 'Service shop/web',
          about: 'Service/shop/web',
          message: 'spec.ports: is missing',
          file: 'web.yaml',
          line: 4,
          column: 1,
          ...more,
        }),
      ),
    one: (): ServiceStatus | undefined => view.rows()[0],
    all: () => view.rows(),
    printed: () => view.print().rows,
  }
}

const backend = (id: number, more: object = {}) => ({
  id,
  address: `10.0.0.${id}`,
  port: 8080,
  pod: `shop/web-${id}`,
  ready: true,
  serving: true,
  terminating: false,
  weight: 1,
  ...more,
})

test('from declared to in force, and on to a change that the kernel does not take', async () => {
  const { declare, resolve, tell, one, clock } = setup()
  declare()
  assert.deepEqual([one()?.state, one()?.message, one()?.frontends], ['waiting', 'on its way to the kernel', 0])
  resolve(servicePortRow(7, { backends: [backend(1), backend(2)] }))
  assert.equal(one()?.state, 'waiting')
  await clock.advance(5000)
  tell({ kind: 'done' })
  const first = one()
  assert.deepEqual(
    [first?.state, first?.since, first?.frontends, first?.backends],
    ['in-force', '1970-01-01T00:00:05.000Z', 1, { known: 2, usable: 2 }],
  )

  await clock.advance(5000)
  resolve(servicePortRow(7, { backends: [backend(1), backend(2), backend(3)] }))
  assert.equal(one()?.state, 'waiting', 'the kernel has it as it was before')
  tell({ kind: 'failed', operation: 'update', error: new Error('map full'), attempts: 2, nextRetryMs: 0 } as never)
  const failed = one()
  assert.deepEqual([failed?.state, failed?.since], ['failed', undefined])
  assert.equal(failed?.message, 'the kernel did not take it, what it had before stays: map full (2 attempts)')

  tell({ kind: 'done' })
  assert.equal(one()?.since, '1970-01-01T00:00:10.000Z')
})

test('backends are counted as pods, and as usable where any client may get them', () => {
  const { declare, resolve, one } = setup()
  declare()
  const { pod, ...anonymous } = backend(4)
  assert.equal(pod, 'shop/web-4')
  const backends = [
    backend(1),
    backend(2, { notForCluster: 'not ready', notForOutside: 'not ready' }),
    backend(3, { notForOutside: 'not on this node' }),
    anonymous,
  ]
  resolve(servicePortRow(7, { backends }), servicePortRow(8, { port: 81, backends }))
  assert.deepEqual(one()?.backends, { known: 4, usable: 3 })
})

test('what is not translated says why', async t => {
  const cases: readonly { readonly name: string; readonly service: Partial<Service>; readonly want: RegExp }[] = [
    { name: 'headless', service: { headless: true, clusterIps: [] }, want: /^headless: / },
    { name: 'ExternalName', service: { type: 'ExternalName' }, want: /^an ExternalName is a name in DNS alone$/ },
    { name: 'of another proxy', service: { proxyName: 'mesh' }, want: /to another proxy, mesh$/ },
  ]
  for (const { name, service, want } of cases)
    await t.test(name, () => {
      const { declare, one } = setup()
      declare(service)
      assert.equal(one()?.state, 'not-translated')
      assert.match(one()?.message ?? '', want)
    })
  const { declare, resolve, tell, one } = setup()
  declare()
  resolve(servicePortRow(7, { frontends: [] }))
  tell({ kind: 'done' })
  assert.deepEqual(
    [one()?.state, one()?.message],
    ['not-translated', 'it has no address that stands for it on this node'],
  )
})

test('a version that is not valid: the one before stays, or nothing is in force', () => {
  const { declare, resolve, tell, one, all, complain } = setup()
  complain()
  complain({ about: 'Service.serving.knative.dev/shop/web', object: 'Service shop/web' })
  assert.deepEqual(
    all().map(({ state, name, origin: where, problems }) => [state, name, where, problems.length]),
    [['refused', 'web', { file: 'web.yaml', line: 4 }, 1]],
  )
  declare()
  resolve(servicePortRow(7))
  tell({ kind: 'done' })
  assert.deepEqual(
    [all().length, one()?.state, one()?.message],
    [1, 'outdated', 'refused; the version of before (web.yaml:3) stays in force'],
  )
})

test('columns as kubectl has them', () => {
  const { declare, complain, printed } = setup()
  declare({
    type: 'LoadBalancer',
    ports: [{ name: '', protocol: 'TCP', port: 80, targetPort: 80, nodePort: 30080 }],
    loadBalancerAddresses: [{ ip: '198.51.100.1', mode: 'VIP' }],
    externalIps: ['198.51.100.1', '198.51.100.2'],
  })
  complain({ severity: 'warning', id: 'w' })
  assert.deepEqual(printed(), [
    [
      'shop',
      'web',
      'LoadBalancer',
      '10.96.0.10',
      '198.51.100.1,198.51.100.2',
      '80:30080/TCP',
      '0/0',
      'waiting, 1 warning',
      '',
    ],
  ])
})

test('one service in full', () => {
  const { tables, kernel, declare, resolve } = setup()
  declare({ affinitySeconds: 60 })
  resolve(servicePortRow(7))
  const detail = serviceDetail(tables, kernel, 'shop/web')
  assert.deepEqual([detail?.declared?.affinitySeconds, detail?.entries.length], [60, 1])
  assert.equal(serviceDetail(tables, kernel, 'shop/other'), undefined)
})
