// NetworkPolicy v1: each behaviour that users rely on, each warning, and arbitrary
// content that must never make the reader throw.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatProblem, type Problem, parseManifests } from '../../../manifests/index.ts'
import { isResolved, type Policy } from '../../model/rule.ts'
import { readNetworkPolicy } from './network-policy.ts'
import { FILE, read, valid } from './testing/read-network-policy.ts'

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

test('what each form means', async t => {
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
