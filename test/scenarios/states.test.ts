// From any state to any other: what the maps say depends on what is declared now, never
// on the way there. One node walks every ordered pair of states; wherever it stands, it
// must say what a node says that started there.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import { fileOf, namespace, pod, policy, remoteNode, selected } from './manifests.ts'
import { type Meaning, meaningOf } from './meaning.ts'
import { SimulatedNode, type SimulatedNodeOptions } from './simulated-node.ts'

type State = { readonly objects: readonly object[]; readonly endpoints: readonly string[] }

const A = { addresses: ['10.244.1.10', 'fd00:10:244::1:10'] }
const B = { addresses: ['10.244.1.20', 'fd00:10:244::1:20'] }
const C = { addresses: ['10.244.2.10', 'fd00:10:244::2:10'] }
const http = (containerPort: number) => ({ ports: [{ name: 'http', containerPort }] })

const PODS = [
  namespace('shop', { team: 'red' }),
  pod('a', { ...A, labels: { app: 'web', 'pod-template-hash': '1' }, ...http(80) }),
  pod('b', { ...B, labels: { app: 'web', 'pod-template-hash': '2' }, ...http(8080) }),
  pod('c', { ...C, namespace: 'shop', labels: { app: 'client' } }),
]
const ENDPOINTS = ['default/a', 'default/b', 'shop/c']

const STATES: Readonly<Record<string, State>> = {
  empty: { objects: [], endpoints: [] },
  open: { objects: PODS, endpoints: ENDPOINTS },
  'declared, without endpoints': { objects: [...PODS, policy('deny', {})], endpoints: [] },
  isolated: {
    objects: [
      ...PODS,
      policy('web', {
        ...selected({ app: 'web' }),
        ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: 'red' } } }], ports: [{ port: 80 }] }],
      }),
      policy('client', { policyTypes: ['Egress'], egress: [{ to: [{ namespaceSelector: {} }] }] }, 'shop'),
    ],
    endpoints: ENDPOINTS,
  },
  'blocks and named ports': {
    objects: [
      ...PODS,
      policy('web', {
        ingress: [
          { from: [{ ipBlock: { cidr: '10.244.0.0/16', except: ['10.244.1.16/28'] } }], ports: [{ port: 'http' }] },
          { from: [{ ipBlock: { cidr: '198.51.100.0/24' } }, { ipBlock: { cidr: '::/0' } }] },
        ],
      }),
      policy(
        'client',
        { policyTypes: ['Egress'], egress: [{ to: [{ namespaceSelector: {} }], ports: [{ port: 'http' }] }] },
        'shop',
      ),
    ],
    endpoints: ENDPOINTS,
  },
  'other labels': {
    objects: [
      namespace('shop', { team: 'blue' }),
      pod('a', { ...A, labels: { app: 'website' }, ...http(8080) }),
      pod('b', { ...B, labels: { app: 'web', 'pod-template-hash': '3' } }),
      pod('c', { ...C, namespace: 'shop', labels: { app: 'client' } }),
      policy('web', {
        ...selected({ 'pod-template-hash': '3' }),
        ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: 'blue' } } }] }],
      }),
    ],
    endpoints: ENDPOINTS,
  },
  'other pods at the same addresses': {
    objects: [
      pod('d', { ...A, namespace: 'shop', labels: { app: 'client' } }),
      pod('e', { ...C, labels: { app: 'web' } }),
      policy('web', { ...selected({ app: 'web' }), ingress: [{ from: [{ podSelector: {} }] }] }),
    ],
    endpoints: ['shop/d', 'default/e'],
  },
  'pods and nodes elsewhere': {
    objects: [
      ...PODS,
      remoteNode('node2', '172.30.0.3', 'fd00:172:30::3'),
      pod('far', { addresses: ['10.245.0.7'], labels: { app: 'web' } }),
      policy('web', { ingress: [{ from: [{ ipBlock: { cidr: '172.30.0.0/24' } }, selected({ app: 'web' })] }] }),
    ],
    endpoints: ['default/a', 'shop/c'],
  },
}

const NAMES = Object.keys(STATES)

/** A walk that goes from every state to every other exactly once, and ends where it began. */
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

test('the walk goes from every state to every other', () => {
  const steps = walk()
  const pairs = new Set(steps.slice(1).map((name, i) => `${steps[i]} to ${name}`))
  assert.equal(pairs.size, NAMES.length * (NAMES.length - 1))
  assert.equal(steps.length, pairs.size + 1)
})

const containerOf = (name: string): string => name.replace('/', '-')

/** Begins to go to a state: what is declared changes at once, endpoints come and go as fast as they can. */
function begin(node: SimulatedNode, { objects, endpoints }: State): Promise<unknown> {
  const there = node.tables.endpoints.all().map(endpoint => `${endpoint.podNamespace}/${endpoint.podName}`)
  node.declare({ 'state.yaml': fileOf(...objects) })
  const leaving = there.filter(name => !endpoints.includes(name)).map(name => node.delete(containerOf(name)))
  const coming = endpoints
    .filter(name => !there.includes(name))
    .map(async name => {
      // An address may be one that another endpoint is about to leave.
      await Promise.all(leaving)
      const [namespaceName = '', podName = ''] = name.split('/')
      await node.add({ namespace: namespaceName, name: podName }, containerOf(name))
    })
  return Promise.all([...leaving, ...coming])
}

/** Lets time pass until it is done, and what lingers has gone. */
async function finish(node: SimulatedNode, done: Promise<unknown>): Promise<void> {
  const progress = { isDone: false }
  const marked = done.finally(() => {
    progress.isDone = true
  })
  while (!progress.isDone) {
    await node.advance(1000)
    await eventLoopTurn()
  }
  await marked
  // Retries wait at most 30 seconds each; what is left over is seen by the full compare.
  for (let i = 0; i < 4; i++) await node.advance(31_000)
}

async function meaningsOfFreshNodes(): Promise<ReadonlyMap<string, Meaning>> {
  const meanings = new Map<string, Meaning>()
  for (const [name, state] of Object.entries(STATES)) {
    await using node = await SimulatedNode.start()
    await finish(node, begin(node, state))
    meanings.set(name, meaningOf(node))
  }
  return meanings
}

type Mode = {
  readonly name: string
  readonly options?: (isFaulty: () => boolean) => SimulatedNodeOptions
  /** The agent is ended after so many turns of the event loop, and the next one started. */
  readonly restartAfterTurns?: (step: number) => number
}

/** Every third write fails, and never the same ones twice. */
const failing = (isFaulty: () => boolean): SimulatedNodeOptions => {
  let writes = 0
  return {
    fault: write => {
      if (isFaulty() && ++writes % 3 === 0) throw new Error(`no ${write.kind} of ${write.map} now`)
    },
  }
}

const MODES: readonly Mode[] = [
  { name: 'undisturbed' },
  { name: 'while writes of maps fail and are tried again', options: failing },
  { name: 'with a restart on the way', restartAfterTurns: step => step % 7 },
  {
    name: 'with a restart on the way while writes fail',
    options: failing,
    restartAfterTurns: step => step % 11,
  },
]

for (const { name, options, restartAfterTurns } of MODES)
  test(`any state to any state, ${name}`, async () => {
    const wanted = await meaningsOfFreshNodes()
    let isFaulty = false
    await using node = await SimulatedNode.start(options?.(() => isFaulty))
    const steps = walk()
    for (const [step, to] of steps.entries()) {
      const state = STATES[to] as State
      isFaulty = true
      let done = begin(node, state)
      if (restartAfterTurns) {
        done.catch(() => undefined) // the requests end with the agent, and are made again
        for (let turn = 0; turn < restartAfterTurns(step); turn++) await eventLoopTurn()
        await node.restart()
        done = begin(node, state)
      }
      await finish(node, done)
      isFaulty = false
      await finish(node, Promise.resolve())
      assert.deepEqual(meaningOf(node), wanted.get(to), `from ${steps[step - 1] ?? 'the start'} to ${to}`)
    }
    if (options) assert.ok(node.failures.length > 0, 'writes failed')
  })
