// CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy as objects: specs and their
// rules, whom they are about, isolation, rank, audit, log, and what waits.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatProblem, parseManifests } from '../../../manifests/index.ts'
import { readCluster } from '../../cluster/cluster-manifests.ts'
import { parsePorts, type ReachPort, reach } from '../../cluster/reach.ts'
import { precedence } from '../../model/precedence.ts'
import { brief, NS, policyText, refused, SHOP, valid } from './testing/read-cilium.ts'

test('spec and specs make one policy, its rules named by their fields', () => {
  const policy = valid(
    [
      'spec: {endpointSelector: {}, ingress: [{}], egressDeny: [{}]}',
      'specs:',
      '- {endpointSelector: {matchLabels: {app: a}}, ingress: [{}, {}]}',
      '- {endpointSelector: {matchLabels: {app: b}}, ingress: [{}], ingressDeny: [{toEntities: []}]}'.replace(
        'toEntities',
        'fromEntities',
      ),
    ].join('\n'),
    { warnings: 1 },
  )
  const rules = policy.specs.flatMap(({ rules }) => rules)
  assert.deepEqual(
    rules.map(({ key, path, direction, index, action, origin }) => [
      key.replace('CiliumNetworkPolicy/shop/web/', ''),
      path,
      direction,
      index,
      action,
      origin.line,
    ]),
    [
      ['ingress[0]', 'ingress[0]', 'ingress', 0, 'allow', 4],
      ['egressDeny[0]', 'egressDeny[0]', 'egress', 0, 'deny', 4],
      ['specs[0].ingress[0]', 'specs[0].ingress[0]', 'ingress', 1, 'allow', 6],
      ['specs[0].ingress[1]', 'specs[0].ingress[1]', 'ingress', 2, 'allow', 6],
      ['specs[1].ingress[0]', 'specs[1].ingress[0]', 'ingress', 3, 'allow', 7],
      ['specs[1].ingressDeny[0]', 'specs[1].ingressDeny[0]', 'ingress', 4, 'deny', 7],
    ],
  )
  assert.deepEqual(
    policy.specs.map(({ subject }) => subject.key),
    [SHOP, `k8s:app = a; ${SHOP}`, `k8s:app = b; ${SHOP}`],
  )
})

test('what is no object', async t => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['neither spec nor specs', 'status: {}', /: must have a spec, or specs with at least one item$/],
    ['empty specs', 'specs: []', /: must have a spec, or specs with at least one item$/],
    ['no selector', 'spec: {ingress: [{}]}', /spec\.endpointSelector: is required/],
    [
      'no rules',
      'spec: {endpointSelector: {}}',
      /spec: must have a rule in one of ingress, ingressDeny, egress, egressDeny/,
    ],
    ['empty rules', 'spec: {endpointSelector: {}, ingress: [], egress: }', /spec: must have a rule in one of/],
    ['a nodeSelector', 'spec: {nodeSelector: {}, ingress: [{}]}', /spec\.nodeSelector: is only for CiliumClusterwide/],
    [
      'one bad spec among good ones',
      'specs: [{endpointSelector: {}, ingress: [{}]}, {endpointSelector: {}, ingress: [{fromEntities: [moon]}]}]',
      /specs\[1\]\.ingress\[0\]\.fromEntities\[0\]: must be one of all, world/,
    ],
  ]
  for (const [name, text, want] of cases) await t.test(name, () => assert.match(refused(text).join('\n'), want))
  assert.match(
    refused('spec: {nodeSelector: {}, endpointSelector: {}, ingress: [{}]}', { clusterwide: true }).join(),
    /spec\.nodeSelector: cannot be combined with endpointSelector/,
  )
  assert.match(
    refused('spec: {ingress: [{}]}', { clusterwide: true }).join(),
    /endpointSelector: is required, or a node/,
  )
})

test('a spec isolates in the directions that it has rules for, unless it says otherwise', async t => {
  const cases: readonly (readonly [string, string[]])[] = [
    ['ingress: [{}]', ['ingress']],
    ['ingressDeny: [{}]', ['ingress']],
    ['egress: [{}]', ['egress']],
    ['egressDeny: [{}]', ['egress']],
    ['ingress: [{}], egressDeny: [{}]', ['ingress', 'egress']],
    ['ingress: [{}], egress: []', ['ingress']],
    ['ingress: [{}], enableDefaultDeny: {ingress: false}', []],
    ['ingress: [{}], enableDefaultDeny: {egress: true}', ['ingress', 'egress']],
    ['ingress: [{}], egress: [{}], enableDefaultDeny: {egress: false}', ['ingress']],
  ]
  for (const [rules, want] of cases)
    await t.test(rules, () => {
      const policy = valid(`spec: {endpointSelector: {}, ${rules}}`)
      const { isolates } = policy.specs[0] ?? assert.fail()
      assert.deepEqual(
        Object.entries(isolates).flatMap(([direction, isIsolated]) => (isIsolated ? [direction] : [])),
        want,
      )
    })
})

test('whom a spec is about', async t => {
  const cases: readonly { name: string; selector: string; want: string; clusterwide?: true; warnings?: number }[] = [
    { name: '{}: the pods of the namespace', selector: '{}', want: SHOP },
    { name: '{} of a clusterwide policy: every pod', selector: '{}', want: NS, clusterwide: true },
    {
      name: 'a key without a source, of any, of unspec, of k8s',
      selector: '{matchLabels: {a: "1", "any:b": "2", "unspec:c": "3", "k8s:d": "4"}}',
      want: `k8s:a = 1; k8s:b = 2; k8s:c = 3; k8s:d = 4; ${SHOP}`,
    },
    {
      name: 'expressions, ANDed with labels',
      selector:
        '{matchLabels: {a: "1"}, matchExpressions: [{key: "k8s:b", operator: NotIn, values: [x]}, {key: c, operator: Exists}, {key: d, operator: DoesNotExist}]}',
      want: `!k8s:d; k8s:a = 1; k8s:b != x; k8s:c; ${SHOP}`,
    },
    {
      name: 'its own namespace, written out',
      selector: '{matchLabels: {"k8s:io.kubernetes.pod.namespace": shop}}',
      want: SHOP,
    },
    {
      name: 'another namespace: overridden, with a warning',
      selector: '{matchLabels: {"k8s:io.kubernetes.pod.namespace": bank, a: "1"}}',
      want: `k8s:a = 1; ${SHOP}`,
      warnings: 1,
    },
    {
      name: 'the namespaces of a clusterwide policy',
      selector: '{matchLabels: {io.kubernetes.pod.namespace: bank}}',
      want: `${NS}; ${NS} = bank`,
      clusterwide: true,
    },
    {
      name: 'labels of the namespace, service account',
      selector: '{matchLabels: {io.cilium.k8s.namespace.labels.team: a, io.cilium.k8s.policy.serviceaccount: till}}',
      want: `k8s:io.cilium.k8s.namespace.labels.team = a; k8s:io.cilium.k8s.policy.serviceaccount = till; ${NS}`,
      clusterwide: true,
    },
    {
      name: 'a reserved label: no pod has one',
      selector: '{matchLabels: {"reserved:host": ""}}',
      want: `!${NS}; ${NS}`,
      clusterwide: true,
      warnings: 1,
    },
    {
      name: 'no reserved label: what every pod meets',
      selector: '{matchExpressions: [{key: "reserved:host", operator: DoesNotExist}]}',
      want: SHOP,
    },
  ]
  for (const { name, selector, want, clusterwide, warnings } of cases)
    await t.test(name, () => {
      const policy = valid(`spec: {endpointSelector: ${selector}, ingress: [{}]}`, { clusterwide, warnings })
      assert.equal(policy.specs[0]?.subject.key, want)
    })
})

test('tier and priority by annotation', async t => {
  const spec = 'spec: {endpointSelector: {}, ingress: [{}], ingressDeny: [{}]}'
  const cases: readonly (readonly [string, Parameters<typeof precedence>[0]])[] = [
    ['{}', { tier: 'normal', action: 'allow' }],
    ['{policy.axoneme.io/tier: admin}', { tier: 'admin', action: 'allow' }],
    ['{policy.axoneme.io/priority: "0"}', { tier: 'normal', action: 'allow', priority: 0 }],
    [
      '{policy.axoneme.io/tier: baseline, policy.axoneme.io/priority: "1000"}',
      { tier: 'baseline', action: 'allow', priority: 1000 },
    ],
  ]
  for (const [annotations, want] of cases)
    await t.test(annotations, () => {
      const [allow, deny] = valid(spec, { annotations }).specs[0]?.rules ?? []
      assert.equal(allow?.precedence, precedence(want))
      assert.equal(deny?.precedence, precedence({ ...want, action: 'deny' }))
      assert.ok((deny?.precedence ?? 0) > (allow?.precedence ?? 0))
      assert.deepEqual([allow?.tier, deny?.tier], [want.tier, want.tier])
    })
  for (const annotations of [
    '{policy.axoneme.io/tier: Admin}',
    '{policy.axoneme.io/priority: "1001"}',
    '{policy.axoneme.io/priority: "-1"}',
    '{policy.axoneme.io/priority: high}',
    '{policy.axoneme.io/audit: "yes"}',
  ])
    await t.test(`refused: ${annotations}`, () => {
      const [message = ''] = refused(spec, { annotations })
      assert.match(message, /metadata\.annotations\["policy\.axoneme\.io\/[a-z]+"\]: must be .*, not "/)
    })
  await t.test('the baseline tier isolates nobody, and says so when asked to', () => {
    const annotations = '{policy.axoneme.io/tier: baseline}'
    assert.deepEqual(valid(spec, { annotations }).specs[0]?.isolates, { ingress: false, egress: false })
    assert.match(
      refused(`spec: {endpointSelector: {}, ingress: [{}], enableDefaultDeny: {ingress: true}}`, {
        annotations,
      }).join(),
      /spec\.enableDefaultDeny\.ingress: cannot be true in the baseline tier/,
    )
  })
})

test('audit is of all specs and rules; log is of the rules of its spec', () => {
  const text =
    'specs: [{endpointSelector: {}, ingress: [{}], log: {value: shop door}}, {endpointSelector: {}, egress: [{}]}]'
  const audited = valid(text, { annotations: '{policy.axoneme.io/audit: "true"}' })
  for (const spec of audited.specs)
    assert.deepEqual([spec.audit, ...spec.rules.map(({ audit }) => audit)], [true, true])
  const plain = valid(text, { annotations: '{policy.axoneme.io/audit: "false"}' })
  for (const spec of plain.specs)
    assert.deepEqual([spec.audit, ...spec.rules.map(({ audit }) => audit)], [undefined, undefined])
  assert.deepEqual(
    plain.specs.map(({ rules }) => rules[0]?.log),
    ['shop door', undefined],
  )
  const tooLong = `spec: {endpointSelector: {}, ingress: [{}], log: {value: ${'x'.repeat(33)}}}`
  assert.match(refused(tooLong).join(), /spec\.log\.value: must have at most 32 characters/)
  const unprintable = 'spec: {endpointSelector: {}, ingress: [{}], log: {value: "a\\tb"}}'
  assert.match(refused(unprintable).join(), /spec\.log\.value: must be printable characters/)
})

test('description and labels are taken and change nothing', () => {
  const policy = valid(
    'spec: {endpointSelector: {}, ingress: [{}], description: the door, labels: [{key: a, value: b, source: k8s}, {key: c}]}',
  )
  assert.deepEqual(brief(policy), brief(valid('spec: {endpointSelector: {}, ingress: [{}]}')))
})

test('a policy about nodes has no effect yet, and says so', () => {
  const policy = valid(
    'specs: [{nodeSelector: {matchLabels: {kubernetes.io/os: linux}}, ingress: [{}]}, {endpointSelector: {}, ingress: [{}]}]',
    { clusterwide: true, warnings: 1 },
  )
  assert.equal(policy.specs.length, 1)
  assert.deepEqual(policy.unenforced, [
    { path: 'specs[0].nodeSelector', reason: 'nodes are not subject to policies yet' },
  ])
  const proxies = valid('spec: {endpointSelector: {matchLabels: {"reserved:ingress": ""}}, ingress: [{}]}', {
    clusterwide: true,
    warnings: 1,
  })
  assert.deepEqual(proxies.unenforced, [
    { path: 'spec.endpointSelector', reason: 'only pods are subject to policies yet' },
  ])
})

test('of a policy with very many problems the first are told, and how many there are', () => {
  const rules = Array(150).fill('{toNodes: [{}]}').join(', ')
  const policy = valid(`spec: {endpointSelector: {}, egress: [${rules}]}`, { warnings: 101 })
  assert.equal(policy.unenforced?.length, 150)
})

const POD = (name: string, labels: string, rest = ''): string =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, namespace: shop, labels: {${labels}}}\nspec: {${rest}containers: [{name: c}]}`

/** Pairs `FROM TO` that TCP port 80 is denied for. */
function denied(...yaml: readonly string[]): string[] {
  const { objects, problems } = parseManifests(yaml.join('\n---\n'), 'cluster.yaml')
  const { cluster, problems: more } = readCluster(objects)
  assert.deepEqual([...problems, ...more].filter(({ severity }) => severity === 'error').map(formatProblem), [])
  return [...reach(cluster, parsePorts('80') as readonly ReachPort[])]
    .filter(({ verdict }) => verdict === 'denied')
    .map(row => `${row.from.slice(5)} ${row.to.slice(5)}`)
}

test('pod labels under internal names can neither be forged nor take a pod out of a policy', () => {
  const pods = [
    POD('a', 'app: a, io.cilium.k8s.policy.serviceaccount: till, io.kubernetes.pod.namespace: bank'),
    POD('b', 'app: b', 'serviceAccountName: till, '),
    POD('host', 'host: "", world: "", reserved.host: x'),
  ]
  const allowTill = policyText(
    'spec: {endpointSelector: {}, ingress: [{fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.serviceaccount: till}}]}]}',
  )
  assert.deepEqual(denied(...pods, allowTill), ['a b', 'a host', 'host a', 'host b'])
  const denyHost = policyText(
    'spec: {endpointSelector: {}, egressDeny: [{toEntities: [host]}], enableDefaultDeny: {egress: false}}',
  )
  assert.deepEqual(denied(...pods, denyHost), [], 'a pod labelled host is not the host')
  const allowHost = policyText('spec: {endpointSelector: {matchLabels: {app: a}}, ingress: [{fromEntities: [host]}]}')
  assert.deepEqual(denied(...pods, allowHost), ['b a', 'host a'])
})

test('deny beats allow whatever its breadth; a stronger policy beats both', () => {
  const pods = [POD('a', 'app: a'), POD('b', 'app: b')]
  const all = 'endpointSelector: {}'
  const one = '{fromEndpoints: [{matchLabels: {app: a}}], toPorts: [{ports: [{port: "80", protocol: TCP}]}]}'
  assert.deepEqual(
    denied(...pods, policyText(`spec: {${all}, ingress: [${one}], ingressDeny: [{fromEntities: [all]}]}`)),
    ['a b', 'b a'],
  )
  const deny = policyText(`spec: {${all}, ingressDeny: [{fromEntities: [all]}]}`)
  const stronger = policyText(`spec: {${all}, ingress: [${one}]}`, {
    name: 'other',
    annotations: '{policy.axoneme.io/priority: "5"}',
  })
  assert.deepEqual(denied(...pods, deny, stronger), ['b a'])
})
