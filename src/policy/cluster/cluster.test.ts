// Who may reach whom in small clusters written as manifests: blocks, nodes, the world,
// dual stack, named ports, forged labels, and what is refused.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatIp, ip } from '../../ip/index.ts'
import { formatProblem, parseManifests } from '../../manifests/index.ts'
import type { Cluster, ClusterPod, End } from './cluster.ts'
import { type ReadCluster, readCluster } from './cluster-manifests.ts'
import { parsePorts, podName, reach } from './reach.ts'

const TCP = 6

function read(yaml: string): ReadCluster {
  const { objects, problems } = parseManifests(yaml, 'cluster.yaml')
  assert.deepEqual(problems, [])
  return readCluster(objects)
}

function clusterOf(yaml: string): Cluster {
  const { cluster, problems } = read(yaml)
  assert.deepEqual(problems.map(formatProblem), [])
  return cluster
}

type PodSketch = { labels?: string; ips?: string; ports?: string; more?: string; namespace?: string }

const pod = (
  name: string,
  { labels = '{}', ips = '', ports = '[]', more = '', namespace = 'shop' }: PodSketch,
): string => `
---
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: ${namespace}, labels: ${labels}}
spec: {containers: [{name: c, ports: ${ports}}]${more}}
status: {podIPs: [${ips
  .split(' ')
  .filter(Boolean)
  .map(text => `{ip: "${text}"}`)
  .join(', ')}]}`

const policy = (name: string, spec: string): string => `
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: ${name}, namespace: shop}
spec: ${spec}`

const podNamed = (cluster: Cluster, name: string): ClusterPod => {
  const found = cluster.content.pods.find(pod => podName(pod) === name)
  assert.ok(found, name)
  return found
}

/** The pod at one of its addresses, a pod's first one, or whoever stands at an address. */
function end(cluster: Cluster, name: string): End {
  if (!name.includes('/')) return cluster.endAt(ip(name))
  const found = cluster.endOf(podNamed(cluster, name))
  assert.ok(found, name)
  return found
}

const judge = (cluster: Cluster, from: string, to: string, port = 80, protocol = TCP): string =>
  cluster.verdict(end(cluster, from), end(cluster, to), protocol, port).verdict

test('two pods with the same labels, one of them inside the block', async t => {
  const pods =
    pod('in', { labels: '{app: a}', ips: '10.1.0.5' }) +
    pod('out', { labels: '{app: a}', ips: '10.2.0.5' }) +
    pod('server', { ips: '10.3.0.1' })
  const block = '{ipBlock: {cidr: 10.0.0.0/8, except: [10.2.0.0/16]}}'
  await t.test('as sources', () => {
    const cluster = clusterOf(pods + policy('p', `{podSelector: {}, ingress: [{from: [${block}]}]}`))
    assert.equal(judge(cluster, 'shop/in', 'shop/server'), 'allowed')
    assert.equal(judge(cluster, 'shop/out', 'shop/server'), 'denied')
  })
  await t.test('as destinations', () => {
    const cluster = clusterOf(
      pods + policy('p', `{podSelector: {}, policyTypes: [Egress], egress: [{to: [${block}]}]}`),
    )
    assert.equal(judge(cluster, 'shop/server', 'shop/in'), 'allowed')
    assert.equal(judge(cluster, 'shop/server', 'shop/out'), 'denied')
  })
  await t.test('a selector still matches both', () => {
    const cluster = clusterOf(
      pods +
        policy('p', `{podSelector: {}, ingress: [{from: [${block}]}]}`) +
        policy(
          'q',
          '{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: a}}}], ports: [{port: 81}]}]}',
        ),
    )
    assert.deepEqual(
      ['in', 'out'].map(name => judge(cluster, `shop/${name}`, 'shop/server', 81)),
      ['allowed', 'allowed'],
    )
    assert.deepEqual(
      ['in', 'out'].map(name => judge(cluster, `shop/${name}`, 'shop/server', 80)),
      ['allowed', 'denied'],
    )
  })
})

test('a dual-stack pod: each address is judged by itself, and no block of one family covers the other', () => {
  const pods = pod('a', { ips: '10.1.0.5 fd00::5' }) + pod('server', { ips: '10.3.0.1 fd00::1' })
  const ingress = (cidr: string): Cluster =>
    clusterOf(pods + policy('p', `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: "${cidr}"}}]}]}`))
  const verdicts = (cluster: Cluster): string[] => [
    judge(cluster, '10.1.0.5', '10.3.0.1'),
    judge(cluster, 'fd00::5', 'fd00::1'),
  ]
  assert.deepEqual(verdicts(ingress('10.0.0.0/8')), ['allowed', 'denied'])
  assert.deepEqual(verdicts(ingress('0.0.0.0/0')), ['allowed', 'denied'])
  assert.deepEqual(verdicts(ingress('::/0')), ['denied', 'allowed'])
  assert.deepEqual(verdicts(ingress('fd00::/8')), ['denied', 'allowed'])
  const families = ([4, 6] as const).map(family =>
    [...reach(ingress('::/0'), [{ protocol: TCP, port: 80 }], { family })].map(row => row.verdict),
  )
  assert.deepEqual(families, [
    ['denied', 'denied'],
    ['allowed', 'allowed'],
  ])
})

const NODES = ['node1', 'node2']
  .map(
    (name, i) => `
---
apiVersion: v1
kind: Node
metadata: {name: ${name}}
status: {addresses: [{type: InternalIP, address: 172.30.0.${i + 1}}, {type: Hostname, address: ${name}}]}`,
  )
  .join('')

test("nodes: blocks cover them, selectors do not, and a pod's own node is always let in", () => {
  const pods =
    pod('web', { ips: '10.1.0.1', more: ', nodeName: node1' }) +
    pod('agent', { labels: '{app: agent}', ips: '172.30.0.2', more: ', hostNetwork: true, nodeName: node2' })
  const closed = clusterOf(NODES + pods + policy('p', '{podSelector: {}, policyTypes: [Ingress, Egress]}'))
  assert.equal(judge(closed, '172.30.0.1', 'shop/web'), 'allowed', 'own node')
  assert.equal(judge(closed, '172.30.0.2', 'shop/web'), 'denied', 'another node')
  assert.equal(judge(closed, 'shop/agent', 'shop/web'), 'denied', 'a pod on the network of another node')
  assert.equal(judge(closed, 'shop/web', '172.30.0.1'), 'denied', 'egress to the own node wants a rule')
  const block = '{ipBlock: {cidr: 172.30.0.0/24}}'
  const open = clusterOf(
    NODES + pods + policy('p', `{podSelector: {}, ingress: [{from: [${block}]}], egress: [{to: [${block}]}]}`),
  )
  for (const node of ['172.30.0.1', '172.30.0.2', 'shop/agent']) {
    assert.equal(judge(open, node, 'shop/web'), 'allowed', node)
    assert.equal(judge(open, 'shop/web', node), 'allowed', node)
  }
  const everyPod = clusterOf(
    NODES +
      pods +
      policy(
        'p',
        '{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}], egress: [{to: [{podSelector: {matchLabels: {app: agent}}}]}]}',
      ),
  )
  assert.equal(judge(everyPod, 'shop/agent', 'shop/web'), 'denied')
  assert.equal(judge(everyPod, 'shop/web', 'shop/agent'), 'denied')
  assert.equal(
    judge(everyPod, 'shop/agent', '172.30.0.1'),
    'allowed',
    "no policy applies to a pod on the host's network",
  )
})

test('the world: blocks cover it, selectors do not, the longest block and its exceptions count', () => {
  const spec =
    '{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}], egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.128/25]}}, {ipBlock: {cidr: 192.0.2.200/32}}]}]}'
  const cluster = clusterOf(pod('web', { ips: '10.1.0.1' }) + policy('p', spec))
  const to = (address: string): string => judge(cluster, 'shop/web', address)
  assert.deepEqual(['192.0.2.1', '192.0.2.129', '192.0.2.200', '198.51.100.1'].map(to), [
    'allowed',
    'denied',
    'allowed',
    'denied',
  ])
  assert.equal(judge(cluster, '192.0.2.1', 'shop/web'), 'denied')
  const open = clusterOf(pod('web', { ips: '10.1.0.1' }) + policy('p', '{podSelector: {}, ingress: [{}]}'))
  assert.equal(judge(open, '192.0.2.1', 'shop/web'), 'allowed')
})

test("named ports are each destination's own", () => {
  const pods =
    pod('a', { ips: '10.1.0.1', ports: '[{name: http, containerPort: 8080}]' }) +
    pod('b', { ips: '10.1.0.2', ports: '[{name: http, containerPort: 9090}]' }) +
    pod('c', { ips: '10.1.0.3', ports: '[{name: http, containerPort: 8080, protocol: UDP}]' })
  const http = (ports: string): string => `{podSelector: {}, ingress: [{ports: [${ports}]}]}`
  const cluster = clusterOf(pods + policy('p', http('{port: http}')))
  const rows = [
    ...reach(cluster, [
      { protocol: TCP, port: 'http' },
      { protocol: TCP, port: 8080 },
    ]),
  ]
  assert.deepEqual(
    rows.map(({ from, to, port, verdict }) => `${from} ${to} ${port} ${verdict}`),
    [
      'shop/a shop/b 9090 allowed',
      'shop/a shop/b 8080 denied',
      'shop/a shop/c 8080 denied',
      'shop/b shop/a 8080 allowed',
      'shop/b shop/a 8080 allowed',
      'shop/b shop/c 8080 denied',
      'shop/c shop/a 8080 allowed',
      'shop/c shop/a 8080 allowed',
      'shop/c shop/b 9090 allowed',
      'shop/c shop/b 8080 denied',
    ],
  )
  const egress = clusterOf(
    pods + policy('p', '{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}'),
  )
  assert.deepEqual(
    [
      judge(egress, 'shop/c', 'shop/a', 8080),
      judge(egress, 'shop/c', 'shop/b', 9090),
      judge(egress, 'shop/c', 'shop/b', 8080),
      judge(egress, 'shop/a', 'shop/c', 8080),
    ],
    ['allowed', 'allowed', 'denied', 'denied'],
  )
})

test('labels that look like internal ones change nothing', () => {
  const forged =
    '{"reserved:host": "", host: "", "io.kubernetes.pod.namespace": trusted, "io.cilium.k8s.namespace.labels.team": a, "io.cilium.k8s.policy.serviceaccount": admin}'
  const cluster = clusterOf(
    pod('forger', { labels: forged.replace('"reserved:host": "", ', ''), ips: '10.1.0.1' }) +
      pod('web', { ips: '10.1.0.2' }) +
      pod('honest', { ips: '10.1.0.3', namespace: 'trusted' }) +
      '\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: trusted, labels: {team: a}}}' +
      policy(
        'p',
        '{podSelector: {matchLabels: {}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}]}]}',
      ) +
      policy(
        'q',
        '{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: trusted}}}]}]}',
      ),
  )
  assert.equal(judge(cluster, 'trusted/honest', 'shop/web'), 'allowed')
  assert.equal(judge(cluster, 'shop/forger', 'shop/web'), 'denied')
  assert.equal(judge(cluster, 'shop/web', 'shop/forger'), 'denied', 'and a policy still selects the pod')
})

test('a label with a value per pod counts where a policy names its key', () => {
  const pods =
    pod('a', { labels: '{pod-template-hash: h1}', ips: '10.1.0.1' }) +
    pod('b', { labels: '{pod-template-hash: h2}', ips: '10.1.0.2' }) +
    pod('c', { ips: '10.1.0.3' })
  const cluster = clusterOf(
    pods + policy('p', '{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod-template-hash: h1}}}]}]}'),
  )
  assert.deepEqual(
    ['a', 'b'].map(name => judge(cluster, `shop/${name}`, 'shop/c')),
    ['allowed', 'denied'],
  )
})

test('a verdict tells the rule, its file and line, and the policies that isolate', () => {
  const yaml =
    pod('a', { ips: '10.1.0.1' }) +
    pod('b', { ips: '10.1.0.2' }) +
    policy('p', '\n  podSelector: {}\n  ingress:\n  - ports: [{port: 80}]')
  const cluster = clusterOf(yaml)
  const { ingress, egress } = cluster.verdict(end(cluster, 'shop/a'), end(cluster, 'shop/b'), TCP, 80)
  assert.equal(egress?.entry?.rule, 'not-isolated')
  const rule = cluster.repository.rule(ingress?.entry?.rule ?? '')
  const line = yaml.split('\n').findIndex(text => text.includes('port: 80')) + 1
  assert.deepEqual([rule?.policy.name, rule?.path, rule?.origin], ['p', 'ingress[0]', { file: 'cluster.yaml', line }])
  const denied = cluster.verdict(end(cluster, 'shop/a'), end(cluster, 'shop/b'), TCP, 81)
  assert.deepEqual([denied.verdict, denied.ingress], ['denied', { verdict: 'denied', entry: undefined }])
})

test("pods without an address are given one of the sandbox's pools; it is told where it matters", () => {
  const yaml = pod('a', {}) + pod('b', { ips: '10.244.0.1' }) + pod('c', {})
  const addresses = clusterOf(yaml).content.pods.map(({ addresses }) => addresses.map(({ bytes }) => formatIp(bytes)))
  assert.deepEqual(addresses, [['10.244.0.2', 'fd00:10:244::1'], ['10.244.0.1'], ['10.244.0.3', 'fd00:10:244::2']])
  const { problems } = read(yaml + policy('p', '{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}'))
  assert.match(
    problems.map(formatProblem).join('\n'),
    /^cluster\.yaml:7:\d+: warning: Pod shop\/a: status\.podIP: has no address in its status \(nor has one more pod\)/,
  )
})

test('what cannot be taken is told, and the rest is judged without it', async t => {
  const web = pod('web', { ips: '10.1.0.1' })
  const cases: readonly { name: string; yaml: string; want: RegExp }[] = [
    {
      name: 'an address of two pods',
      yaml: web + pod('twin', { ips: '10.1.0.1' }),
      want: /Pod shop\/twin: status: has an address that Pod shop\/web has already/,
    },
    {
      name: 'an address of a pod and a node',
      yaml: NODES + pod('twin', { ips: '172.30.0.1' }),
      want: /Pod shop\/twin: status: has an address that Node node1 has/,
    },
    {
      name: 'an object declared twice',
      yaml: web + web,
      want: /Pod shop\/web: is declared twice; the first is at cluster\.yaml:3/,
    },
    {
      name: 'a policy kind that nothing enforces',
      yaml: '{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: p}}',
      want: /kind: GlobalNetworkPolicy of projectcalico\.org\/v3 is not enforced/,
    },
    {
      name: 'an old version of NetworkPolicy',
      yaml: '{apiVersion: networking.k8s.io/v1beta1, kind: NetworkPolicy, metadata: {name: p}}',
      want: /apiVersion: must be networking\.k8s\.io\/v1/,
    },
    {
      name: 'a policy with an error',
      yaml: policy('p', '{podSelector: {}, ingress: all}'),
      want: /NetworkPolicy shop\/p: spec\.ingress: expected a list/,
    },
  ]
  for (const { name, yaml, want } of cases)
    await t.test(name, () => {
      const { problems } = read(yaml)
      assert.ok(problems.some(problem => problem.severity === 'error'))
      assert.match(problems.map(formatProblem).join('\n'), want)
    })
})

test('other kinds are passed over, and pods that have ended are not there', () => {
  const yaml = `{apiVersion: v1, kind: ConfigMap, metadata: {name: s}}${pod('a', { ips: '10.1.0.1' })}${pod('done', {}).replace('status: {', 'status: {phase: Succeeded, ')}`
  assert.deepEqual(clusterOf(yaml).content.pods.map(podName), ['shop/a'])
})

test('pods without a common family cannot reach each other', () => {
  const cluster = clusterOf(pod('four', { ips: '10.1.0.1' }) + pod('six', { ips: 'fd00::1' }))
  assert.deepEqual(
    [...reach(cluster, [{ protocol: TCP, port: 80 }])].map(({ verdict }) => verdict),
    ['denied', 'denied'],
  )
})

test('lists of ports', async t => {
  const cases: readonly { text: string; want: unknown }[] = [
    {
      text: '80/TCP,53/udp',
      want: [
        { protocol: 6, port: 80 },
        { protocol: 17, port: 53 },
      ],
    },
    {
      text: ' 80 , http/SCTP ',
      want: [
        { protocol: 6, port: 80 },
        { protocol: 132, port: 'http' },
      ],
    },
    { text: '65536/TCP', want: '"65536" in "65536/TCP" is not 1 to 65535' },
    { text: '0', want: '"0" in "0" is not 1 to 65535' },
    { text: '80/ICMP', want: '"ICMP" in "80/ICMP" is not TCP, UDP or SCTP' },
    { text: '80-90/TCP', want: '"80-90" in "80-90/TCP" is no port: a number or a name' },
    { text: 'HTTP', want: '"HTTP" in "HTTP" is no port: a number or a name' },
    { text: '80/TCP,', want: '"" is not PORT/PROTOCOL, such as 80/TCP or http/TCP' },
    { text: '80/TCP/x', want: '"80/TCP/x" is not PORT/PROTOCOL, such as 80/TCP or http/TCP' },
  ]
  for (const { text, want } of cases) await t.test(text, () => assert.deepEqual(parsePorts(text), want))
})
