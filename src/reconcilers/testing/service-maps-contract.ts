// What putting services into maps promises, as one suite: run against maps in memory
// (service-maps.test.ts, no root) and in the kernel (test/datapath/service-maps.test.ts).
// What is written and what is left alone, over restarts too; a map without room; a frontend
// that changes hands; when what is left behind goes.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { formatIp, ip } from '../../ip/index.ts'
import type { DatapathMaps, MapName, Schema } from '../../maps/index.ts'
import type { ServiceBackend } from '../../services/index.ts'
import { ManualClock } from '../../state/index.ts'
import type { NumberedPort, ServiceEntry } from '../../tables/index.ts'
import type { NewSlotPage, OpenSlotPage } from '../service-content.ts'
import { isChosen } from '../service-elements.ts'
import { serviceMapOperations } from '../service-maps.ts'
import { ServiceRoomError } from '../service-room.ts'

const { signal } = new AbortController()

/** Maps of a datapath, in memory or in the kernel. */
export type MapsUnderTest = {
  readonly schema: Schema
  readonly maps: Pick<DatapathMaps, (typeof MAPS)[number]>
  createSlotPage(): NewSlotPage
  openSlotPage(key: number): OpenSlotPage | undefined
}
type Sizes = Partial<Readonly<Record<MapName, number>>>

const MAPS = ['frontends', 'backends', 'affinity_backends', 'source_ranges', 'slot_pages'] as const

type Options = Partial<Omit<NumberedPort, 'backends'>> & { readonly addresses?: readonly string[] }

const backend = (address: string, more: Partial<ServiceBackend> = {}) => ({
  id: Number(address.split('.').at(-1)),
  address,
  port: 8080,
  ready: true,
  serving: true,
  terminating: false,
  weight: 1,
  ...more,
})

/** Backends are the last byte of their addresses: 10.0.0.N has the id N. */
function port(number: number, backends: readonly ReturnType<typeof backend>[], options: Options = {}): NumberedPort {
  const { addresses = [`10.96.0.${number}`], ...more } = options
  return {
    number,
    id: `shop/web:${number}/TCP/4`,
    portName: '',
    port: 80,
    protocol: 6,
    family: 4,
    frontends: addresses.map(address => ({ address, port: 80, kind: 'ClusterIP', reach: 'cluster' })),
    backends,
    without: { cluster: 'reject', outside: 'reject' },
    algorithm: 'random',
    affinitySeconds: 0,
    sourceRanges: [],
    forwarding: 'snat',
    ...more,
  }
}

const service = (name: string, ...ports: readonly NumberedPort[]): ServiceEntry => ({ namespace: 'shop', name, ports })
const pods = (...numbers: readonly number[]) => numbers.map(number => backend(`10.0.0.${number}`))

/** An agent that takes over these maps, with a log of what is asked of them. */
function agentOf(datapath: MapsUnderTest) {
  const log: string[] = []
  const faults: { fails?: (what: string) => boolean } = {}
  const note = (what: string): void => {
    log.push(what)
    if (faults.fails?.(what)) throw new Error(`no ${what}`)
  }
  const logged = <Map extends object>(map: Map, name: string): Map =>
    new Proxy(map, {
      get(of, property) {
        const value: unknown = Reflect.get(of, property, of)
        if (typeof value !== 'function') return value
        return (...args: unknown[]) => {
          const items = args[0] as { length?: number }
          if (property === 'updateBatchAsync') note(`${name} +${items.length ?? 'some'}`)
          if (property === 'deleteBatchAsync') note(`${name} -${items.length}`)
          return value.apply(of, args) as unknown
        }
      },
    })
  const clock = new ManualClock()
  let changes = 0
  let removals = 0
  const operations = serviceMapOperations({
    schema: datapath.schema,
    maps: Object.fromEntries(MAPS.map(name => [name, logged(datapath.maps[name], name)])) as unknown as DatapathMaps,
    createPage: () => datapath.createSlotPage(),
    openPage: page => {
      const slots = datapath.openSlotPage(page)
      return slots && logged(slots, 'slots')
    },
    slotsOf: ({ backends }, kind) => backends.filter(one => isChosen(one, kind)).map(({ id }) => id),
    onChanged: () => void changes++,
    onBackendsGone: () => void removals++,
    clock,
  })
  const take = <T>(list: T[]): T[] => list.splice(0)
  return {
    datapath,
    operations,
    /** Lets time pass, and what comes due be done: in the kernel it is done beside the event loop. */
    advance: async (milliseconds: number): Promise<void> => {
      await clock.advance(milliseconds)
      await operations.update([], signal)
    },
    faults,
    takeLog: () => take(log),
    changes: () => changes,
    /** How often it was told that backends are gone. */
    removals: () => removals,
    frontends: () => frontendsOf(datapath),
    backends: () => [...datapath.maps.backends.keys()].sort((a, b) => a - b),
  }
}

/** Backends that clients of the cluster may get at each address; reservations as `reserved`. */
function frontendsOf(datapath: MapsUnderTest): Record<string, readonly number[] | 'reserved'> {
  const { maps, schema } = datapath
  const slots: number[] = []
  const page = datapath.openSlotPage(0)
  page?.forEachRaw((key, keyOffset, value, valueOffset) => {
    slots[key.getUint32(keyOffset, true)] = value.getUint32(valueOffset, true)
  })
  page?.close?.()
  const lines = maps.frontends.lookupBatch().map(([key, { backends, flags }]) => {
    const [{ first, count }] = backends
    const isReserved = (flags & schema.frontendFlags.number.RESERVATION) !== 0
    return [formatIp(key.address.bytes), isReserved ? 'reserved' : slots.slice(first, first + count)] as const
  })
  return Object.fromEntries(lines.sort(([a], [b]) => (a < b ? -1 : 1)))
}

const messagesOf = (failures: ReadonlyMap<ServiceEntry, Error> | void) =>
  [...(failures ?? [])].map(([{ name }, error]) => `${name}: ${error.message}`)

const keyOf = (address: string) => ({ address: { bytes: ip(address).bytes }, port: 80, protocol: 6 })

/** @param make maps without anything in them */
export function serviceMapsContract(
  title: string,
  make: (sizes?: Sizes) => MapsUnderTest,
  skip: string | false = false,
) {
  const started = (sizes?: Sizes) => agentOf(make(sizes))

  describe(`${title}: contract of services in maps`, { skip }, () => {
    test('what a frontend needs is written before it, and all services of a round at once', async () => {
      const { operations, takeLog, frontends, backends, changes } = started()
      const rows = [service('web', port(1, pods(1, 2))), service('api', port(2, pods(2, 3), { affinitySeconds: 60 }))]
      assert.deepEqual(messagesOf(await operations.update(rows, signal)), [])
      assert.deepEqual(takeLog(), [
        'backends +3',
        'affinity_backends +2',
        'slot_pages +1',
        'slots +some',
        'frontends +2',
      ])
      assert.deepEqual(frontends(), { '10.96.0.1': [1, 2], '10.96.0.2': [2, 3] })
      assert.deepEqual(backends(), [1, 2, 3])
      assert.equal(changes(), 1)
    })

    test('a change of backends writes the slots and the frontends of that service, and no address comes or goes', async () => {
      const { operations, takeLog, frontends, backends, changes, removals, advance } = started()
      await operations.update([service('web', port(1, pods(1, 2))), service('api', port(2, pods(2, 3)))], signal)
      takeLog()
      await operations.update([service('web', port(1, pods(2, 4)))], signal)
      assert.deepEqual(takeLog(), ['backends +1', 'slots +some', 'frontends +1'])
      assert.deepEqual(frontends(), { '10.96.0.1': [2, 4], '10.96.0.2': [2, 3] })
      assert.equal(changes(), 1)
      // Who read the old slot a moment ago still finds its backend.
      assert.deepEqual(backends(), [1, 2, 3, 4])
      assert.equal(removals(), 0)
      await advance(1000)
      assert.deepEqual(backends(), [2, 3, 4])
      assert.equal(removals(), 1)
      // A backend that no longer answers is no backend of datagrams; one that serves keeps what it has.
      const draining = {
        ready: false,
        terminating: true,
        notForCluster: 'terminating',
        notForOutside: 'terminating',
      } as const
      const more = [backend('10.0.0.2', { ...draining, serving: false }), backend('10.0.0.4', draining), ...pods(5)]
      await operations.update([service('web', port(1, more))], signal)
      await operations.update([service('api', port(2, pods(3)))], signal)
      await advance(1000)
      assert.deepEqual(frontends(), { '10.96.0.1': [5], '10.96.0.2': [3] })
      assert.deepEqual(backends(), [3, 4, 5])
    })

    test('after a restart nothing is written where nothing has changed, and slots stay where they are', async () => {
      const first = started()
      const web = service('web', port(1, [...pods(1), backend('10.0.0.2', { notForOutside: 'not on this node' })]))
      const api = service('api', port(2, pods(3), { affinitySeconds: 5, sourceRanges: ['192.0.2.0/24', 'fd00::/64'] }))
      await first.operations.update([web, api], signal)
      const { datapath } = first
      const second = agentOf(datapath)
      await second.operations.update([api, web], signal)
      await second.operations.prune([api, web], signal)
      assert.deepEqual(second.takeLog(), [])
      assert.equal(second.changes(), 0)
      // What changed meanwhile alone is written; what is gone goes, and its slots are used again.
      const third = agentOf(datapath)
      await third.operations.update([service('api', port(2, pods(3, 4)))], signal)
      await third.operations.prune([service('api', port(2, pods(3, 4)))], signal)
      assert.deepEqual(third.takeLog(), [
        'backends +1',
        'slots +some',
        'frontends +1',
        'source_ranges -1',
        'affinity_backends -1',
        'frontends -1',
        'backends -2',
      ])
      assert.deepEqual(third.frontends(), { '10.96.0.2': [3, 4] })
      await third.advance(1000)
      await third.operations.update([service('new', port(7, pods(3), { affinitySeconds: 1 }))], signal)
      const [{ first: slot }] = datapath.maps.frontends.get(keyOf('10.96.0.7'))?.backends ?? assert.fail()
      assert.ok(slot < 4, `slot ${slot} was free`)
    })

    test('a frontend that changes hands is never gone, whichever row comes first', async () => {
      for (const order of [1, -1]) {
        const { operations, takeLog, frontends } = started()
        const addresses = ['10.96.0.1', '192.0.2.1']
        await operations.update([service('a', port(1, pods(1), { addresses })), service('b', port(2, pods(2)))], signal)
        takeLog()
        const [a, b] = [
          service('a', port(1, pods(1))),
          service('b', port(2, pods(2), { addresses: ['10.96.0.2', '192.0.2.1'] })),
        ]
        await operations.update(order > 0 ? [a, b] : [b, a], signal)
        assert.deepEqual(takeLog(), ['frontends +1'])
        assert.deepEqual(frontends(), { '10.96.0.1': [1], '10.96.0.2': [2], '192.0.2.1': [2] })
        await operations.delete([a], signal)
        assert.deepEqual(frontends(), { '10.96.0.2': [2], '192.0.2.1': [2] })
      }
    })

    test('a node port is reserved once for both families, and as long as any has it', async () => {
      const { operations, frontends } = started()
      const nodePort = (number: number, address: string) =>
        port(number, pods(number), { frontends: [{ address, port: 30080, kind: 'NodePort', reach: 'everybody' }] })
      const both = service('web', nodePort(1, '172.30.0.2'), nodePort(2, 'fd00::2'))
      await operations.update([both], signal)
      assert.deepEqual(frontends(), { '172.30.0.2': [1], '::': 'reserved', 'fd00::2': [2] })
      await operations.update([service('web', nodePort(2, 'fd00::2'))], signal)
      assert.deepEqual(frontends(), { '::': 'reserved', 'fd00::2': [2] })
      await operations.delete([service('web', nodePort(2, 'fd00::2'))], signal)
      assert.deepEqual(frontends(), {})
    })

    for (const [map, size, large] of [
      ['frontends', 3, port(2, pods(3), { addresses: ['10.96.0.2', '192.0.2.1', '192.0.2.2'] })],
      ['backends', 3, port(2, pods(3, 4, 5))],
      ['affinity_backends', 3, port(2, pods(3, 4), { affinitySeconds: 9 })],
      [
        'source_ranges',
        3,
        port(2, pods(3), { sourceRanges: ['192.0.2.0/24', '192.0.2.128/25', '198.51.100.0/24', '10.0.0.0/8'] }),
      ],
      [
        'slot_pages',
        1,
        port(
          2,
          Array.from({ length: 131_072 }, () => backend('10.0.0.1')),
        ),
      ],
    ] as const)
      test(`map ${map} without room: nothing of the service, the others go on, and what was before stays`, async () => {
        const { operations, frontends, backends, datapath, advance } = started({ [map]: size })
        const web = service('web', port(1, pods(1), { affinitySeconds: 5, sourceRanges: ['192.0.2.0/25'] }))
        const before = service('large', port(2, pods(1), { affinitySeconds: 5 }))
        assert.deepEqual(messagesOf(await operations.update([web, before], signal)), [])
        const wasThere = frontends()
        const failures = await operations.update(
          [service('large', large), service('web', port(1, pods(2), { affinitySeconds: 5 }))],
          signal,
        )
        assert.deepEqual(
          [...(failures?.keys() ?? [])].map(({ name }) => name),
          ['large'],
        )
        const [error] = failures?.values() ?? []
        assert.ok(error instanceof ServiceRoomError)
        assert.match(error.message, new RegExp(`^service shop/large: map ${map} has no room for its change, .*; .*`))
        assert.deepEqual(frontends(), { ...wasThere, '10.96.0.1': [2] })
        await advance(1000)
        assert.deepEqual(backends(), [1, 2])
        assert.equal(datapath.maps.source_ranges.count(), 0)
        assert.deepEqual(
          datapath.maps.affinity_backends
            .lookupBatch()
            .map(([{ service: number, backend: id }]) => `${number} ${id}`)
            .sort(),
          ['1 2', '2 1'],
        )
        // The same again, and then something that has room.
        assert.equal((await operations.update([service('large', large)], signal))?.size, 1)
        assert.deepEqual(messagesOf(await operations.update([service('large', port(2, pods(3)))], signal)), [])
        assert.deepEqual(frontends(), { '10.96.0.1': [2], '10.96.0.2': [3] })
      })

    test('backends that there is no room for are not written first, for others would wait', async () => {
      const { operations, takeLog, backends } = started({ backends: 3 })
      await operations.update([service('web', port(1, pods(1)))], signal)
      takeLog()
      const failures = await operations.update([service('large', port(2, pods(2, 3, 4)))], signal)
      assert.equal(failures?.size, 1)
      assert.deepEqual(
        takeLog().filter(what => what.startsWith('backends +')),
        [],
      )
      assert.deepEqual(backends(), [1])
      assert.deepEqual(messagesOf(await operations.update([service('large', port(2, pods(2, 3)))], signal)), [])
    })

    test('a change that fails while it is taken back is taken back later, and nobody else waits for it', async () => {
      const { operations, faults, frontends, backends, advance } = started()
      const [web, api] = [service('web', port(1, pods(1))), service('api', port(2, pods(2)))]
      await operations.update([web, api], signal)
      faults.fails = what => what.startsWith('frontends')
      const next = service('web', port(1, pods(3), { addresses: ['10.96.0.9'] }))
      assert.deepEqual(messagesOf(await operations.update([next], signal)), ['web: no frontends +1'])
      faults.fails = undefined as never
      await operations.update([service('api', port(2, pods(4)))], signal)
      await advance(1000)
      assert.deepEqual(frontends(), { '10.96.0.1': [1], '10.96.0.2': [4] })
      assert.deepEqual(backends(), [1, 4])
      assert.deepEqual(messagesOf(await operations.update([next], signal)), [])
      assert.deepEqual(frontends(), { '10.96.0.2': [4], '10.96.0.9': [3] })
    })

    test('a change that is taken back late leaves no address with a service that has gone meanwhile', async () => {
      const { operations, faults, frontends, backends, advance } = started()
      const [web, api] = [service('web', port(1, pods(1))), service('api', port(2, pods(2)))]
      await operations.update([web, api], signal)
      faults.fails = what => what === 'frontends +1'
      const next = service('web', port(1, pods(3), { addresses: ['10.96.0.2'] }))
      assert.deepEqual(messagesOf(await operations.update([next], signal)), ['web: no frontends +1'])
      assert.deepEqual(messagesOf(await operations.delete([api], signal)), [])
      faults.fails = () => false
      assert.deepEqual(messagesOf(await operations.delete([web], signal)), [])
      await advance(1000)
      assert.deepEqual([frontends(), backends()], [{}, []])
    })

    test('what could not be removed is removed with the next change', async () => {
      const { operations, faults, frontends, backends, advance } = started()
      const web = service('web', port(1, pods(1)))
      await operations.update([web], signal)
      faults.fails = what => what === 'frontends -1'
      assert.deepEqual(messagesOf(await operations.delete([web], signal)), ['web: no frontends -1'])
      faults.fails = () => false
      await advance(5000)
      assert.deepEqual([frontends(), backends()], [{ '10.96.0.1': [1] }, [1]])
      await operations.delete([web], signal)
      await advance(1000)
      assert.deepEqual([frontends(), backends()], [{}, []])
    })

    test('a full compare writes again what somebody else has changed', async () => {
      const { operations, frontends, backends, datapath, takeLog } = started()
      const rows = [service('web', port(1, pods(1, 2), { affinitySeconds: 5 })), service('api', port(2, pods(3)))]
      await operations.update(rows, signal)
      const { maps } = datapath
      const wanted = [frontends(), backends(), maps.affinity_backends.count()]
      takeLog()
      await operations.update(rows, signal)
      await operations.prune(rows, signal)
      assert.deepEqual(takeLog(), [])
      maps.frontends.delete(keyOf('10.96.0.1'))
      maps.backends.delete(3)
      maps.affinity_backends.delete({ service: 1, backend: 2 })
      maps.backends.set(9, { address: { bytes: ip('10.0.0.9').bytes }, port: 1, protocol: 6, service: 1 })
      const page = datapath.openSlotPage(0)
      await page?.updateBatchAsync([[0, 7]])
      page?.close?.()
      await operations.update(rows, signal)
      await operations.prune(rows, signal)
      assert.deepEqual([frontends(), backends(), maps.affinity_backends.count()], wanted)
    })

    test('at the start a service without room keeps what the kernel has of it', async () => {
      const first = started({ frontends: 2 })
      await first.operations.update([service('web', port(1, pods(1))), service('gone', port(2, pods(2)))], signal)
      const { operations, frontends, backends, advance } = agentOf(first.datapath)
      const large = service('web', port(1, pods(3), { addresses: ['10.96.0.1', '10.96.0.8', '10.96.0.9'] }))
      const other = service('api', port(4, pods(4)))
      assert.equal((await operations.update([large, other], signal))?.size, 2)
      await operations.prune([large, other], signal)
      assert.deepEqual([frontends(), backends()], [{ '10.96.0.1': [1] }, [1]])
      await operations.update([other], signal)
      const small = service('web', port(1, pods(3), { addresses: ['10.96.0.8'] }))
      assert.deepEqual(messagesOf(await operations.update([small], signal)), [
        'web: service shop/web: map frontends has no room for its change, so nothing of it is in force and what was before stays (update map frontends: E2BIG: the map is full (max_entries 2)); remove services, node ports or external addresses that are not needed',
      ])
      await operations.delete([small], signal)
      await advance(1000)
      assert.deepEqual(frontends(), { '10.96.0.4': [4] })
    })

    test('at the start, an address that cannot change hands stays with whom the kernel has it', async () => {
      const first = started({ frontends: 2 })
      const addresses = ['192.0.2.1', '10.96.0.1']
      await first.operations.update([service('a', port(1, pods(1), { addresses }))], signal)
      const before = first.frontends()
      const { operations, frontends, backends } = agentOf(first.datapath)
      const rows = [
        service('a', port(1, pods(2), { addresses: ['10.96.0.1', '10.96.0.8', '10.96.0.9'] })),
        service('b', port(2, pods(3), { addresses: ['192.0.2.1', '10.96.0.2'] })),
      ]
      assert.equal((await operations.update(rows, signal))?.size, 2)
      await operations.prune(rows, signal)
      assert.deepEqual([frontends(), backends()], [before, [1]])
      assert.deepEqual(messagesOf(await operations.update([service('a', port(1, pods(2)))], signal)), [])
      assert.deepEqual(messagesOf(await operations.update(rows.slice(1), signal)).length, 1)
      assert.deepEqual(frontends(), { '10.96.0.1': [2] })
    })
  })
}
