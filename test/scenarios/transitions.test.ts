// What packets meet while a change is on its way into the maps. Changes come at any
// moment, also before the last one has arrived; between any two writes of a map every
// pod tries to reach every other one. Nothing may be allowed that neither the state
// before nor a state declared since allows, nor unjudged what all of them have judged by
// rules for requests; nothing may meet a policy that is not there;
// and what a single change leaves allowed is never denied on the way. AXONEME_RUNS=1500
// tries so many random sequences of changes.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import * as fc from 'fast-check'
import { ip } from '../../src/ip/index.ts'
import { PROTOCOLS } from '../../src/labels/index.ts'
import { parseManifests } from '../../src/manifests/index.ts'
import { type Cluster, type End as ClusterEnd, readCluster, rulesOf } from '../../src/policy/index.ts'
import { type Prediction, predict, type Question } from '../../src/trace/index.ts'
import { type End, firstPacket, outcome } from './attempt.ts'
import { fileOf, namespace, pod, policy, selected } from './manifests.ts'
import { SimulatedNode } from './simulated-node.ts'

/** What is declared: a choice for each thing that can change. */
type Intent = {
  readonly labels: Readonly<Record<PodName, number>>
  readonly team: number
  readonly policies: readonly number[]
  /** Whether each policy is only tried out, and whether all are in this namespace. */
  readonly audited: readonly boolean[]
  readonly isNamespaceAudited: boolean
  /** Prefixes of the CIDR group. */
  readonly group: number
}

const POD_NAMES = ['a', 'b', 'c', 'd'] as const
type PodName = (typeof POD_NAMES)[number]

const ADDRESSES: Readonly<Record<PodName, string>> = {
  a: '10.244.1.10',
  b: '10.244.1.20',
  c: '10.244.2.10',
  d: '10.244.2.20',
}
const OUTSIDE = ['198.51.100.7', '198.51.100.200']
const PORTS = [80, 81]

const COLOURS = ['red', 'green', 'blue']
const TEAMS = ['north', 'south']

const from = (...peers: readonly object[]) => ({ from: peers })
const team = (name: string) => ({ namespaceSelector: { matchLabels: { team: name } } })
const block = (cidr: string, ...except: readonly string[]) => ({ ipBlock: { cidr, except } })
const BOTH = { policyTypes: ['Ingress', 'Egress'] }

const [DENY_INGRESS, DENY_EGRESS, BLUE_TO_RED, RED_TO_RED] = [1, 2, 3, 4] as const
const [TO_ANY_BLOCK, BLOCK_WITH_EXCEPTION_TO_GREEN, BLOCK_TO_BLUE, BLOCK_TO_RED] = [7, 8, 9, 13] as const
const [FROM_GROUP, NOT_FROM_GROUP] = [14, 15] as const
const [REQUESTS_IN, REQUESTS_OUT, PUT_TO_RED] = [20, 21, 22] as const
const [NORTH_SHUTS_NORTH, SOUTH_SHUTS_SOUTH, NORTH_LETS_NORTH_IN, SOUTH_SENDS_TO_SOUTH] = [16, 17, 18, 19] as const

const GROUPS = [['198.51.100.0/24'], ['198.51.100.128/25'], ['198.51.100.0/25', '203.0.113.0/24']]

/** Of a CiliumNetworkPolicy. */
const friends = (item: object) => ({ fromCIDRSet: [{ cidrGroupRef: 'friends', ...item }] })

const TEAM = (name: string) => ({ matchLabels: { 'k8s:io.cilium.k8s.namespace.labels.team': name } })
const ANYBODY = [{ fromEntities: ['all'] }]
const fromTeam = (name: string) => ({ fromEndpoints: [TEAM(name)] })
const ofTeam = (name: string, rules: object) => ({ endpointSelector: TEAM(name), ...rules })

const requests = (rules: object) => ({ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules }] })
const GET = requests({ http: [{ method: 'GET' }] })
const OPEN = { ingress: false, egress: false }

/** What one of the policies may say; the first is none at all. */
const SPECS: readonly (object | undefined)[] = [
  undefined,
  {},
  { policyTypes: ['Egress'] },
  { ...selected({ colour: 'red' }), ingress: [from(selected({ colour: 'blue' }))] },
  { ...selected({ colour: 'red' }), ingress: [from(selected({ colour: 'red' }))] },
  { ...selected({ colour: 'blue' }), ingress: [{ ...from(selected({ colour: 'green' })), ports: [{ port: 80 }] }] },
  { ...BOTH, ingress: [from(selected({ colour: 'green' }))], egress: [{ to: [selected({ colour: 'red' })] }] },
  { ...BOTH, ingress: [from(team('north'))], egress: [{ to: [block('0.0.0.0/0')] }] },
  { ...selected({ colour: 'green' }), ingress: [from(block('198.51.100.0/24', '198.51.100.128/25'))] },
  { ...selected({ colour: 'blue' }), ingress: [from(block('198.51.100.0/24'))] },
  { ingress: [from(block('10.244.1.0/24', '10.244.1.16/28'))] },
  {
    policyTypes: ['Egress'],
    egress: [{ to: [block('198.51.100.128/25')] }, { to: [{ podSelector: {} }], ports: [{ port: 'http' }] }],
  },
  { ingress: [from({ podSelector: { matchLabels: { 'pod-template-hash': 'c' } } })] },
  { ...selected({ colour: 'red' }), ingress: [from(block('203.0.113.0/24'))] },
  { endpointSelector: {}, ingress: [friends({ except: ['198.51.100.192/26'] })] },
  { endpointSelector: { matchLabels: { colour: 'red' } }, ingressDeny: [friends({})] },
  ofTeam('north', { ingress: ANYBODY, ingressDeny: [fromTeam('north')] }),
  ofTeam('south', { ingress: ANYBODY, ingressDeny: [fromTeam('south')] }),
  ofTeam('north', { ingress: [fromTeam('north')] }),
  ofTeam('south', { egress: [{ toEndpoints: [TEAM('south')] }] }),
  { endpointSelector: {}, enableDefaultDeny: OPEN, ingress: [GET] },
  { endpointSelector: {}, enableDefaultDeny: OPEN, egress: [GET] },
  { endpointSelector: { matchLabels: { colour: 'red' } }, ingress: [requests({ http: [{ method: 'PUT' }] })] },
  { endpointSelector: {}, egress: [{ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }] }] }] },
  { endpointSelector: {}, enableDefaultDeny: OPEN, ingress: [requests({ kafka: [{}] })] },
]

function filesOf(intent: Intent): Record<string, string> {
  const { labels, team: teamIndex, policies, audited } = intent
  return {
    'namespaces.yaml': fileOf(
      annotated(namespace('default', { team: TEAMS[teamIndex] as string }), intent.isNamespaceAudited),
    ),
    'group.yaml': fileOf({
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumCIDRGroup',
      metadata: { name: 'friends' },
      spec: { externalCIDRs: GROUPS[intent.group] },
    }),
    ...Object.fromEntries(
      POD_NAMES.map((name, i) => [
        `${name}.yaml`,
        fileOf(
          pod(name, {
            labels: { colour: COLOURS[labels[name]] as string, 'pod-template-hash': name },
            addresses: [ADDRESSES[name]],
            ports: [{ name: 'http', containerPort: 80 + (i % 2) }],
          }),
        ),
      ]),
    ),
    ...Object.fromEntries(
      policies.map((choice, i) => {
        const spec = SPECS[choice]
        const manifest = spec && ('endpointSelector' in spec ? ciliumPolicy : policy)(`p${i}`, spec)
        return [`policy-${i}.yaml`, manifest ? fileOf(annotated(manifest, audited[i] ?? false)) : '']
      }),
    ),
  }
}

const ciliumPolicy = (name: string, spec: object) => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name, namespace: 'default' },
  spec,
})

const annotated = (manifest: { readonly metadata: object }, isAudited: boolean) => ({
  ...manifest,
  metadata: { ...manifest.metadata, annotations: { 'policy.axoneme.io/audit': String(isAudited) } },
})

type Try = {
  readonly name: string
  readonly from: End
  readonly to: End
  readonly port: number
  readonly packet: Question
}

/** All attempts between the pods, the node and addresses outside. */
function attempts(node: SimulatedNode): Try[] {
  const pods = node.tables.endpoints
    .all()
    .map((endpoint): [string, End] => [endpoint.podName, { kind: 'endpoint', endpoint }])
  const others = [
    ['host', { kind: 'host' }],
    ...OUTSIDE.map((address): [string, End] => [address, { kind: 'address', address }]),
  ] as [string, End][]
  const ends = [...pods, ...others]
  return ends.flatMap(([fromName, source]) =>
    ends.flatMap(([toName, to]) =>
      PORTS.flatMap((port): Try[] => {
        const packet = fromName === toName ? undefined : firstPacket(source, to, { protocol: 'TCP', port }, 4)
        return packet ? [{ name: `${fromName} -> ${toName}:${port}`, from: source, to, port, packet }] : []
      }),
    ),
  )
}

/** How far a connection is let: not at all, as far as somebody judges what is said on it, or without that. */
const [DENIED, JUDGED, ALLOWED] = [0, 1, 2] as const

/** How far the maps let it. No proxy listens here, so what one would judge finds no socket. */
function freedomOf({ verdict, reason }: Prediction): number {
  if (verdict === 'redirected' || reason === 'SOCKET_LOOKUP_FAILED') return JUDGED
  return verdict === 'dropped' ? DENIED : ALLOWED
}

/** How far an intent lets connections, by the name of the attempt, without any maps. */
class Oracle {
  readonly #cluster: Cluster
  readonly #known = new Map<string, number>()

  constructor(intent: Intent) {
    const objects = Object.entries(filesOf(intent)).flatMap(([file, text]) => parseManifests(text, file).objects)
    const node = {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'node1' },
      status: { addresses: [{ type: 'InternalIP', address: '172.30.0.2' }] },
    }
    const { cluster, problems } = readCluster([...objects, ...parseManifests(fileOf(node), 'node').objects])
    assert.deepEqual(problems, [])
    this.#cluster = cluster
  }

  freedom({ name, from: source, to, port }: Try): number {
    const known = this.#known.get(name)
    if (known !== undefined) return known
    const { verdict, egress, ingress } = this.#cluster.verdict(
      this.#endOf(source),
      this.#endOf(to),
      PROTOCOLS.TCP,
      port,
    )
    const allowed = rulesOf(egress) || rulesOf(ingress) ? JUDGED : ALLOWED
    const made = verdict === 'allowed' ? allowed : DENIED
    this.#known.set(name, made)
    return made
  }

  #endOf(end: End): ClusterEnd {
    const address =
      end.kind === 'endpoint' ? end.endpoint.addresses[0] : end.kind === 'host' ? '172.30.0.2' : end.address
    return this.#cluster.endAt(ip(address as string))
  }
}

/** Of one declared object. */
type Change = { readonly text: string; readonly apply: (intent: Intent) => Intent }

const ENFORCED = { audited: [false, false, false], isNamespaceAudited: false, group: 0 }
const START: Intent = { labels: { a: 0, b: 1, c: 2, d: 0 }, team: 0, policies: [0, 0, 0], ...ENFORCED }

/** A node that is watched: after each write everybody tries to reach everybody. */
class WatchedNode {
  readonly #node: SimulatedNode
  readonly #attempts: readonly Try[]
  /** What the node was settled in last, and what was declared since. */
  #window: readonly Intent[]
  #oracles: readonly Oracle[] = []
  /** What was allowed all along must not be denied for a moment. Holds for one change at a time. */
  #isSteady = true
  #violation: unknown

  private constructor(node: SimulatedNode, start: Intent) {
    this.#node = node
    this.#attempts = attempts(node)
    this.#window = [start]
    this.#oracles = oraclesOf(this.#window)
  }

  /** @param pauses how many turns of the event loop each write takes, over and over */
  static async start(start: Intent, pauses: readonly number[]): Promise<WatchedNode & AsyncDisposable> {
    const watching: { node?: WatchedNode } = {}
    let paused = 0
    const node = await SimulatedNode.start({
      onWrite: write => watching.node?.check(`${write.kind} of ${write.map}`),
      async pause() {
        const turns = pauses[paused++ % pauses.length] ?? 0
        for (let i = 0; i < turns; i++) await eventLoopTurn()
      },
    })
    node.declare(filesOf(start))
    for (const name of POD_NAMES) await node.add({ namespace: 'default', name }, name)
    await node.advance(6000)
    const watched = new WatchedNode(node, start)
    watching.node = watched
    return Object.assign(watched, { [Symbol.asyncDispose]: () => node.close() })
  }

  declare(change: Change): void {
    const next = change.apply(this.#window.at(-1) ?? START)
    this.#window = [...this.#window, next]
    this.#oracles = oraclesOf(this.#window)
    this.#isSteady = this.#window.length <= 2
    this.#node.declare(filesOf(next))
    this.check(change.text)
  }

  /** Until everything has arrived; then the maps say exactly what is declared. */
  async settle(): Promise<void> {
    await this.#node.settle()
    await this.#node.advance(6000)
    if (this.#violation) throw this.#violation
    // No proxy is named to this node.
    const failures = this.#node.failures.filter(({ reconciler }) => reconciler !== 'rule-sets')
    assert.deepEqual(failures, [])
    this.#window = this.#window.slice(-1)
    this.#oracles = oraclesOf(this.#window)
    this.#isSteady = true
    this.#judge('all has settled')
  }

  /** What is found between two writes, where nobody else may hear of it, is told when all has settled. */
  check(after: string): void {
    try {
      this.#judge(after)
    } catch (error) {
      this.#violation ??= error
    }
  }

  #judge(after: string): void {
    for (const one of this.#attempts) {
      const prediction = predict(this.#node.world, one.packet)
      const verdict = outcome(prediction)
      const is = freedomOf(prediction)
      const wanted = this.#oracles.map(oracle => oracle.freedom(one))
      const describe = () => `${one.name} is ${verdict} after ${after}; the states let it ${wanted.join(' or ')}`
      assert.ok(is <= Math.max(...wanted), describe())
      if (is === DENIED) assert.match(verdict, /^POLICY_DEN|^PROXY_CONFLICT$/, describe())
      if (this.#isSteady) assert.ok(is >= Math.min(...wanted), describe())
    }
  }
}

/** The states that may be met. */
const oraclesOf = (window: readonly Intent[]): Oracle[] => window.map(oracleOf)

const oracles = new Map<string, Oracle>()

function oracleOf(intent: Intent): Oracle {
  const key = JSON.stringify(intent)
  const oracle = oracles.get(key) ?? new Oracle(intent)
  oracles.set(key, oracle)
  return oracle
}

const relabel = (name: PodName, colour: number): Change => ({
  text: `pod ${name} becomes ${COLOURS[colour]}`,
  apply: intent => ({ ...intent, labels: { ...intent.labels, [name]: colour } }),
})

const setTeam = (team: number): Change => ({
  text: `the namespace becomes of team ${TEAMS[team]}`,
  apply: intent => ({ ...intent, team }),
})

const setPolicy = (index: number, choice: number): Change => ({
  text: `policy ${index} becomes ${choice}: ${JSON.stringify(SPECS[choice] ?? 'none')}`,
  apply: intent => ({ ...intent, policies: intent.policies.with(index, choice) }),
})

const setAudit = (index: number, isAudited: boolean): Change => ({
  text: `policy ${index} is ${isAudited ? 'tried out' : 'enforced'}`,
  apply: intent => ({ ...intent, audited: intent.audited.with(index, isAudited) }),
})

const setNamespaceAudit = (isNamespaceAudited: boolean): Change => ({
  text: `the namespace is ${isNamespaceAudited ? 'tried out' : 'enforced'}`,
  apply: intent => ({ ...intent, isNamespaceAudited }),
})

const setGroup = (group: number): Change => ({
  text: `the group becomes ${GROUPS[group]?.join(' ')}`,
  apply: intent => ({ ...intent, group }),
})

type Hazard = { readonly name: string; readonly start: Partial<Intent>; readonly changes: readonly Change[] }

const [RED, GREEN, BLUE] = [0, 1, 2] as const
const SAME = { a: RED, b: RED, c: RED, d: RED }

/** Changes that a careless order of writes opens for a moment. */
const HAZARDS: readonly Hazard[] = [
  {
    name: 'a policy of everybody turns from ingress to egress',
    start: { policies: [DENY_INGRESS, 0, 0] },
    changes: [setPolicy(0, DENY_EGRESS)],
  },
  {
    name: 'a policy of everybody turns from egress to ingress',
    start: { policies: [DENY_EGRESS, 0, 0] },
    changes: [setPolicy(0, DENY_INGRESS)],
  },
  {
    name: 'an exception is named for the first time, inside a block that is known',
    start: { policies: [DENY_INGRESS, BLOCK_TO_BLUE, 0] },
    changes: [setPolicy(2, BLOCK_WITH_EXCEPTION_TO_GREEN)],
  },
  {
    name: 'a block that holds everybody is named for the first time',
    start: {},
    changes: [setPolicy(0, TO_ANY_BLOCK)],
  },
  {
    name: 'a block that holds everybody is no longer named',
    start: { policies: [TO_ANY_BLOCK, 0, 0] },
    changes: [setPolicy(0, 0)],
  },
  {
    name: 'a pod loses a label, then the label is let in',
    start: { labels: { ...SAME, b: BLUE }, policies: [0, BLUE_TO_RED, 0] },
    changes: [relabel('d', GREEN), setPolicy(1, RED_TO_RED)],
  },
  {
    name: 'a label is shut out, then a pod gets it',
    start: { labels: { ...SAME, b: BLUE }, policies: [0, BLUE_TO_RED, 0] },
    changes: [setPolicy(1, RED_TO_RED), relabel('d', BLUE)],
  },
  {
    name: 'a label is shut out in favour of a block that is new, then a pod gets it',
    start: { labels: SAME, policies: [0, BLUE_TO_RED, 0] },
    changes: [setPolicy(1, BLOCK_TO_RED), relabel('d', BLUE)],
  },
  {
    name: 'pods that each team shuts its own out of go over to the other',
    start: { policies: [NORTH_SHUTS_NORTH, SOUTH_SHUTS_SOUTH, 0] },
    changes: [setTeam(1)],
  },
  {
    name: 'pods that each team lets its own in go over to the other',
    start: { policies: [NORTH_LETS_NORTH_IN, SOUTH_SENDS_TO_SOUTH, 0] },
    changes: [setTeam(1)],
  },
  {
    name: 'the namespace changes its team while a policy comes',
    start: { policies: [NORTH_SHUTS_NORTH, 0, 0] },
    changes: [setTeam(1), setPolicy(1, SOUTH_SHUTS_SOUTH), relabel('b', BLUE)],
  },
  {
    name: 'the group of a policy gets a prefix that no policy has named, with an exception',
    start: { policies: [FROM_GROUP, 0, 0] },
    changes: [setGroup(1)],
  },
  {
    name: 'the group that one policy allows and another denies changes',
    start: { policies: [FROM_GROUP, NOT_FROM_GROUP, 0], group: 1 },
    changes: [setGroup(2)],
  },
  {
    name: 'a policy is enforced from now on, another only tried out',
    start: { policies: [DENY_INGRESS, DENY_EGRESS, 0], audited: [true, false, false] },
    changes: [setAudit(0, false), setAudit(1, true)],
  },
  {
    name: 'a policy that is only tried out turns from ingress to egress and is enforced',
    start: { policies: [DENY_INGRESS, 0, 0], audited: [true, false, false] },
    changes: [setPolicy(0, DENY_EGRESS), setAudit(0, false)],
  },
  {
    name: 'a namespace is tried out while its policy turns from ingress to egress',
    start: { policies: [DENY_INGRESS, 0, 0] },
    changes: [setNamespaceAudit(true), setPolicy(0, DENY_EGRESS)],
  },
  {
    name: 'a namespace is enforced again',
    start: { policies: [BLUE_TO_RED, TO_ANY_BLOCK, 0], isNamespaceAudited: true },
    changes: [setNamespaceAudit(false)],
  },
  {
    name: 'requests are judged at the receiver instead of at the sender',
    start: { policies: [REQUESTS_OUT, 0, 0] },
    changes: [setPolicy(0, REQUESTS_IN)],
  },
  {
    name: 'requests are judged from now on, then not any more',
    start: {},
    changes: [setPolicy(0, REQUESTS_IN), setPolicy(0, 0)],
  },
  {
    name: 'other requests of some pods are allowed while one of them goes over',
    start: { policies: [REQUESTS_IN, 0, 0] },
    changes: [setPolicy(0, PUT_TO_RED), relabel('a', RED)],
  },
  {
    name: 'a subject gets other labels while the policy of the new ones closes',
    start: { labels: { ...SAME, b: GREEN }, policies: [0, RED_TO_RED, 0] },
    changes: [setPolicy(2, DENY_INGRESS), relabel('d', GREEN)],
  },
]

for (const { name, start, changes } of HAZARDS)
  test(`on the way: ${name}`, async () => {
    for (const pauses of [[0], [3], [1, 0, 4]])
      for (const turns of [0, 3]) {
        await using node = await WatchedNode.start({ ...START, ...start }, pauses)
        for (const change of changes) {
          node.declare(change)
          for (let i = 0; i < turns; i++) await eventLoopTurn()
        }
        await node.settle()
      }
  })

const change: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.tuple(fc.constantFrom(...POD_NAMES), fc.nat(COLOURS.length - 1)).map(args => relabel(...args)),
  },
  { weight: 5, arbitrary: fc.tuple(fc.nat(2), fc.nat(SPECS.length - 1)).map(args => setPolicy(...args)) },
  { weight: 2, arbitrary: fc.nat(TEAMS.length - 1).map(setTeam) },
  { weight: 2, arbitrary: fc.tuple(fc.nat(2), fc.boolean()).map(args => setAudit(...args)) },
  { weight: 1, arbitrary: fc.boolean().map(setNamespaceAudit) },
  { weight: 2, arbitrary: fc.nat(GROUPS.length - 1).map(setGroup) },
)

const intent: fc.Arbitrary<Intent> = fc.record({
  labels: fc.record({ a: fc.nat(2), b: fc.nat(2), c: fc.nat(2), d: fc.nat(2) }),
  team: fc.nat(TEAMS.length - 1),
  policies: fc.tuple(fc.nat(SPECS.length - 1), fc.nat(SPECS.length - 1), fc.nat(SPECS.length - 1)),
  audited: fc.tuple(fc.boolean(), fc.boolean(), fc.boolean()),
  isNamespaceAudited: fc.oneof(fc.constant(false), fc.constant(false), fc.constant(true)),
  group: fc.nat(GROUPS.length - 1),
})

const round = fc.array(fc.tuple(change, fc.nat(12)), { minLength: 1, maxLength: 3 })

test('on the way of any changes nothing is allowed that no state allows', async () => {
  await fc.assert(
    fc.asyncProperty(
      intent,
      fc.array(round, { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(6), { minLength: 1, maxLength: 8 }),
      async (start, rounds, pauses) => {
        await using node = await WatchedNode.start(start, pauses)
        for (const steps of rounds) {
          for (const [change, turns] of steps) {
            node.declare(change)
            for (let i = 0; i < turns; i++) await eventLoopTurn()
          }
          await node.settle()
        }
      },
    ),
    { numRuns: Number(process.env['AXONEME_RUNS'] ?? 15) },
  )
})
