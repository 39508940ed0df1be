// ClusterNetworkPolicy and the two kinds that it replaces: what each field means, what is
// refused, what fails closed, and how their tiers stand to NetworkPolicies.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatProblem, type Problem, parseManifests } from '../../../manifests/index.ts'
import { readCluster } from '../../cluster/cluster-manifests.ts'
import { parsePorts, type ReachPort, reach } from '../../cluster/reach.ts'
import type { Policy } from '../../model/rule.ts'
import { readPolicy } from '../read-policy.ts'

const FILE = 'policy.yaml'

const KINDS = {
  cnp: ['policy.networking.k8s.io/v1alpha2', 'ClusterNetworkPolicy', 'edge'],
  anp: ['policy.networking.k8s.io/v1alpha1', 'AdminNetworkPolicy', 'edge'],
  banp: ['policy.networking.k8s.io/v1alpha1', 'BaselineAdminNetworkPolicy', 'default'],
} as const
type Kind = keyof typeof KINDS

/** Reads a policy whose spec is the text, indented by two. */
function read(kind: Kind, spec: string, name: string = KINDS[kind][2]) {
  const [apiVersion, kindName] = KINDS[kind]
  const head = [`apiVersion: ${apiVersion}`, `kind: ${kindName}`, `metadata: {name: ${name}}`, 'spec:']
  const text = [...head, ...spec.trim().split('\n')].map((line, i) => (i < head.length ? line : `  ${line}`))
  const { objects, problems } = parseManifests(text.join('\n'), FILE)
  assert.deepEqual(problems, [])
  assert.ok(objects[0])
  const result = readPolicy(objects[0])
  assert.ok(result)
  return result
}

const CNP = 'tier: Admin\npriority: 10\nsubject: {namespaces: {}}\n'
const ANP = 'priority: 10\nsubject: {namespaces: {}}\n'

const brief = (policy: Policy | undefined): unknown =>
  policy?.specs[0]?.rules.map(({ path, action, tier, peers, ports }) => ({
    path,
    action,
    tier,
    peers:
      peers === 'any'
        ? peers
        : peers.map(peer =>
            peer.kind === 'selector' ? peer.selector.key : peer.kind === 'cidr' ? peer.cidr : 'group',
          ),
    ports:
      ports === 'any'
        ? ports
        : ports.map(({ protocol, ports: match }) =>
            match === 'any'
              ? `${protocol}`
              : `${protocol} ${'name' in match ? match.name : `${match.first}-${match.last}`}`,
          ),
  }))

const POD = 'k8s:io.kubernetes.pod.namespace'
const NAMESPACE_LABEL = 'k8s:io.cilium.k8s.namespace.labels.'

test('every field of a ClusterNetworkPolicy', () => {
  const { value, problems } = read(
    'cnp',
    `
tier: Baseline
priority: 1000
subject:
  pods: {namespaceSelector: {matchLabels: {team: shop}}, podSelector: {matchLabels: {app: web}}}
ingress:
- name: from the shop
  action: Accept
  from:
  - namespaces: {matchLabels: {team: shop}}
  - pods: {podSelector: {matchLabels: {app: probe}}}
  protocols:
  - tcp: {destinationPort: {number: 80}}
  - udp: {destinationPort: {range: {start: 5000, end: 5010}}}
  - sctp: {destinationPort: {number: 9}}
  - destinationNamedPort: metrics
- {action: Pass, from: [{namespaces: {}}]}
egress:
- {action: Deny, to: [{networks: [10.0.0.0/8, 'fd00::/8']}]}
`,
  )
  assert.deepEqual(problems, [])
  assert.equal(
    value?.specs[0]?.subject.key,
    `${POD}; ${NAMESPACE_LABEL}team = shop; k8s:app = web`.split('; ').sort().join('; '),
  )
  assert.deepEqual(value?.specs[0]?.isolates, { ingress: false, egress: false })
  assert.deepEqual(brief(value), [
    {
      path: 'ingress[0]',
      action: 'allow',
      tier: 'baseline',
      peers: [`${NAMESPACE_LABEL}team = shop; ${POD}`, `${POD}; k8s:app = probe`].map(key =>
        key.split('; ').sort().join('; '),
      ),
      ports: ['6 80-80', '17 5000-5010', '132 9-9', '6 metrics', '17 metrics', '132 metrics'],
    },
    { path: 'ingress[1]', action: 'pass', tier: 'baseline', peers: [POD], ports: 'any' },
    { path: 'egress[0]', action: 'deny', tier: 'baseline', peers: ['10.0.0.0/8', 'fd00::/8'], ports: 'any' },
  ])
})

test('every field of an AdminNetworkPolicy', () => {
  const { value, problems } = read(
    'anp',
    `${ANP}
ingress:
- action: Allow
  from: [{namespaces: {}}]
  ports:
  - portNumber: {protocol: UDP, port: 53}
  - portRange: {start: 1, end: 9}
  - namedPort: http
egress:
- {action: Pass, to: [{pods: {namespaceSelector: {}, podSelector: {}}}], ports: []}
`,
  )
  assert.deepEqual(problems, [])
  assert.deepEqual(brief(value), [
    {
      path: 'ingress[0]',
      action: 'allow',
      tier: 'admin',
      peers: [POD],
      ports: ['17 53-53', '6 1-9', '6 http', '17 http', '132 http'],
    },
    { path: 'egress[0]', action: 'pass', tier: 'admin', peers: [POD], ports: 'any' },
  ])
})

test('a BaselineAdminNetworkPolicy comes after the ClusterNetworkPolicies of its tier, and has one name', () => {
  const rules = 'ingress: [{action: Deny, from: [{namespaces: {}}]}]'
  const baseline = read('banp', `subject: {namespaces: {}}\n${rules}`).value?.specs[0]?.rules[0]
  const last = read('cnp', `tier: Baseline\npriority: 1000\nsubject: {namespaces: {}}\n${rules}`).value?.specs[0]
    ?.rules[0]
  assert.ok(baseline && last && baseline.precedence < last.precedence)
  assert.deepEqual(read('banp', `subject: {namespaces: {}}\n${rules}`, 'other').problems.map(formatProblem), [
    'policy.yaml:3:12: error: BaselineAdminNetworkPolicy other: metadata.name: must be default: there is only one of this kind',
  ])
})

test('rules of a direction are tried in their order, policies in that of their priorities', () => {
  const rules = (priority: number) =>
    read(
      'cnp',
      `tier: Admin
priority: ${priority}
subject: {namespaces: {}}
ingress:
- {action: Pass, from: [{namespaces: {}}]}
- {action: Deny, from: [{namespaces: {}}]}`,
    ).value?.specs[0]?.rules.map(({ precedence }) => precedence) ?? []
  const all = [...rules(0), ...rules(1), ...rules(1000)]
  assert.deepEqual(
    all,
    all.toSorted((a, b) => b - a),
  )
  assert.equal(new Set(all).size, 6)
})

const RULE = (rule: string) => `${CNP}ingress:\n- ${rule}`
const EGRESS = (rule: string) => `${CNP}egress:\n- ${rule}`
const OLD = (ports: string) => `${ANP}ingress:\n- {action: Allow, from: [{namespaces: {}}], ports: ${ports}}`

const refused: readonly [kind: Kind, spec: string, want: RegExp][] = [
  ['cnp', 'priority: 1\nsubject: {namespaces: {}}', /spec\.tier: must be one of Admin, Baseline, got nothing/],
  ['cnp', 'tier: Middle\npriority: 1\nsubject: {namespaces: {}}', /spec\.tier: must be one of Admin, Baseline/],
  ['cnp', 'tier: Admin\nsubject: {namespaces: {}}', /spec\.priority: is required/],
  ['cnp', 'tier: Admin\npriority: 1001\nsubject: {namespaces: {}}', /spec\.priority: must be at most 1000/],
  ['cnp', 'tier: Admin\npriority: -1\nsubject: {namespaces: {}}', /spec\.priority: must be at least 0/],
  ['cnp', 'tier: Admin\npriority: high\nsubject: {namespaces: {}}', /spec\.priority: expected a number/],
  ['cnp', 'tier: Admin\npriority: 1', /spec\.subject: is required/],
  ['cnp', 'tier: Admin\npriority: 1\nsubject: {}', /spec\.subject: must have either namespaces or pods/],
  [
    'cnp',
    'tier: Admin\npriority: 1\nsubject: {namespaces: {}, pods: {podSelector: {}}}',
    /spec\.subject: must have either namespaces or pods/,
  ],
  ['cnp', 'tier: Admin\npriority: 1\nsubject: {pods: {}}', /spec\.subject\.pods\.podSelector: is required/],
  ['cnp', RULE('{action: Allow, from: [{namespaces: {}}]}'), /ingress\[0\]\.action: must be one of Accept, Deny, Pass/],
  ['cnp', RULE('{from: [{namespaces: {}}]}'), /ingress\[0\]\.action: must be one of Accept, Deny, Pass, got nothing/],
  ['cnp', RULE('{action: Accept}'), /ingress\[0\]\.from: is required/],
  ['cnp', RULE('{action: Accept, from: []}'), /ingress\[0\]\.from: must have at least 1 item/],
  ['cnp', RULE('{action: Accept, from: [{}]}'), /ingress\[0\]\.from\[0\]: is empty/],
  [
    'cnp',
    RULE('{action: Accept, from: [{namespaces: {}, pods: {podSelector: {}}}]}'),
    /from\[0\]\.pods: cannot be combined with namespaces/,
  ],
  ['cnp', RULE(`{action: Accept, from: [${Array(26).fill('{namespaces: {}}').join()}]}`), /from: must have at most 25/],
  ['cnp', RULE(`{name: ${'n'.repeat(101)}, action: Accept, from: [{namespaces: {}}]}`), /name: must have at most 100/],
  ['cnp', RULE('{action: Accept, from: [{namespaces: {}}], protocols: []}'), /protocols: must have at least 1/],
  ['cnp', RULE('{action: Accept, from: [{namespaces: {}}], protocols: [{}]}'), /protocols\[0\]: is empty/],
  [
    'cnp',
    RULE('{action: Accept, from: [{namespaces: {}}], protocols: [{tcp: {}}]}'),
    /tcp\.destinationPort: is required/,
  ],
  [
    'cnp',
    RULE('{action: Accept, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {}}}]}'),
    /destinationPort: must have either a number or a range/,
  ],
  [
    'cnp',
    RULE('{action: Accept, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 0}}}]}'),
    /number: must be at least 1/,
  ],
  [
    'cnp',
    RULE(
      '{action: Accept, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {range: {start: 9, end: 9}}}}]}',
    ),
    /range\.end: must be above the start, 9/,
  ],
  [
    'cnp',
    RULE('{action: Accept, from: [{namespaces: {}}], protocols: [{destinationNamedPort: "a b"}]}'),
    /destinationNamedPort: /,
  ],
  ['cnp', EGRESS('{action: Accept, to: [{networks: []}]}'), /networks: must have at least 1/],
  ['cnp', EGRESS('{action: Accept, to: [{networks: [10.0.0.300/8]}]}'), /networks\[0\]: must be a prefix/],
  [
    'cnp',
    EGRESS('{action: Accept, to: [{networks: [10.0.0.0/8]}], protocols: [{destinationNamedPort: http}]}'),
    /to\[0\]: addresses have no named ports/,
  ],
  ['cnp', EGRESS('{action: Accept, to: [{domainNames: ["a.*.b"]}]}'), /domainNames\[0\]: must be a domain name/],
  ['cnp', EGRESS('{action: Deny, to: [{domainNames: [a.example]}]}'), /domainNames: can only be accepted/],
  [
    'cnp',
    `${CNP}ingress:\n${Array(26).fill('- {action: Accept, from: [{namespaces: {}}]}').join('\n')}`,
    /spec\.ingress: must have at most 25/,
  ],
  ['anp', `${ANP}ingress: [{action: Accept, from: [{namespaces: {}}]}]`, /action: must be one of Allow, Deny, Pass/],
  [
    'banp',
    'subject: {namespaces: {}}\ningress: [{action: Pass, from: [{namespaces: {}}]}]',
    /action: must be one of Allow, Deny/,
  ],
  ['anp', OLD('[{portNumber: {protocol: ICMP, port: 1}}]'), /protocol: must be one of TCP, UDP, SCTP/],
  ['anp', OLD('[{portNumber: {protocol: TCP, port: 70000}}]'), /port: must be at most 65535/],
  ['anp', OLD('[{portRange: {start: 9, end: 8}}]'), /end: must be above the start/],
  ['anp', OLD('[{namedPort: http, portNumber: {protocol: TCP, port: 1}}]'), /cannot be combined with/],
]

for (const [kind, spec, want] of refused)
  test(`refused: ${String(want).slice(1, -1)} (${kind})`, () => {
    const { value, problems } = read(kind, spec)
    assert.equal(value, undefined)
    const errors = problems.filter(({ severity }) => severity === 'error').map(formatProblem)
    assert.equal(errors.length, 1, errors.join('\n'))
    assert.match(errors[0] ?? '', want)
  })

test('domain names are names outside the cluster; an asterisk stands for any labels', () => {
  const { value, problems } = read('cnp', EGRESS('{action: Accept, to: [{domainNames: [A.example., "*.b.example"]}]}'))
  assert.deepEqual(problems, [])
  const peers = ['fqdn:a.example; reserved:world', 'fqdn:**.b.example; reserved:world']
  assert.deepEqual(brief(value), [{ path: 'egress[0]', action: 'allow', tier: 'admin', peers, ports: 'any' }])
})

test('what is not enforced yet, or not known, fails closed and says so', () => {
  const cases = [
    ['Accept', 'to: [{namespaces: {}}, {nodes: {}}]', 'allow', []],
    ['Accept', 'to: [{services: {}}]', 'allow', []],
    ['Accept', 'to: [{namespaces: {}}], protocols: [{icmp: {}}]', 'allow', []],
    ['Deny', 'to: [{nodes: {}}]', 'deny', 'any'],
    ['Pass', 'to: [{services: {}}]', 'deny', 'any'],
    ['Pass', 'to: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 1}}}, {icmp: {}}]', 'deny', 'any'],
  ] as const
  for (const [action, rest, wantAction, peers] of cases) {
    const { value, problems } = read('cnp', EGRESS(`{action: ${action}, ${rest}}`))
    assert.deepEqual(
      brief(value),
      [{ path: 'egress[0]', action: wantAction, tier: 'admin', peers, ports: 'any' }],
      `${action} ${rest}`,
    )
    assert.equal(new Set(problems.map(({ path }) => path)).size, problems.length, 'one thing told of each field')
    const told = problems.map(({ path, message }) => ({ path, reason: /is not enforced: ([^;]+);/.exec(message)?.[1] }))
    assert.deepEqual(value?.unenforced, told, 'the status has what is told')
    const effect = wantAction === 'allow' ? 'matches no traffic' : 'denies all traffic'
    assert.ok(
      problems.some(({ severity, message }) => severity === 'warning' && message.includes(effect)),
      problems.map(formatProblem).join('\n'),
    )
  }
})

test('audit is for all rules; tier and priority are the policy’s own', () => {
  const spec = `${CNP}ingress: [{action: Deny, from: [{namespaces: {}}]}]`
  const { value } = read('cnp', spec, 'edge, annotations: {policy.axoneme.io/audit: "true"}')
  assert.deepEqual([value?.specs[0]?.audit, value?.specs[0]?.rules[0]?.audit], [true, true])
  const plain = read('cnp', spec).value?.specs[0]
  assert.deepEqual([plain?.audit, plain?.rules[0]?.audit], [undefined, undefined])
  assert.equal(read('cnp', spec, 'edge, annotations: {policy.axoneme.io/audit: "on"}').value, undefined)
  const ranked = read('cnp', spec, 'edge, annotations: {policy.axoneme.io/tier: admin}')
  assert.ok(ranked.value)
  assert.match(
    ranked.problems.map(formatProblem).join(),
    /policy\.axoneme\.io\/tier"\]: has no effect on a ClusterNetworkPolicy/,
  )
})

test('a prefix with bits beyond it earns a warning', () => {
  const { value, problems } = read('cnp', EGRESS('{action: Accept, to: [{networks: [10.1.2.3/8]}]}'))
  assert.ok(value)
  assert.match(
    problems.map(formatProblem).join(),
    /networks\[0\]: has bits set beyond its prefix; it is read as 10\.0\.0\.0\/8/,
  )
})

test('no content makes the reader throw', () => {
  const leaf = fc.oneof(fc.string(), fc.integer(), fc.constant(null), fc.constant({}), fc.constant([]))
  const field = fc.constantFrom('from', 'to', 'action', 'protocols', 'ports', 'networks', 'nodes', 'pods', 'tcp', 'x')
  const { tree } = fc.letrec(tie => ({
    tree: fc.oneof(
      { depthSize: 'small' },
      leaf,
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.dictionary(field, tie('tree'), { maxKeys: 4 }),
    ),
  }))
  fc.assert(
    fc.property(fc.constantFrom<Kind>('cnp', 'anp', 'banp'), tree, tree, (kind, ingress, egress) => {
      const [apiVersion, kindName, name] = KINDS[kind]
      const spec = { tier: 'Admin', priority: 1, subject: { namespaces: {} }, ingress: [ingress], egress }
      const text = JSON.stringify({ apiVersion, kind: kindName, metadata: { name }, spec })
      const result = readPolicy(parseManifests(text, FILE).objects[0] as never)
      assert.ok(result?.value || result?.problems.some(({ severity }: Problem) => severity === 'error'))
    }),
  )
})

const PODS = ['a', 'b', 'c'].map(
  (name, i) => `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: shop, labels: {app: ${name}}},
    spec: {containers: [{name: c, image: i, ports: [{name: http, containerPort: ${name === 'b' ? 81 : 80}}]}]},
    status: {podIPs: [{ip: 10.244.1.${i + 1}}]}}`,
)
const to = (app: string) => `subject: {pods: {podSelector: {matchLabels: {app: ${app}}}}}`
const from = (app: string) => `from: [{pods: {podSelector: {matchLabels: {app: ${app}}}}}]`

const cnp = (name: string, spec: string) =>
  `{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: ${name}}, spec: {${spec}}}`
const networkPolicy = (app: string, ingress: string) =>
  `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: np-${app}, namespace: shop},
    spec: {podSelector: {matchLabels: {app: ${app}}}, ingress: [${ingress}]}}`

/** Pairs `FROM TO PORT` that are denied. */
function denied(ports: string, ...policies: readonly string[]): string[] {
  const { objects, problems } = parseManifests([...PODS, ...policies].join('\n---\n'), FILE)
  const { cluster, problems: more } = readCluster(objects)
  assert.deepEqual([...problems, ...more].map(formatProblem), [])
  return [...reach(cluster, parsePorts(ports) as readonly ReachPort[])]
    .filter(({ verdict }) => verdict === 'denied')
    .map(row => `${row.from.slice(-1)} ${row.to.slice(-1)} ${row.port}`)
}

test('the Admin tier is final, unless it passes', () => {
  const open = networkPolicy('b', '{}')
  const closed = networkPolicy('b', '')
  const rules = (action: string) =>
    cnp('edge', `tier: Admin, priority: 5, ${to('b')}, ingress: [{action: ${action}, ${from('a')}}]`)
  assert.deepEqual(denied('80', open, rules('Deny')), ['a b 80'])
  assert.deepEqual(denied('80', closed, rules('Accept')), ['c b 80'])
  assert.deepEqual(denied('80', closed, rules('Pass')), ['a b 80', 'c b 80'])
  assert.deepEqual(denied('80', open, rules('Pass')), [])
  assert.deepEqual(denied('80', rules('Deny')), ['a b 80'], 'it isolates nobody')
})

test('Pass skips what follows in its tier alone', () => {
  const denyAll = cnp(
    'deny',
    `tier: Admin, priority: 9, ${to('b')}, ingress: [{action: Deny, from: [{namespaces: {}}]}]`,
  )
  const pass = cnp('pass', `tier: Admin, priority: 5, ${to('b')}, ingress: [{action: Pass, ${from('a')}}]`)
  const baseline = cnp('base', `tier: Baseline, priority: 0, ${to('b')}, ingress: [{action: Deny, ${from('a')}}]`)
  assert.deepEqual(denied('80', denyAll, pass), ['c b 80'])
  assert.deepEqual(denied('80', denyAll, pass, baseline), ['a b 80', 'c b 80'])
  assert.deepEqual(denied('80', denyAll, pass, baseline, networkPolicy('b', '{}')), ['c b 80'])
})

test('the Baseline tier is asked only where no NetworkPolicy isolates', () => {
  const baseline = cnp(
    'base',
    `tier: Baseline, priority: 0, subject: {namespaces: {}}, ingress: [{action: Deny, ${from('a')}}]`,
  )
  assert.deepEqual(denied('80', baseline), ['a b 80', 'a c 80'])
  assert.deepEqual(denied('80', baseline, networkPolicy('b', '{}')), ['a c 80'])
})

test('the first rule of the first policy decides, and ports count', () => {
  const first = `{action: Accept, ${from('a')}, protocols: [{destinationNamedPort: http}]}`
  const rules = cnp(
    'edge',
    `tier: Admin, priority: 5, subject: {namespaces: {}}, ingress: [${first}, {action: Deny, ${from('a')}}]`,
  )
  assert.deepEqual(denied('80,81', rules), ['a b 80', 'a c 81'])
  const stronger = cnp(
    'zero',
    `tier: Admin, priority: 0, subject: {namespaces: {}}, ingress: [{action: Accept, ${from('a')}}]`,
  )
  assert.deepEqual(denied('80,81', rules, stronger), [])
})

test('networks match pods too', () => {
  const rules = cnp(
    'edge',
    `tier: Admin, priority: 5, ${to('a')}, egress: [{action: Deny, to: [{networks: [10.244.1.3/32, 192.0.2.0/24]}]}]`,
  )
  assert.deepEqual(denied('80', rules), ['a c 80'])
})
