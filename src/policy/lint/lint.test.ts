// Every id of lint, each with policies that earn it and policies much like them that do
// not.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseManifests } from '../../manifests/index.ts'
import { readCluster } from '../cluster/cluster-manifests.ts'
import { LINT_RULES, type LintFinding, type LintId } from './finding.ts'
import { isLintId, lintManifests } from './lint.ts'
import { escapeDots } from './name-checks.ts'

const pod = (namespace: string, name: string, labels: string, address: string) =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: ${namespace}, labels: {${labels}}}, spec: {containers: [{name: m, ports: [{name: http, containerPort: 80}, {name: dns-udp, containerPort: 53, protocol: UDP}]}]}, status: {podIP: ${address}}}`

const CLUSTER = [
  '{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: sales}}}',
  '{apiVersion: v1, kind: Namespace, metadata: {name: ops, labels: {team: ops}}}',
  pod('shop', 'web', 'app: web, tier: front', '10.244.0.1'),
  pod('shop', 'db', 'app: db', '10.244.0.2'),
  pod('ops', 'monitor', 'app: monitor', '10.244.0.3'),
]

const WEB = 'podSelector: {matchLabels: {app: web}}'
const np = (name: string, spec: string) =>
  `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: ${name}, namespace: shop}, spec: {${spec}}}`
const web = (spec: string) => np('web', `${WEB}, ${spec}`)
const from = (peers: string, ports = '[{port: http}]') => web(`ingress: [{from: ${peers}, ports: ${ports}}]`)
const cnp = (name: string, spec: string) =>
  `{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: ${name}, namespace: shop}, spec: {endpointSelector: {matchLabels: {app: web}}, ${spec}}}`
const admin = (name: string, priority: number, rules: string) =>
  `{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: ${name}}, spec: {tier: Admin, priority: ${priority}, subject: {namespaces: {matchLabels: {team: sales}}}, ingress: ${rules}}}`
const sales = (action: string) => `[{action: ${action}, from: [{namespaces: {matchLabels: {team: sales}}}]}]`

const DB = '[{podSelector: {matchLabels: {app: db}}}]'
const DNS = '{to: [{namespaceSelector: {matchLabels: {team: ops}}}], ports: [{port: 53, protocol: UDP}, {port: 53}]}'
const EXCEPT_ALL = '[10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16]'
const FROM_DB = 'fromEndpoints: [{matchLabels: {app: db}}]'
const said = (rules: string, port = 80) => `{ports: [{port: "${port}", protocol: TCP}], rules: {${rules}}}`
const l7 = (rules: string) =>
  cnp(
    'web',
    `ingress: [{fromEndpoints: [{matchLabels: {app: db}}], toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {${rules}}}]}]`,
  )
const names = (list: string) =>
  cnp(
    'web',
    `egress: [{toFQDNs: ${list}}, {toEndpoints: [{matchLabels: {app: db}}], toPorts: [{ports: [{port: "53", protocol: ANY}], rules: {dns: [{matchPattern: "*"}]}}]}]`,
  )

type Case = {
  readonly name: string
  readonly bad?: readonly string[]
  readonly says?: RegExp
  readonly good?: readonly string[]
}

/** For www.example.com, *.api.example.com and 192.0.2.1. */
const CERTIFICATE =
  'MIIBqTCCAVCgAwIBAgIUagebpWcjsB3Sfo2IS7bylWtAspUwCgYIKoZIzj0EAwIwDjEMMAoGA1UEAwwDd2ViMCAXDTI2MTEyMzIyMTYzOFoYDzIxMjYxMDMwMjIxNjM4WjAOMQwwCgYDVQQDDAN3ZWIwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQmDdKezIxKwY0XuCRKqL7qCAgU2qQjS7jJq9FHbx9oqHTQaaX3UfQX6oqBnzhP/LjHupYlHf+RY4RuhRsRZprho4GJMIGGMB0GA1UdDgQWBBQBIFhFAI1g8PiapYk7g66kt2UeRTAfBgNVHSMEGDAWgBQBIFhFAI1g8PiapYk7g66kt2UeRTAPBgNVHRMBAf8EBTADAQH/MDMGA1UdEQQsMCqCD3d3dy5leGFtcGxlLmNvbYIRKi5hcGkuZXhhbXBsZS5jb22HBMAAAgEwCgYIKoZIzj0EAwIDRwAwRAIgEEdHj3wTNgzDAMHbR7PlN/tweQGJMjg2SA0MQDM3r/wCIChwflELr4DLhz3tl3DEC0kLm+7ncN1kxoBguhxxpZeW'
const WEB_SECRET = `{apiVersion: v1, kind: Secret, metadata: {name: tls, namespace: shop}, stringData: {tls.key: x, tls.crt: "-----BEGIN CERTIFICATE-----${CERTIFICATE}-----END CERTIFICATE-----"}}`

const tls = (fields: string): string =>
  cnp(
    'x',
    `egress: [{toFQDNs: [{matchName: a.b.api.example.com}], toPorts: [{ports: [{port: "443", protocol: TCP}], ${fields}}]}]`,
  )

const CASES: Readonly<Record<LintId, readonly Case[]>> = {
  'selects-nothing': [
    {
      name: 'a label that no pod has',
      bad: [np('x', 'podSelector: {matchLabels: {app: wbe}}')],
      says: /spec\.podSelector: .*nothing has app=wbe/,
      good: [np('x', WEB)],
    },
    { name: 'a namespace without pods', bad: [np('x', WEB).replace('shop', 'shpo')], says: /no pod in namespace shpo/ },
    {
      name: 'the second of specs',
      bad: [
        `{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: x, namespace: shop}, specs: [{endpointSelector: {}, ingress: [{fromEndpoints: [{}]}]}, {endpointSelector: {matchLabels: {app: wbe}}, ingress: [{fromEndpoints: [{}]}]}]}`,
      ],
      says: /specs\[1\]\.endpointSelector/,
    },
    {
      name: 'the subject of administrators',
      bad: [admin('x', 1, sales('Deny')).replace('team: sales', 'team: buyers')],
      says: /spec\.subject: .*namespace label team=buyers/,
    },
  ],
  'peer-selects-nothing': [
    {
      name: 'one of two peers',
      bad: [from('[{podSelector: {matchLabels: {app: db}}}, {podSelector: {matchLabels: {app: cache}}}]')],
      says: /from\[1\]: .*app=cache/,
      good: [from(DB)],
    },
    { name: 'labels that no pod has together', bad: [from('[{podSelector: {matchLabels: {app: db, tier: front}}}]')] },
    { name: 'an empty list', bad: [cnp('x', 'ingress: [{fromEndpoints: []}]')], says: /is nobody/ },
    {
      name: 'a denial of nobody; an allowance of nobody only isolates, and is meant',
      bad: [cnp('x', 'ingressDeny: [{}]')],
      says: /ingressDeny\[0\]: .* denies nothing; write fromEntities: \[all\]/,
      good: [cnp('x', 'ingress: [{}]')],
    },
    {
      name: 'a reserved label that there is not',
      bad: [cnp('x', 'ingress: [{fromEndpoints: [{matchLabels: {"reserved:wrold": ""}}]}]')],
      says: /allows nobody; write labels that a pod has$/,
    },
    {
      name: 'a service that is not there',
      bad: [cnp('x', 'egress: [{toServices: [{k8sService: {serviceName: db, namespace: shop}}]}]')],
      says: /egress\[0\]\.toServices: names no service of the manifests that has backends, so it allows nobody/,
      good: [
        cnp('x', 'egress: [{toServices: [{k8sService: {serviceName: db, namespace: shop}}]}]'),
        '{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {ports: [{port: 80}], selector: {app: db}}}',
      ],
    },
    {
      name: 'a service that selects no pod',
      bad: [
        cnp('x', 'egressDeny: [{toServices: [{k8sServiceSelector: {selector: {}}}]}]'),
        '{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {ports: [{port: 80}], selector: {app: cache}}}',
      ],
      says: /names services that select no pod of the manifests, so it has no effect/,
    },
    {
      name: 'the world and nodes need no pods',
      good: [cnp('x', 'ingress: [{fromEntities: [world, host]}]'), from('[{ipBlock: {cidr: 192.0.2.0/24}}]')],
    },
  ],
  'misplaced-label': [
    {
      name: 'a label of a namespace asked of pods',
      bad: [from('[{podSelector: {matchLabels: {team: ops}}}]')],
      says: /namespaces such as ops .* write a namespaceSelector/,
      good: [from('[{namespaceSelector: {matchLabels: {team: ops}}}]')],
    },
    {
      name: 'a label of a pod asked of namespaces',
      bad: [from('[{namespaceSelector: {matchLabels: {app: monitor}}}]')],
      says: /pods such as ops\/monitor .* write a podSelector/,
    },
    { name: 'of the subject', bad: [np('x', 'podSelector: {matchLabels: {team: sales}}')], says: /spec\.podSelector/ },
    {
      name: 'in a Cilium policy, which has one selector for both',
      bad: [cnp('x', 'ingress: [{fromEndpoints: [{matchLabels: {team: ops}}]}]')],
      says: /write the key k8s:io\.cilium\.k8s\.namespace\.labels\.team$/,
      good: [cnp('x', 'ingress: [{fromEndpoints: [{matchLabels: {"k8s:io.cilium.k8s.namespace.labels.team": ops}}]}]')],
    },
  ],
  'unknown-port-name': [
    { name: 'of the subject', bad: [from(DB, '[{port: htpp}]')], says: /ports\[0\]\.port: .*"htpp"/, good: [from(DB)] },
    {
      name: 'of another protocol',
      bad: [from(DB, '[{port: dns-udp}]')],
      says: /under TCP; it is a port of UDP/,
      good: [from(DB, '[{port: dns-udp, protocol: UDP}]')],
    },
    {
      name: 'of a peer',
      bad: [web(`policyTypes: [Egress], egress: [{to: ${DB}, ports: [{port: pg}]}, ${DNS}]`)],
      says: /egress\[0\]\.ports\[0\]\.port/,
    },
  ],
  shadowed: [
    {
      name: 'rules for requests that are lifted; other rules for requests are not idle',
      bad: [
        cnp('x', `ingress: [{${FROM_DB}, toPorts: [${said('http: [{method: GET}]')}]}]`),
        cnp('yy', `ingress: [{${FROM_DB}}]`),
      ],
      says: /shop\/x: spec\.ingress\[0\]\.toPorts\[0\]: changes nothing: CiliumNetworkPolicy shop\/yy ingress\[0\].* allows all of it/,
      good: [
        cnp('x', `ingress: [{${FROM_DB}, toPorts: [${said('http: [{method: GET}]')}]}]`),
        cnp('yy', `ingress: [{${FROM_DB}, toPorts: [${said('http: [{method: PUT}]')}]}]`),
      ],
    },
    {
      name: 'a narrower rule of another policy',
      bad: [from(DB), np('all', `podSelector: {}, ingress: [{from: [{podSelector: {}}]}]`)],
      says: /web: spec\.ingress\[0\]: changes nothing: NetworkPolicy shop\/all ingress\[0\]/,
      good: [from(DB), np('all', `podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: [{port: 81}]}]`)],
    },
    {
      name: 'only alike as long as there are no other pods',
      good: [
        from(DB),
        np(
          'monitored',
          `${WEB}, ingress: [{from: [{podSelector: {matchExpressions: [{key: tier, operator: Exists}]}}], ports: [{port: http}]}]`,
        ),
      ],
    },
    {
      name: 'a rule behind another one',
      bad: [
        admin(
          'x',
          1,
          '[{action: Deny, from: [{namespaces: {matchLabels: {team: ops}}}]}, {action: Accept, from: [{namespaces: {matchLabels: {team: ops}}}], protocols: [{tcp: {destinationPort: {number: 80}}}]}]',
        ),
      ],
      says: /ingress\[1\]: never decides: ingress\[0\] always comes before it/,
    },
    {
      name: 'a rule that is passed over',
      bad: [admin('x', 1, sales('Pass')), admin('z', 2, sales('Deny'))],
      says: /ClusterNetworkPolicy z: .*never decides: ClusterNetworkPolicy x ingress\[0\]/,
    },
    {
      name: 'a rule that keeps the next one behind a policy of the same priority',
      good: [
        admin(
          'x',
          1,
          '[{action: Accept, from: [{namespaces: {matchLabels: {team: ops}}}], protocols: [{tcp: {destinationPort: {number: 80}}}]}, {action: Pass, from: [{namespaces: {matchLabels: {team: sales}}}]}]',
        ),
        admin(
          'z',
          1,
          '[{action: Accept, from: [{namespaces: {matchLabels: {team: ops}}}], protocols: [{tcp: {destinationPort: {range: {start: 1, end: 65535}}}}]}]',
        ),
      ],
    },
    {
      name: 'a pass counts',
      good: [
        admin('x', 1, sales('Pass')),
        admin('z', 2, '[{action: Deny, from: [{namespaces: {matchLabels: {team: ops}}}]}]'),
      ],
    },
  ],
  duplicate: [
    {
      name: 'two rules',
      bad: [web(`ingress: [{from: ${DB}, ports: [{port: 80}]}, {from: ${DB}, ports: [{port: 80}]}]`)],
      says: /spec\.ingress\[1\]: says what ingress\[0\] says/,
      good: [web(`ingress: [{from: ${DB}, ports: [{port: 80}]}, {from: ${DB}, ports: [{port: 81}]}]`)],
    },
    {
      name: 'two policies',
      bad: [from(DB), from(DB).replace('name: web', 'name: web2')],
      says: /web2: spec\.ingress\[0\]: says what NetworkPolicy shop\/web ingress\[0\] \(m\.yaml:/,
    },
  ],
  contradiction: [
    {
      name: 'the same peers and ports',
      bad: [
        cnp(
          'x',
          'ingress: [{fromEndpoints: [{matchLabels: {app: db}}]}], ingressDeny: [{fromEndpoints: [{matchLabels: {app: db}}]}]',
        ),
      ],
      says: /spec\.ingress\[0\]: has no effect: ingressDeny\[0\] denies the same peers and ports/,
    },
    {
      name: 'all that is allowed',
      bad: [from(DB), cnp('x', 'ingressDeny: [{fromEndpoints: [{}]}]')],
      says: /web: spec\.ingress\[0\]: has no effect: CiliumNetworkPolicy shop\/x ingressDeny\[0\]/,
    },
    {
      name: 'a part of it',
      good: [from(DB), cnp('x', 'ingressDeny: [{fromEndpoints: [{}], toPorts: [{ports: [{port: "22"}]}]}]')],
    },
  ],
  tie: [
    {
      name: 'one priority, two actions',
      bad: [admin('x', 5, sales('Accept')), admin('z', 5, sales('Deny'))],
      says: /ClusterNetworkPolicy z: spec\.priority: .* ClusterNetworkPolicy x/,
      good: [
        admin('x', 5, sales('Accept')),
        admin('z', 6, '[{action: Deny, from: [{namespaces: {matchLabels: {team: ops}}}]}]'),
      ],
    },
    {
      name: 'one priority, other peers',
      good: [
        admin('x', 5, sales('Accept')),
        admin(
          'z',
          5,
          '[{action: Deny, from: [{pods: {namespaceSelector: {matchLabels: {team: ops}}, podSelector: {}}}]}]',
        ),
      ],
    },
  ],
  'any-peer': [
    {
      name: 'no from',
      bad: [web('ingress: [{ports: [{port: http}]}]')],
      says: /spec\.ingress\[0\]: has no from: everybody may connect/,
      good: [from(DB)],
    },
    { name: 'an empty from', bad: [from('[]')], says: /ingress\[0\]\.from: from is empty/ },
    { name: 'everywhere', bad: [web('policyTypes: [Egress], egress: [{}]')], says: /every destination/ },
    {
      name: 'asking for names anywhere',
      good: [web('policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}, {port: 53}]}]')],
    },
    { name: 'ports alone', bad: [cnp('x', 'ingress: [{toPorts: [{ports: [{port: "80"}]}]}]')] },
    { name: 'all, in so many words', good: [cnp('x', 'ingress: [{fromEntities: [all]}]')] },
  ],
  'whole-cluster': [
    {
      name: 'an empty namespaceSelector',
      bad: [from('[{namespaceSelector: {}}]')],
      says: /from\[0\]\.namespaceSelector: means every pod of every namespace;/,
      good: [from('[{namespaceSelector: {matchLabels: {team: ops}}}]')],
    },
    {
      name: 'beside a podSelector',
      bad: [from('[{namespaceSelector: {matchLabels: {}}, podSelector: {matchLabels: {app: db}}}]')],
      says: /that have these labels/,
    },
    {
      name: 'in the cluster-wide kind',
      bad: [
        '{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: x}, spec: {endpointSelector: {matchLabels: {app: web}}, ingress: [{fromEndpoints: [{}]}]}}',
      ],
      good: [cnp('x', 'ingress: [{fromEndpoints: [{}]}]')],
    },
    {
      name: 'its subject',
      bad: [
        '{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: x}, spec: {endpointSelector: {}, ingress: [{fromEntities: [world]}]}}',
      ],
      says: /endpointSelector: selects every pod/,
    },
    {
      name: 'an administrator',
      bad: [admin('x', 1, '[{action: Accept, from: [{namespaces: {}}]}]')],
      good: [admin('x', 1, '[{action: Deny, from: [{namespaces: {}}]}]')],
    },
  ],
  'negative-selector': [
    {
      name: 'NotIn',
      bad: [from('[{podSelector: {matchExpressions: [{key: tier, operator: NotIn, values: [front]}]}}]')],
      says: /whoever has no label tier too/,
      good: [
        from(
          '[{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web]}, {key: app, operator: Exists}]}}]',
        ),
      ],
    },
    {
      name: 'DoesNotExist',
      bad: [from('[{podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}}]')],
      good: [from('[{podSelector: {matchExpressions: [{key: app, operator: Exists}]}}]')],
    },
    {
      name: 'in a rule that denies',
      good: [
        cnp(
          'x',
          'ingressDeny: [{fromEndpoints: [{matchExpressions: [{key: tier, operator: NotIn, values: [front]}]}]}]',
        ),
      ],
    },
  ],
  'wide-ports': [
    {
      name: 'thousands',
      bad: [from(DB, '[{port: 1024, endPort: 65535}]')],
      says: /ports\[0\]\.endPort: opens 64512 ports, 1024 to 65535/,
      good: [from(DB, '[{port: 8000, endPort: 8010}]')],
    },
    {
      name: 'outgoing',
      good: [web(`policyTypes: [Egress], egress: [{to: ${DB}, ports: [{port: 1, endPort: 65535, protocol: UDP}]}]`)],
    },
  ],
  'or-not-and': [
    {
      name: 'one dash too many',
      bad: [from('[{namespaceSelector: {matchLabels: {team: ops}}}, {podSelector: {matchLabels: {app: db}}}]')],
      says: /from\[1\]: two items mean either one/,
      good: [from('[{namespaceSelector: {matchLabels: {team: ops}}, podSelector: {matchLabels: {app: monitor}}}]')],
    },
    {
      name: 'two of a kind',
      good: [from('[{podSelector: {matchLabels: {app: db}}}, {podSelector: {matchLabels: {app: web}}}]')],
    },
  ],
  'policy-types': [
    {
      name: 'only egress rules',
      bad: [web(`egress: [${DNS}]`)],
      says: /ingress is isolated too/,
      good: [web(`policyTypes: [Egress], egress: [${DNS}]`)],
    },
    { name: 'an empty egress', bad: [web('egress: []')], says: /isolates nothing/ },
    {
      name: 'rules of a type that is not named',
      bad: [web(`policyTypes: [Ingress], ingress: [], egress: [${DNS}]`)],
      says: /spec\.egress: has no effect: policyTypes does not name Egress/,
    },
    {
      name: 'a type without rules',
      bad: [web(`policyTypes: [Ingress, Egress], ingress: [{from: ${DB}}]`)],
      says: /all egress of these pods is denied/,
      good: [
        web(`policyTypes: [Ingress, Egress], ingress: [{from: ${DB}}], egress: []`),
        np('deny', 'podSelector: {}, policyTypes: [Ingress, Egress]'),
      ],
    },
  ],
  'no-dns': [
    {
      name: 'somebody, and no names',
      bad: [web(`policyTypes: [Egress], egress: [{to: ${DB}, ports: [{port: 80}]}]`)],
      says: /spec\.egress: shop\/web may connect/,
      good: [web(`policyTypes: [Egress], egress: [{to: ${DB}, ports: [{port: 80}]}, ${DNS}]`)],
    },
    {
      name: 'names by another policy',
      good: [
        web(`policyTypes: [Egress], egress: [{to: ${DB}, ports: [{port: 80}]}]`),
        np('dns', `podSelector: {}, policyTypes: [Egress], egress: [${DNS}]`),
      ],
    },
    { name: 'nobody at all', good: [web('policyTypes: [Egress]')] },
    {
      name: 'by a named port',
      good: [web(`policyTypes: [Egress], egress: [{to: ${DB}, ports: [{port: dns-udp, protocol: UDP}]}]`)],
    },
  ],
  'fqdn-without-dns': [
    {
      name: 'no DNS rule',
      bad: [cnp('x', 'egress: [{toFQDNs: [{matchName: api.example.com}]}, {toPorts: [{ports: [{port: "53"}]}]}]')],
      says: /egress\[0\]\.toFQDNs: no rule of these pods/,
      good: [names('[{matchName: api.example.com}]')],
    },
    {
      name: 'a DNS rule of another policy',
      good: [
        cnp('x', 'egress: [{toFQDNs: [{matchName: api.example.com}]}]'),
        names('[{matchName: other.example.com}]'),
      ],
    },
    {
      name: 'domains of a ClusterNetworkPolicy',
      bad: [admin('x', 1, '[], egress: [{action: Accept, to: [{namespaces: {}}, {domainNames: [a.example.com]}]}]')],
      says: /egress\[0\]\.to\[1\]\.domainNames: no rule of these pods/,
    },
  ],
  'protocol-conflict': [
    {
      name: 'two items of one rule',
      bad: [cnp('x', `ingress: [{${FROM_DB}, toPorts: [${said('http: [{}]')}, ${said('kafka: [{}]')}]}]`)],
      says: /ingress\[0\]\.toPorts\[1\]: has rules of another protocol than ingress\[0\]\.toPorts\[0\] about/,
      good: [cnp('x', `ingress: [{${FROM_DB}, toPorts: [${said('http: [{}]')}, ${said('kafka: [{}]', 81)}]}]`)],
    },
    {
      name: 'two policies; a rule without any lifts both',
      bad: [
        cnp('x', `ingress: [{${FROM_DB}, toPorts: [${said('http: [{}]')}]}]`),
        cnp('yy', `ingress: [{${FROM_DB}, toPorts: [${said('kafka: [{}]')}]}]`),
      ],
      says: /shop\/yy: .*than CiliumNetworkPolicy shop\/x ingress\[0\]\.toPorts\[0\]/,
      good: [
        cnp('x', `ingress: [{${FROM_DB}, toPorts: [${said('http: [{}]')}]}]`),
        cnp('yy', `ingress: [{${FROM_DB}, toPorts: [${said('kafka: [{}]')}]}]`),
        cnp('z', `ingress: [{${FROM_DB}, toPorts: [{ports: [{port: "80", protocol: TCP}]}]}]`),
      ],
    },
  ],
  'secret-missing': [
    {
      name: 'one that is not there; without any nothing is known',
      bad: [tls('terminatingTLS: {secret: {name: tsl}}'), WEB_SECRET],
      says: /toPorts\[0\]\.terminatingTLS\.secret: names shop\/tsl, which is no Secret of the manifests/,
      good: [tls('terminatingTLS: {secret: {name: tsl}}')],
    },
    {
      name: 'an item that its rule needs',
      bad: [tls('terminatingTLS: {secret: {namespace: shop, name: tls}, privateKey: web.key}'), WEB_SECRET],
      says: /names shop\/tls, which has no item web\.key/,
      good: [tls('terminatingTLS: {secret: {namespace: shop, name: tls}}'), WEB_SECRET],
    },
    {
      name: 'TLS to servers needs no certificate of its own, but authorities that it names',
      bad: [tls('originatingTLS: {secret: {name: tls}, trustedCA: ca.crt}'), WEB_SECRET],
      says: /originatingTLS\.secret: names shop\/tls, which has no item ca\.crt/,
      good: [tls('originatingTLS: {secret: {name: tls}}'), WEB_SECRET],
    },
    {
      name: 'of a header, in a clusterwide policy',
      bad: [
        '{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: x}, spec: {endpointSelector: {}, egress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{headerMatches: [{name: a, secret: {name: s}}]}]}}]}]}}',
        WEB_SECRET,
      ],
      says: /headerMatches\[0\]\.secret: names default\/s/,
    },
  ],
  'certificate-names': [
    {
      name: 'names that are asked for, and those of servers',
      bad: [tls('terminatingTLS: {secret: {name: tls}}, serverNames: [www.example.org]'), WEB_SECRET],
      says: /terminatingTLS: shows a certificate for www\.example\.com, \*\.api\.example\.com to clients that ask for www\.example\.org, a\.b\.api/,
      good: [
        tls(
          'terminatingTLS: {secret: {name: tls}}, serverNames: [WWW.example.com, "*.api.example.com", "**.com"]',
        ).replace('a.b.api', 'b.api'),
        WEB_SECRET,
      ],
    },
    {
      name: 'a certificate that cannot be read is told where it is used',
      good: [tls('terminatingTLS: {secret: {name: tls}}'), WEB_SECRET.replace('BEGIN', 'XXX')],
    },
  ],
  'regex-dot': [
    {
      name: 'a host',
      bad: [l7('http: [{host: "api.example.com"}]')],
      says: /http\[0\]\.host: .* write api\\\.example\\\.com/,
      good: [l7('http: [{host: "api[.]example\\\\.com"}]')],
    },
    {
      name: 'a path',
      bad: [l7('http: [{path: "/index.html"}]')],
      good: [l7('http: [{path: "/v1/.*", method: "GET"}]')],
    },
  ],
  'name-pattern': [
    {
      name: 'an ending',
      bad: [names('[{matchPattern: "*example.com"}]')],
      says: /takes in evilexample\.com too/,
      good: [names('[{matchPattern: "*.example.com"}]')],
    },
    { name: 'a whole top-level domain', bad: [names('[{matchPattern: "*.com"}]')], says: /every name under com/ },
  ],
  'except-gap': [
    {
      name: 'one private range of several',
      bad: [from('[{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]')],
      says: /ipBlock\.except: keeps out 10\.0\.0\.0\/8, .*172\.16\.0\.0\/12, 192\.168\.0\.0\/16/,
      good: [from(`[{ipBlock: {cidr: 0.0.0.0/0, except: ${EXCEPT_ALL}}}]`)],
    },
    {
      name: 'not the pods',
      bad: [
        from('[{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/16, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16]}}]'),
      ],
      says: /lets in Pod shop\/web at 10\.244\.0\.1 and 2 more: blocks match pods too/,
    },
    {
      name: 'in the set of a Cilium kind',
      bad: [cnp('x', 'ingress: [{fromCIDRSet: [{cidr: 0.0.0.0/0, except: [10.0.0.0/8]}]}]')],
      good: [cnp('x', 'ingress: [{fromCIDRSet: [{cidr: 0.0.0.0/0, except: [198.51.100.0/24]}]}]')],
    },
  ],
  'block-misses-pods': [
    {
      name: 'a plain prefix',
      bad: [cnp('x', 'ingress: [{fromCIDR: [198.51.100.0/24, 10.244.0.0/16]}]')],
      says: /spec\.ingress\[0\]\.fromCIDR\[1\]: does not mean Pod shop\/web at 10\.244\.0\.1 and 2 more/,
      good: [cnp('x', 'ingress: [{fromCIDR: [198.51.100.0/24, 0.0.0.0/0]}]')],
    },
    {
      name: 'a denial by a set',
      bad: [cnp('x', 'egressDeny: [{toCIDRSet: [{cidr: 10.244.0.0/16}]}]')],
      good: [cnp('x', 'egressDeny: [{toCIDRSet: [{cidr: 10.244.0.0/16, except: [10.244.0.0/24]}]}]')],
    },
    {
      name: 'a block that does mean pods',
      good: [from('[{ipBlock: {cidr: 10.244.0.0/16}}]')],
    },
  ],
  'except-undone': [
    {
      name: 'by a block beside it',
      bad: [from(`[{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.0/28]}}, {ipBlock: {cidr: 192.0.2.0/25}}]`)],
      says: /except\[0\]: keeps out nothing: the block 192\.0\.2\.0\/25/,
      good: [from(`[{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.0/28]}}, {ipBlock: {cidr: 192.0.2.4/32}}]`)],
    },
    {
      name: 'for other ports',
      good: [
        web(
          'ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.0/28]}}], ports: [{port: 80}]}, {from: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 81}]}]',
        ),
      ],
    },
  ],
}

function lint(policies: readonly string[], disable: readonly LintId[] = []): LintFinding[] {
  const { objects, problems } = parseManifests([...CLUSTER, ...policies].join('\n---\n'), 'm.yaml')
  const errors = [...problems, ...readCluster(objects).problems].filter(({ severity }) => severity === 'error')
  assert.deepEqual(errors, [])
  return lintManifests(objects, { disable: new Set(disable) })
}

const textOf = ({ id, object, path, message }: LintFinding): string => `${id} ${object}: ${path}: ${message}`

for (const [id, cases] of Object.entries(CASES))
  for (const { name, bad, says = /./, good } of cases) {
    if (bad)
      test(`${id}: ${name}`, () => {
        const texts = lint(bad).map(textOf)
        assert.ok(
          texts.some(text => text.startsWith(`${id} `) && says.test(text)),
          texts.join('\n'),
        )
      })
    if (good)
      test(`no ${id}: ${name}`, () => {
        const texts = lint(good)
          .filter(found => found.id === id)
          .map(textOf)
        assert.deepEqual(texts, [])
      })
  }

test('every id has a policy that earns it and one that does not', () => {
  for (const id of Object.keys(LINT_RULES)) {
    assert.ok(isLintId(id))
    assert.ok(CASES[id].some(({ bad }) => bad) && CASES[id].some(({ good }) => good), id)
  }
})

test('findings have places, in order, and can be left out', () => {
  const policies = [web('ingress: [{ports: [{port: 80}]}, {from: [{namespaceSelector: {}}]}]')]
  const found = lint(policies)
  assert.deepEqual(
    found.map(({ id, file, line, column, severity }) => [id, file, line, column, severity]),
    [
      ['any-peer', 'm.yaml', 11, 154, 'warning'],
      ['whole-cluster', 'm.yaml', 11, 186, 'warning'],
    ],
  )
  assert.deepEqual(
    lint(policies, ['any-peer']).map(({ id }) => id),
    ['whole-cluster'],
  )
  const annotated = policies.map(text =>
    text.replace('name: web,', 'name: web, annotations: {policy.axoneme.io/lint-disable: "whole-cluster, tie"},'),
  )
  assert.deepEqual(
    lint(annotated).map(({ id }) => id),
    ['any-peer'],
  )
})

test('without pods, nothing is said of selectors', () => {
  const { objects } = parseManifests(np('x', 'podSelector: {matchLabels: {app: wbe}}'), 'm.yaml')
  assert.deepEqual(lintManifests(objects), [])
})

test('dots are escaped where they stand between names', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['a.b', 'a\\.b'],
    ['a\\.b.c', 'a\\.b\\.c'],
    ['.*[.]b', '.*[.]b'],
    ['/v.+/x.?', '/v.+/x.?'],
    ['.*.example.com', '.*\\.example\\.com'],
    ['/a/../b', '/a/../b'],
  ]
  for (const [given, want] of cases) assert.equal(escapeDots(given), want)
})
