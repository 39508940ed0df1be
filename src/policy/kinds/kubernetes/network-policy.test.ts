// NetworkPolicy v1: each behaviour that users rely on, each field that is refused, each
// warning, and arbitrary content that must never make the reader throw.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatProblem, type Problem, parseManifests } from '../../../manifests/index.ts'
import { isResolved, type Policy } from '../../model/rule.ts'
import { readNetworkPolicy } from './network-policy.ts'

const FILE = 'policy.yaml'

/** Reads a policy of namespace `shop` whose spec is the text, indented by two. */
function read(spec: string, annotations = '{}'): { value?: Policy; problems: readonly Problem[] } {
  const text = [
    'apiVersion: networking.k8s.io/v1',
    'kind: NetworkPolicy',
    `metadata: {name: web, namespace: shop, annotations: ${annotations}}`,
    'spec:',
    ...spec.split('\n').map(line => `  ${line}`),
  ]
  const { objects, problems } = parseManifests(text.join('\n'), FILE)
  assert.deepEqual(problems, [])
  assert.ok(objects[0])
  return readNetworkPolicy(objects[0])
}

function valid(spec: string): Policy {
  const { value, problems } = read(spec)
  assert.deepEqual(problems.map(formatProblem), [])
  assert.ok(value)
  return value
}

/** The one spec in short: selectors by key, ports as `PROTOCOL FIRST-LAST`. */
function brief(policy: Policy): unknown {
  const [spec] = policy.specs
  return {
    subject: spec?.subject.key,
    isolates: Object.entries(spec?.isolates ?? {}).flatMap(([direction, isIsolated]) =>
      isIsolated ? [direction] : [],
    ),
    rules: spec?.rules.map(({ path, peers, ports }) => ({
      path,
      peers:
        peers === 'any'
          ? peers
          : peers
              .filter(isResolved)
              .map(p => (p.kind === 'cidr' ? [p.cidr, ...p.except.map(e => `!${e}`)].join(' ') : p.selector.key)),
      ports:
        ports === 'any'
          ? ports
          : ports.map(
              ({ protocol, ports: p }) =>
                `${protocol} ${p === 'any' ? p : 'name' in p ? p.name : `${p.first}-${p.last}`}`,
            ),
    })),
  }
}

const NS = 'k8s:io.kubernetes.pod.namespace'
const LABEL = 'k8s:io.cilium.k8s.namespace.labels.'
const SHOP = `${NS} = shop`
const rule = (peers: unknown, ports: unknown, path = 'ingress[0]'): unknown => ({ path, peers, ports })

test('each line of the checklist', async t => {
  const cases: readonly {
    name: string
    spec: string
    want: { subject?: string; isolates?: string[]; rules?: unknown[] }
  }[] = [
    { name: 'policyTypes absent: ingress', spec: 'podSelector: {}', want: { isolates: ['ingress'] } },
    {
      name: 'policyTypes absent, with egress rules: both',
      spec: 'podSelector: {}\negress: [{}]',
      want: { isolates: ['ingress', 'egress'], rules: [rule('any', 'any', 'egress[0]')] },
    },
    {
      name: 'policyTypes Egress without egress: denies all egress',
      spec: 'podSelector: {}\npolicyTypes: [Egress]',
      want: { isolates: ['egress'] },
    },
    {
      name: 'policyTypes both',
      spec: 'podSelector: {}\npolicyTypes: [Ingress, Egress]',
      want: { isolates: ['ingress', 'egress'] },
    },
    { name: 'policyTypes empty is absent', spec: 'podSelector: {}\npolicyTypes: []', want: { isolates: ['ingress'] } },
    { name: 'podSelector empty: the whole namespace', spec: 'podSelector: {}', want: { subject: SHOP } },
    { name: 'podSelector left out: the same', spec: 'policyTypes: [Ingress]', want: { subject: SHOP } },
    { name: 'podSelector without a value: the same', spec: 'podSelector:', want: { subject: SHOP } },
    {
      name: 'podSelector by labels and expressions',
      spec: 'podSelector: {matchLabels: {app: web}, matchExpressions: [{key: tier, operator: NotIn, values: [b, a]}]}',
      want: { subject: `k8s:app = web; ${SHOP}; k8s:tier notin (a, b)` },
    },
    {
      name: 'ingress empty: nothing allowed',
      spec: 'podSelector: {}\ningress: []',
      want: { isolates: ['ingress'], rules: [] },
    },
    {
      name: 'ingress with an empty rule: everything allowed',
      spec: 'podSelector: {}\ningress: [{}]',
      want: { rules: [rule('any', 'any')] },
    },
    {
      name: 'from empty: all sources',
      spec: 'podSelector: {}\ningress: [{from: [], ports: [{port: 80}]}]',
      want: { rules: [rule('any', ['6 80-80'])] },
    },
    {
      name: 'ports empty: all ports and protocols',
      spec: 'podSelector: {}\ningress: [{from: [{podSelector: {}}], ports: []}]',
      want: { rules: [rule([SHOP], 'any')] },
    },
    {
      name: 'from and ports without a value: as if left out',
      spec: 'podSelector: {}\ningress: [{from: , ports: }]',
      want: { rules: [rule('any', 'any')] },
    },
    {
      name: 'podSelector alone: own namespace',
      spec: 'podSelector: {}\ningress: [{from: [{podSelector: {matchLabels: {app: a}}}]}]',
      want: { rules: [rule([`k8s:app = a; ${SHOP}`], 'any')] },
    },
    {
      name: 'namespaceSelector alone: all its pods',
      spec: 'podSelector: {}\ningress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}]}]',
      want: { rules: [rule([`${LABEL}team = a; ${NS}`], 'any')] },
    },
    {
      name: 'namespaceSelector empty: pods of all namespaces, nothing else',
      spec: 'podSelector: {}\ningress: [{from: [{namespaceSelector: {}}]}]',
      want: { rules: [rule([NS], 'any')] },
    },
    {
      name: 'both selectors in one peer: AND',
      spec: 'podSelector: {}\ningress: [{from: [{podSelector: {matchLabels: {app: a}}, namespaceSelector: {matchLabels: {team: a}}}]}]',
      want: { rules: [rule([`k8s:app = a; ${LABEL}team = a; ${NS}`], 'any')] },
    },
    {
      name: 'two peers: OR',
      spec: 'podSelector: {}\ningress: [{from: [{podSelector: {}}, {namespaceSelector: {}}]}]',
      want: { rules: [rule([SHOP, NS], 'any')] },
    },
    {
      name: 'two rules: OR',
      spec: 'podSelector: {}\ningress: [{ports: [{port: 80}]}, {from: [{podSelector: {}}]}]',
      want: { rules: [rule('any', ['6 80-80']), rule([SHOP], 'any', 'ingress[1]')] },
    },
    {
      name: 'egress has its own rules',
      spec: 'podSelector: {}\npolicyTypes: [Egress]\negress: [{to: [{podSelector: {}}]}]',
      want: { isolates: ['egress'], rules: [rule([SHOP], 'any', 'egress[0]')] },
    },
    {
      name: 'ipBlock with exceptions',
      spec: 'podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.2.0.0/16, 10.1.0.0/16]}}]}]',
      want: { rules: [rule(['10.0.0.0/8 !10.1.0.0/16 !10.2.0.0/16'], 'any')] },
    },
    {
      name: 'ipBlock of IPv6, canonical',
      spec: 'podSelector: {}\ningress: [{from: [{ipBlock: {cidr: "FD00:0:0::/48", except: ["fd00:0:0:1::/64"]}}]}]',
      want: { rules: [rule(['fd00::/48 !fd00:0:0:1::/64'], 'any')] },
    },
    {
      name: 'protocol defaults to TCP',
      spec: 'podSelector: {}\ningress: [{ports: [{port: 80}]}]',
      want: { rules: [rule('any', ['6 80-80'])] },
    },
    {
      name: 'UDP and SCTP',
      spec: 'podSelector: {}\ningress: [{ports: [{port: 80, protocol: UDP}, {port: 81, protocol: SCTP}]}]',
      want: { rules: [rule('any', ['17 80-80', '132 81-81'])] },
    },
    {
      name: 'port left out: all ports of the protocol',
      spec: 'podSelector: {}\ningress: [{ports: [{protocol: UDP}]}]',
      want: { rules: [rule('any', ['17 any'])] },
    },
    {
      name: 'an empty port: all of TCP',
      spec: 'podSelector: {}\ningress: [{ports: [{}]}]',
      want: { rules: [rule('any', ['6 any'])] },
    },
    {
      name: 'a range',
      spec: 'podSelector: {}\ningress: [{ports: [{port: 80, endPort: 90}]}]',
      want: { rules: [rule('any', ['6 80-90'])] },
    },
    {
      name: 'a range of one',
      spec: 'podSelector: {}\ningress: [{ports: [{port: 65535, endPort: 65535}]}]',
      want: { rules: [rule('any', ['6 65535-65535'])] },
    },
    {
      name: 'a name',
      spec: 'podSelector: {}\ningress: [{ports: [{port: http-alt, protocol: UDP}]}]',
      want: { rules: [rule('any', ['17 http-alt'])] },
    },
    {
      name: "the label of a namespace's name",
      spec: 'podSelector: {}\ningress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: a}}}]}]',
      want: { rules: [rule([`${LABEL}kubernetes.io/metadata.name = a; ${NS}`], 'any')] },
    },
    {
      name: "a pod label under an internal name is the pod's own",
      spec: 'podSelector: {matchLabels: {io.kubernetes.pod.namespace: a}}',
      want: { subject: `${SHOP}; pod:io.kubernetes.pod.namespace = a` },
    },
    {
      name: 'a label without a value has the empty one',
      spec: 'podSelector: {matchLabels: {app: }}',
      want: { subject: `k8s:app = ; ${SHOP}` },
    },
  ]
  for (const { name, spec, want } of cases)
    await t.test(name, () => {
      const found = brief(valid(spec)) as Record<string, unknown>
      assert.deepEqual(Object.fromEntries(Object.keys(want).map(key => [key, found[key]])), want)
    })
})

test('what is refused, with the field', async t => {
  const port = (text: string): string => `podSelector: {}\ningress: [{ports: [${text}]}]`
  const peer = (text: string): string => `podSelector: {}\negress: [{to: [${text}]}]`
  const expression = (text: string): string => `podSelector: {matchExpressions: [${text}]}`
  const cases: readonly { name: string; spec: string; want: RegExp }[] = [
    {
      name: 'endPort below port',
      spec: port('{port: 80, endPort: 79}'),
      want: /spec\.ingress\[0\]\.ports\[0\]\.endPort: must be at least the port, 80/,
    },
    {
      name: 'endPort with a name',
      spec: port('{port: http, endPort: 79}'),
      want: /ports\[0\]\.endPort: cannot be used with a named port/,
    },
    { name: 'endPort alone', spec: port('{endPort: 79}'), want: /ports\[0\]\.endPort: needs a port/ },
    {
      name: 'endPort out of range',
      spec: port('{port: 1, endPort: 65536}'),
      want: /ports\[0\]\.endPort: must be at most 65535, got 65536/,
    },
    { name: 'port 0', spec: port('{port: 0}'), want: /ports\[0\]\.port: must be at least 1, got 0/ },
    { name: 'port too large', spec: port('{port: 65536}'), want: /ports\[0\]\.port: must be at most 65535/ },
    {
      name: 'port with a fraction',
      spec: port('{port: 80.5}'),
      want: /ports\[0\]\.port: expected a whole number or a string/,
    },
    { name: 'port number in quotes', spec: port('{port: "80"}'), want: /ports\[0\]\.port: is a number in quotes/ },
    {
      name: 'port name with capitals',
      spec: port('{port: HTTP}'),
      want: /ports\[0\]\.port: as a name must be at most 15 lower-case/,
    },
    { name: 'port name too long', spec: port('{port: a234567890123456}'), want: /ports\[0\]\.port/ },
    {
      name: 'unknown protocol',
      spec: port('{port: 80, protocol: ICMP}'),
      want: /ports\[0\]\.protocol: must be one of TCP, UDP, SCTP/,
    },
    {
      name: 'protocol in small letters',
      spec: port('{port: 80, protocol: tcp}'),
      want: /ports\[0\]\.protocol: .*did you mean "TCP"/,
    },
    {
      name: 'except outside cidr',
      spec: peer('{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}'),
      want: /spec\.egress\[0\]\.to\[0\]\.ipBlock\.except\[0\]: must be inside 10\.0\.0\.0\/8/,
    },
    {
      name: 'except equal to cidr',
      spec: peer('{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}'),
      want: /except\[0\]: must be inside/,
    },
    {
      name: 'except wider than cidr',
      spec: peer('{ipBlock: {cidr: 10.1.0.0/16, except: [10.0.0.0/8]}}'),
      want: /except\[0\]: must be inside/,
    },
    {
      name: 'except of the other family',
      spec: peer('{ipBlock: {cidr: "::/0", except: [10.0.0.0/8]}}'),
      want: /except\[0\]: must be inside/,
    },
    {
      name: 'ipBlock beside podSelector',
      spec: peer('{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}'),
      want: /to\[0\]\.ipBlock: cannot be combined with podSelector/,
    },
    {
      name: 'ipBlock beside namespaceSelector',
      spec: peer('{ipBlock: {cidr: 10.0.0.0/8}, namespaceSelector: {}}'),
      want: /to\[0\]\.ipBlock: cannot be combined with namespaceSelector/,
    },
    {
      name: 'a peer of nothing',
      spec: peer('{}'),
      want: /spec\.egress\[0\]\.to\[0\]: must have a podSelector, a namespaceSelector or an ipBlock/,
    },
    { name: 'a peer whose selectors have no value', spec: peer('{podSelector: }'), want: /to\[0\]: must have/ },
    { name: 'an empty list item', spec: 'podSelector: {}\ningress:\n-', want: /spec\.ingress\[0\]: must not be empty/ },
    { name: 'no cidr', spec: peer('{ipBlock: {}}'), want: /ipBlock\.cidr: is required/ },
    {
      name: 'an address without a length',
      spec: peer('{ipBlock: {cidr: 10.0.0.1}}'),
      want: /ipBlock\.cidr: must be a prefix/,
    },
    { name: 'leading zeros', spec: peer('{ipBlock: {cidr: 010.0.0.0/8}}'), want: /ipBlock\.cidr: must be a prefix/ },
    {
      name: 'IPv4 written as IPv6',
      spec: peer('{ipBlock: {cidr: "::ffff:10.0.0.0/104"}}'),
      want: /ipBlock\.cidr: must be a prefix/,
    },
    {
      name: 'a length past the end',
      spec: peer('{ipBlock: {cidr: 10.0.0.0/33}}'),
      want: /ipBlock\.cidr: must be a prefix/,
    },
    {
      name: 'unknown operator',
      spec: expression('{key: app, operator: Equals, values: [a]}'),
      want: /spec\.podSelector\.matchExpressions\[0\]\.operator: must be one of In, NotIn, Exists, DoesNotExist/,
    },
    {
      name: 'In without values',
      spec: expression('{key: app, operator: In}'),
      want: /matchExpressions\[0\]\.values: must be given with the operator In/,
    },
    {
      name: 'NotIn with an empty list',
      spec: expression('{key: app, operator: NotIn, values: []}'),
      want: /matchExpressions\[0\]\.values: must be given/,
    },
    {
      name: 'Exists with values',
      spec: expression('{key: app, operator: Exists, values: [a]}'),
      want: /matchExpressions\[0\]\.values: must be left out/,
    },
    { name: 'no key', spec: expression('{operator: Exists}'), want: /matchExpressions\[0\]\.key: is required/ },
    { name: 'a bad key', spec: 'podSelector: {matchLabels: {"a b": c}}', want: /spec\.podSelector\.matchLabels/ },
    {
      name: 'a bad value',
      spec: 'podSelector: {matchLabels: {app: "a b"}}',
      want: /spec\.podSelector\.matchLabels\.app: must be empty or at most 63/,
    },
    {
      name: 'a value that YAML reads as a number',
      spec: 'podSelector: {matchLabels: {app: 1}}',
      want: /spec\.podSelector\.matchLabels\.app: expected a string/,
    },
    {
      name: 'unknown policy type',
      spec: 'podSelector: {}\npolicyTypes: [ingress]',
      want: /spec\.policyTypes\[0\]: .*did you mean "Ingress"/,
    },
    {
      name: 'three policy types',
      spec: 'podSelector: {}\npolicyTypes: [Ingress, Egress, Ingress]',
      want: /spec\.policyTypes: must have at most 2 items/,
    },
    { name: 'ingress that is no list', spec: 'podSelector: {}\ningress: {}', want: /spec\.ingress: expected a list/ },
    {
      name: 'a rule that is no object',
      spec: 'podSelector: {}\ningress: [all]',
      want: /spec\.ingress\[0\]: expected an object/,
    },
  ]
  for (const { name, spec, want } of cases)
    await t.test(name, () => {
      const { value, problems } = read(spec)
      assert.equal(value, undefined)
      assert.match(problems.map(formatProblem).join('\n'), want)
      assert.ok(problems.every(problem => problem.severity === 'error' && problem.line >= 4))
    })
})

test('what is accepted with a warning', async t => {
  const cases: readonly { name: string; spec: string; want: readonly RegExp[] }[] = [
    {
      name: 'an unknown field',
      spec: 'podSelektor: {}',
      want: [/spec\.podSelektor: unknown field \(did you mean "podSelector"\?\)/],
    },
    {
      name: 'an unknown field deep inside',
      spec: 'podSelector: {}\ningress: [{from: [{podSelector: {}, x: 1}]}]',
      want: [/spec\.ingress\[0\]\.from\[0\]\.x: unknown field/],
    },
    {
      name: 'ingress that policyTypes leaves out',
      spec: 'podSelector: {}\npolicyTypes: [Egress]\ningress: [{}]',
      want: [/spec\.ingress: has no effect: policyTypes does not name Ingress/],
    },
    {
      name: 'an empty egress that isolates nothing',
      spec: 'podSelector: {}\negress: []',
      want: [/spec\.egress: isolates nothing while it is empty/],
    },
    { name: 'no spec', spec: '', want: [/has no spec: it isolates every pod/] },
    {
      name: 'bits beyond the prefix',
      spec: 'podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 10.1.0.0/8, except: [10.1.1.1/16]}}]}]',
      want: [
        /from\[0\]\.ipBlock\.cidr: has bits set beyond its prefix; it is read as 10\.0\.0\.0\/8/,
        /except\[0\]: .*10\.1\.0\.0\/16/,
      ],
    },
  ]
  for (const { name, spec, want } of cases)
    await t.test(name, () => {
      const { value, problems } = read(spec)
      assert.ok(value)
      assert.equal(problems.length, want.length)
      for (const [i, pattern] of want.entries()) assert.match(formatProblem(problems[i] as Problem), pattern)
      assert.ok(problems.every(problem => problem.severity === 'warning'))
    })
})

test('an ineffective section makes no rules', () => {
  const { value } = read('podSelector: {}\npolicyTypes: [Egress]\ningress: [{}]')
  assert.deepEqual(value?.specs[0]?.rules, [])
})

test('rules know the object and the line they come from', () => {
  const policy = valid(
    'podSelector: {}\ningress:\n- ports: [{port: 80}]\n-\n  from: [{podSelector: {}}]\negress:\n- {}',
  )
  assert.deepEqual(policy.ref, {
    kind: 'NetworkPolicy',
    namespace: 'shop',
    name: 'web',
    origin: { file: FILE, line: 1 },
  })
  assert.deepEqual(
    policy.specs[0]?.rules.map(({ key, origin, policy: { name } }) => [key, origin.file, origin.line, name]),
    [
      ['NetworkPolicy/shop/web/ingress[0]', FILE, 7, 'web'],
      ['NetworkPolicy/shop/web/ingress[1]', FILE, 9, 'web'],
      ['NetworkPolicy/shop/web/egress[0]', FILE, 11, 'web'],
    ],
  )
})

test('whatever stands in a spec, reading it gives a policy or an error, and never throws', () => {
  const word = fc.constantFrom(
    'podSelector',
    'namespaceSelector',
    'ipBlock',
    'cidr',
    'except',
    'ingress',
    'egress',
    'from',
    'to',
    'ports',
    'port',
    'endPort',
    'protocol',
    'policyTypes',
    'matchLabels',
    'matchExpressions',
    'key',
    'operator',
    'values',
    'x',
  )
  const leaf = fc.oneof(
    fc.constantFrom(
      'TCP',
      'In',
      'Exists',
      'Ingress',
      '10.0.0.0/8',
      '10.1.0.0/16',
      'http',
      '',
      null,
      80,
      0,
      -1,
      1.5,
      true,
    ),
    fc.string(),
  )
  const { tree } = fc.letrec<{ tree: unknown }>(tie => ({
    tree: fc.oneof(
      { depthSize: 'medium' },
      leaf,
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.dictionary(word, tie('tree'), { maxKeys: 4 }),
    ),
  }))
  fc.assert(
    fc.property(fc.dictionary(word, tree, { maxKeys: 5 }), spec => {
      const { objects } = parseManifests(
        JSON.stringify({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'p' }, spec }),
        FILE,
      )
      if (!objects[0]) return
      const { value, problems } = readNetworkPolicy(objects[0])
      assert.equal(
        value === undefined,
        problems.some(problem => problem.severity === 'error'),
      )
    }),
    { numRuns: 1000 },
  )
})

test('audit is for all rules, and an annotation that says something else is refused', () => {
  const spec = 'podSelector: {}\ningress: [{}]'
  const audited = read(spec, '{policy.axoneme.io/audit: "true"}').value?.specs[0]
  assert.deepEqual([audited?.audit, audited?.rules[0]?.audit], [true, true])
  const { value, problems } = read(spec, '{policy.axoneme.io/audit: "1"}')
  assert.equal(value, undefined)
  assert.match(
    problems.map(formatProblem).join(),
    /annotations\["policy\.axoneme\.io\/audit"\]: must be "true" or "false"/,
  )
})

test('tier and priority by annotation have no effect, with a warning', () => {
  const { value, problems } = read(
    'podSelector: {}',
    '{policy.axoneme.io/tier: admin, policy.axoneme.io/priority: "1"}',
  )
  assert.ok(value)
  assert.deepEqual(
    problems.map(({ severity, message }) => `${severity} ${message}`),
    Array(2).fill('warning has no effect on a NetworkPolicy'),
  )
})

test('a misspelt annotation is told, and all is enforced', () => {
  const { value, problems } = read(
    'podSelector: {}',
    '{policy.axoneme.io/adit: "true", policy.axoneme.io/lint-disable: no-dns, example.io/audit: "true"}',
  )
  assert.equal(value?.specs[0]?.audit, undefined)
  assert.deepEqual(problems.map(formatProblem), [
    'policy.yaml:3:54: warning: NetworkPolicy shop/web: metadata.annotations["policy.axoneme.io/adit"]: means nothing; there are policy.axoneme.io/audit, policy.axoneme.io/tier, policy.axoneme.io/priority, policy.axoneme.io/lint-disable',
  ])
})
