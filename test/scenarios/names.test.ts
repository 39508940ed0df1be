// Whatever order answers, policies, pods and time come in, and wherever the agent ends in
// between: what the kernel has depends on what is declared and known at the end alone.
// AXONEME_RUNS=1000 tries so many random orders.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import fc from 'fast-check'
import { type IpcacheKey } from '../../src/maps/index.ts'
import { SimulatedNode } from './simulated-node.ts'

const NAMES = ['api.example', 'a.cdn.example', 'b.cdn.example', 'other.org'] as const
const ADDRESSES = ['198.51.100.1', '198.51.100.2', '198.51.100.9', '2001:db8::1', '10.9.0.1'] as const
const pod = (name: string, address?: string) =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, labels: {app: ${name}}}\nspec: {containers: [{name: main, image: x}]}\n${address ? `status: {podIP: ${address}}` : ''}`
const cilium = (name: string, egress: string) =>
  `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: ${name}}\nspec: {endpointSelector: {}, egress: [${egress}]}`

/** What each file may say; undefined where it is not there. */
const FILES = {
  'exact.yaml': [undefined, cilium('exact', '{toFQDNs: [{matchName: api.example}]}')],
  'pattern.yaml': [
    undefined,
    cilium(
      'pattern',
      '{toFQDNs: [{matchPattern: "*.cdn.example"}], toPorts: [{ports: [{port: "443", protocol: TCP}]}]}',
    ),
    cilium('pattern', '{toFQDNs: [{matchPattern: "**.example"}]}'),
  ],
  'every.yaml': [undefined, cilium('every', '{toFQDNs: [{matchPattern: "*"}]}')],
  'block.yaml': [
    undefined,
    cilium('block', '{toCIDR: [198.51.100.0/30]}'),
    cilium('block', '{toCIDRSet: [{cidr: 198.51.100.0/24, except: [198.51.100.2/32]}]}'),
  ],
  // An address that names were answered with becomes a pod's.
  'late.yaml': [undefined, pod('late', '10.9.0.1')],
} as const

type Step =
  | { readonly kind: 'learn'; readonly name: string; readonly addresses: readonly string[]; readonly ttl: number }
  | { readonly kind: 'declare'; readonly file: keyof typeof FILES; readonly version: number }
  | { readonly kind: 'advance'; readonly seconds: number }
  | { readonly kind: 'use'; readonly addresses: readonly string[] }
  | { readonly kind: 'restart' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('learn' as const),
      name: fc.constantFrom(...NAMES),
      addresses: fc.subarray([...ADDRESSES], { minLength: 1 }),
      ttl: fc.constantFrom(1, 30, 300),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('declare' as const),
      file: fc.constantFrom(...(Object.keys(FILES) as (keyof typeof FILES)[])),
      version: fc.nat({ max: 2 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('advance' as const), seconds: fc.constantFrom(3, 20, 60) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('use' as const), addresses: fc.subarray([...ADDRESSES]) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
)

async function take(node: SimulatedNode, given: Step): Promise<unknown> {
  if (given.kind === 'advance') return node.advance(given.seconds * 1000)
  if (given.kind === 'restart') return node.restart()
  if (given.kind === 'declare') {
    const versions: readonly (string | undefined)[] = FILES[given.file]
    return node.declare({ [given.file]: versions[given.version % versions.length] })
  }
  if (given.kind === 'use') {
    node.usedAddresses.clear()
    for (const address of given.addresses) node.usedAddresses.add(address)
    return undefined
  }
  const addresses = given.addresses.map(address => ({ address, ttlSeconds: given.ttl }))
  const asked = { name: given.name, addresses, client: '10.244.0.2', server: '10.96.0.10', timeMicros: now(node) }
  return node.engine.names.teach({ names: [asked] }, new AbortController().signal)
}

const now = (node: SimulatedNode): number => Math.round(node.clock.nowMs() * 1000)

/** Who stands where in the kernel, and whom the pod's policy map lets in: by labels, since numbers may differ. */
function kernel(node: SimulatedNode) {
  const labels = new Map(node.tables.identities.all().map(identity => [identity.number, identity.labels.key]))
  const textOf = ({ address, prefix_length }: IpcacheKey) => `${Buffer.from(address).toString('hex')}/${prefix_length}`
  const ipcache = node.datapath.maps.ipcache
    .lookupBatch()
    .map(([key, { identity }]) => `${textOf(key)} ${labels.get(identity) ?? identity}`)
  const inUse = new Set(node.datapath.maps.ipcache.lookupBatch().map(([, { identity }]) => identity))
  const rules = node.tables.policyMaps
    .all()
    .flatMap(({ entries, subject }) =>
      entries
        .filter(({ identity }) => identity === 0 || inUse.has(identity))
        .map(
          ({ identity, direction, port, key }) =>
            `${subject} ${direction} ${labels.get(identity) ?? 'any'} ${port} ${key}`,
        ),
    )
  return { ipcache: ipcache.sort(), rules: rules.sort() }
}

const namesOf = (node: SimulatedNode): string[] =>
  node.tables.names
    .all()
    .map(({ name, address }) => `${name} ${address}`)
    .sort()

const codeOf = (error: unknown): unknown => (error as { readonly code?: unknown }).code

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await eventLoopTurn()
}

test('any order of answers, policies, pods, time and restarts ends in the same maps', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(step, fc.nat({ max: 25 })), { minLength: 1, maxLength: 14 }),
      fc.nat({ max: 4 }),
      async (steps, slowness) => {
        await using node = await SimulatedNode.start({ pause: () => turns(slowness) })
        node.declare({ 'web.yaml': pod('web') })
        await node.add({ namespace: 'default', name: 'web' }, 'web')
        await node.settle()
        const begun: Promise<unknown>[] = []
        // Each begins while those before may be on their way.
        for (const [given, gap] of steps) {
          const done = take(node, given)
          begun.push(done)
          done.catch(() => undefined) // looked at in the end
          if (given.kind === 'restart' || given.kind === 'advance') await done
          await turns(gap)
        }
        for (const ended of await Promise.allSettled(begun))
          if (ended.status === 'rejected')
            assert.equal(codeOf(ended.reason), 'NOT_IN_FORCE', 'the agent ended meanwhile')
        await node.settle()
        const [byManySteps, names] = [kernel(node), namesOf(node)]
        await node.restart()
        assert.deepEqual(namesOf(node), names)
        assert.deepEqual(kernel(node), byManySteps)
      },
    ),
    { numRuns: Number(process.env['AXONEME_RUNS'] ?? 30) },
  )
})
