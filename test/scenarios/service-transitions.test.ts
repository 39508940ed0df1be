// What clients of services meet while a change is on its way into the maps. Every ordered
// pair of states, and random sequences of changes, undisturbed and with writes that fail
// and agents that end on the way: between any two writes of a map a frontend leads to
// backends that its service had or gets, all of which are there; and where everything has
// settled, the maps say what they say on a node that started there. AXONEME_RUNS=500 tries
// so many random sequences.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import * as fc from 'fast-check'
import { formatIp } from '../../src/ip/index.ts'
import { slotsIn } from './dump-services.ts'
import { fileOf } from './manifests.ts'
import { SimulatedNode, type SimulatedNodeOptions } from './simulated-node.ts'

/** Objects by the name of the state. */
type State = readonly object[]

type ServiceOptions = {
  readonly spec?: object
  readonly status?: object
  readonly annotations?: Readonly<Record<string, string>>
  readonly created?: string
}

const service = (name: string, clusterIp: string, { spec, status, annotations, created }: ServiceOptions = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop', annotations, ...(created && { creationTimestamp: created }) },
  spec: { clusterIP: clusterIp, ports: [{ name: 'http', port: 80 }], ...spec },
  ...(status && { status }),
})

/** Each address as `ADDRESS`, `ADDRESS@NODE` or, where it is going, `ADDRESS!`. */
const slice = (owner: string, addresses: readonly string[], port = 8080, name = `${owner}-1`) => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name, namespace: 'shop', labels: { 'kubernetes.io/service-name': owner } },
  addressType: 'IPv4',
  ports: [{ name: 'http', port }],
  endpoints: addresses.map(text => {
    const [address, nodeName] = text.replace('!', '').split('@')
    const conditions = text.includes('!') ? { ready: false, serving: true, terminating: true } : {}
    return { addresses: [address], conditions, ...(nodeName && { nodeName }) }
  }),
})

const [WEB, API, DB] = ['10.96.0.1', '10.96.0.2', '10.96.0.3'] as const
const pods = (...numbers: readonly number[]) => numbers.map(number => `10.244.1.${number}`)
const nodePort = (port: number, more: object = {}) => ({
  spec: { type: 'NodePort', ports: [{ name: 'http', port: 80, nodePort: port }], ...more },
})
const MAGLEV = { annotations: { 'service.axoneme.io/algorithm': 'maglev' } }
const AFFINITY = { sessionAffinity: 'ClientIP' }

const STATES: Readonly<Record<string, State>> = {
  empty: [],
  'without endpoints': [service('web', WEB), service('api', API)],
  plain: [service('web', WEB), slice('web', pods(1, 2)), service('api', API), slice('api', pods(3))],
  'other backends': [service('web', WEB), slice('web', pods(2, 4)), service('api', API), slice('api', pods(1, 3))],
  'backends change places': [service('web', WEB), slice('web', pods(3)), service('api', API), slice('api', pods(1, 2))],
  'maglev with affinity': [
    service('web', WEB, { ...MAGLEV, spec: AFFINITY }),
    slice('web', pods(1, 2, 5)),
    service('api', API, MAGLEV),
    slice('api', pods(3)),
  ],
  'node port of web': [
    service('web', WEB, nodePort(30080, { ...AFFINITY, externalTrafficPolicy: 'Local' })),
    slice('web', ['10.244.1.1@node1', '10.244.1.2@node2']),
    service('api', API),
    slice('api', pods(3)),
  ],
  'node port of api': [
    service('web', WEB),
    slice('web', pods(1)),
    service('api', API, nodePort(30080)),
    slice('api', [...pods(3), '10.244.1.6!']),
  ],
  'both want one': [
    service('web', WEB, { ...nodePort(30080, { externalIPs: ['198.51.100.1'] }), created: '2026-01-02T00:00:00Z' }),
    slice('web', pods(1, 2)),
    service('api', API, { ...nodePort(30080, { externalIPs: ['198.51.100.1'] }), created: '2026-01-01T00:00:00Z' }),
    slice('api', pods(3, 4)),
  ],
  'load balancer': [
    service('web', WEB, {
      spec: { ...nodePort(30081).spec, type: 'LoadBalancer', loadBalancerSourceRanges: ['203.0.113.0/24'] },
      status: { loadBalancer: { ingress: [{ ip: '172.30.100.1' }] } },
    }),
    slice('web', pods(1)),
    slice('web', pods(2), 9090, 'web-2'),
  ],
  'addresses change places': [
    service('web', API),
    slice('web', pods(1, 2)),
    service('api', WEB),
    slice('api', pods(3)),
    service('db', DB),
    slice('db', pods(1)),
  ],
}

const NAMES = Object.keys(STATES)

/** What a client may get at an address: `kind ADDRESS:PORT` of each backend, or what happens instead. */
type Meaning = Readonly<Record<string, readonly string[]>>

const endText = ({
  address,
  port,
}: {
  readonly address: { readonly bytes: Uint8Array }
  readonly port: number
}): string => `${formatIp(address.bytes)}:${port}`

/** @throws AssertionError where a frontend leads nowhere */
function meaningOf({ datapath }: SimulatedNode): Meaning {
  const { maps, schema } = datapath
  const meaning: Record<string, readonly string[]> = {}
  for (const [key, frontend] of maps.frontends.lookupBatch()) {
    const kinds = frontend.backends.map((range, kind) => {
      const ids = [...new Set(slotsIn(datapath, range))]
      const backends = ids.map(id => {
        const backend = maps.backends.get(id)
        assert.ok(backend, `${endText(key)} leads to backend ${id}, which is not there`)
        return endText(backend)
      })
      return backends.length > 0 ? backends.sort().join(' ') : schema.withoutBackend.text(frontend.without[kind] ?? 0)
    })
    const { flags, affinity_seconds: affinity } = frontend
    meaning[endText(key)] = [...kinds, `flags ${flags}`, `affinity ${affinity}`]
  }
  return meaning
}

/** Everything of the maps but numbers. */
function contentOf(node: SimulatedNode) {
  const { maps } = node.datapath
  const serviceOf = new Map(maps.frontends.lookupBatch().map(([key, { service: number }]) => [number, endText(key)]))
  const backendOf = (id: number): string => endText(maps.backends.get(id) ?? assert.fail(`no backend ${id}`))
  const lines = [
    ...maps.affinity_backends.lookupBatch().map(([{ service: number, backend }, bits]) => {
      return `affinity ${serviceOf.has(number)} ${backendOf(backend)} ${bits}`
    }),
    ...maps.source_ranges.lookupBatch().map(([{ service: number, prefix_length: length, address }]) => {
      return `range ${serviceOf.has(number)} ${formatIp(address)}/${length}`
    }),
    ...maps.backends.lookupBatch().map(([, backend]) => `backend ${endText(backend)}`),
  ]
  return {
    frontends: meaningOf(node),
    owners: ownersOf(node),
    others: lines.sort(),
    problems: node.tables.problems
      .all()
      .map(one => one.message)
      .sort(),
  }
}

/** Service by each address that it has. */
const ownersOf = ({ tables }: SimulatedNode): Readonly<Record<string, string>> =>
  Object.fromEntries(
    tables.serviceEntries
      .all()
      .flatMap(({ name, ports }) =>
        ports.flatMap(({ frontends }) => frontends.map(({ address, port }) => [`${address}:${port}`, name])),
      ),
  )

type Content = ReturnType<typeof contentOf>

async function settle(node: SimulatedNode): Promise<void> {
  // Retries wait at most 30 seconds each; what is left over is seen by the full compare.
  for (let i = 0; i < 4; i++) await node.advance(31_000)
  await node.advance(300_000)
  for (let i = 0; i < 4; i++) await node.advance(2000)
}

const contents = new Map<string, Promise<Content>>()

/** Of a node that started there. */
function contentOfState(name: string): Promise<Content> {
  const known = contents.get(name)
  if (known) return known
  const content = (async () => {
    await using node = await SimulatedNode.start()
    node.declare({ 'state.yaml': fileOf(...(STATES[name] ?? [])) })
    await settle(node)
    return contentOf(node)
  })()
  contents.set(name, content)
  return content
}

/** Watches what an address may lead to: what one of the states has there that may be met, or nothing. */
class Watch {
  allowed: readonly Content[] = []
  #violation: unknown

  check(node: SimulatedNode, after: string): void {
    try {
      const meaning = meaningOf(node)
      for (const [address, now] of Object.entries(meaning)) {
        const wanted = this.allowed.flatMap(({ frontends }) => frontends[address]?.join('; ') ?? [])
        assert.ok(
          wanted.includes(now.join('; ')),
          `${address}: ${now.join('; ')} after ${after}, of ${wanted.join(' | ')}`,
        )
      }
      // What a service has in all states never goes away on the way.
      const [first, ...others] = this.allowed
      for (const [address, owner] of Object.entries(first?.owners ?? {}))
        if (others.every(({ owners }) => owners[address] === owner))
          assert.ok(meaning[address], `${address} is gone after ${after}`)
    } catch (error) {
      this.#violation ??= error
    }
  }

  confirm(): void {
    if (this.#violation) throw this.#violation
  }
}

/** A walk that goes from every state to every other exactly once. */
function walk(): string[] {
  const open = new Map(NAMES.map(name => [name, NAMES.filter(other => other !== name)]))
  const path: string[] = []
  const stack = [NAMES[0] as string]
  for (let at = stack.at(-1); at !== undefined; at = stack.at(-1)) {
    const next = open.get(at)?.pop()
    if (next === undefined) path.push(stack.pop() as string)
    else stack.push(next)
  }
  return path.reverse()
}

type Mode = { readonly name: string; readonly fails?: boolean; readonly restarts?: boolean }

const MODES: readonly Mode[] = [
  { name: 'undisturbed' },
  { name: 'while writes of maps fail and are tried again', fails: true },
  { name: 'with a restart on the way', restarts: true },
  { name: 'with a restart on the way while writes fail', fails: true, restarts: true },
]

type Step = { readonly to: string; readonly turns: number }

/** Goes through states as fast as the steps say, and holds the maps against them all along. */
async function play(rounds: readonly (readonly Step[])[], { fails, restarts }: Mode, pauses: readonly number[]) {
  const watch = new Watch()
  const running: { node?: SimulatedNode; isFaulty: boolean; writes: number } = { isFaulty: false, writes: 0 }
  const options: SimulatedNodeOptions = {
    fault(write) {
      if (running.isFaulty && ++running.writes % 3 === 0) throw new Error(`no ${write.kind} of ${write.map} now`)
    },
    onWrite: write => running.node && watch.check(running.node, `${write.kind} of ${write.map}`),
    async pause() {
      const turns = pauses[running.writes++ % (pauses.length || 1)] ?? 0
      for (let i = 0; i < turns; i++) await eventLoopTurn()
    },
  }
  await using node = await SimulatedNode.start(options)
  running.node = node
  let at = 'empty'
  for (const round of rounds) {
    watch.allowed = [await contentOfState(at)]
    running.isFaulty = fails === true
    for (const { to, turns } of round) {
      watch.allowed = [...watch.allowed, await contentOfState(to)]
      node.declare({ 'state.yaml': fileOf(...(STATES[to] ?? [])) })
      for (let turn = 0; turn < turns; turn++) await eventLoopTurn()
      if (restarts) await node.restart()
      at = to
    }
    await node.advance(5000)
    running.isFaulty = false
    await settle(node)
    watch.confirm()
    assert.deepEqual(
      contentOf(node),
      await contentOfState(at),
      `in the end, by ${round.map(({ to }) => to).join(', ')}`,
    )
  }
  return node.failures.length
}

for (const mode of MODES)
  test(`any state of services to any state, ${mode.name}`, async () => {
    const steps = walk()
    assert.equal(steps.length, NAMES.length * (NAMES.length - 1) + 1)
    const rounds = steps.map((to, i) => [{ to, turns: mode.restarts ? i % 13 : 0 }])
    assert.equal((await play(rounds, mode, [0])) > 0, mode.fails === true)
  })

test('changes that come while others are under way', async () => {
  const step = fc.record({ to: fc.constantFrom(...NAMES), turns: fc.nat(20) })
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(step, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 }),
      fc.constantFrom(...MODES),
      fc.array(fc.nat(4), { minLength: 1, maxLength: 6 }),
      async (...given) => void (await play(...given)),
    ),
    { numRuns: Number(process.env['AXONEME_RUNS'] ?? 15) },
  )
})
