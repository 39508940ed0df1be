// Ports, ICMP types and the content of connections in rules of the Cilium kinds: what is
// refused, by its path, and what the schemas take that looks as if they should not.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { refused, valid } from './testing/read-cilium.ts'

const L7_PORT = '{ports: [{port: "80", protocol: TCP}], '

test('what is refused', async t => {
  const many = (item: string, count: number): string => Array(count).fill(item).join(', ')
  const port = (item: string): string => `ingress: [{toPorts: [{ports: [${item}]}]}]`
  const rules = (text: string, direction = 'ingress', proto = 'TCP'): string =>
    `${direction}: [{toPorts: [{ports: [{port: "80", protocol: ${proto}}], ${text}}]}]`
  const cases: readonly (readonly [string, RegExp])[] = [
    [port('{port: 80}'), /ports\[0\]\.port: expected a string, got the number 80; put it in quotes/],
    [port('{port: "65536"}'), /ports\[0\]\.port: must be at most 65535 and have no leading zeros/],
    [port('{port: "080"}'), /ports\[0\]\.port: must be at most 65535 and have no leading zeros/],
    [port('{port: "80-90"}'), /ports\[0\]\.port: must be a number in quotes, "0" for all ports, or a name/],
    [port('{port: web_1}'), /ports\[0\]\.port: must be a number in quotes/],
    [port('{}'), /ports\[0\]\.port: is required; "0" stands for all ports/],
    [port('{port: ""}'), /ports\[0\]\.port: is required/],
    [port('{port: "80", endPort: 65536}'), /ports\[0\]\.endPort: must be at most 65535/],
    [port('{port: "80", endPort: -1}'), /ports\[0\]\.endPort: must be at least 0/],
    [port('{port: "80", protocol: tcp}'), /ports\[0\]\.protocol: must be one of TCP, .*did you mean "TCP"/],
    [port('{port: "8", protocol: ICMP}'), /ports\[0\]\.protocol: must be one of/],
    [port('{port: "80", protocol: GRE}'), /ports\[0\]\.port: must be left out or "0": GRE has no ports/],
    [port('{port: http, protocol: VRRP}'), /ports\[0\]\.port: must be left out or "0": VRRP has no ports/],
    [port(many('{port: "80"}', 41)), /toPorts\[0\]\.ports: must have at most 40 items/],
    [`ingress: [{icmps: [{fields: [${many('{type: 1}', 41)}]}]}]`, /icmps\[0\]\.fields: must have at most 40 items/],
    ['ingress: [{icmps: [{fields: [{type: 256}]}]}]', /fields\[0\]\.type: must be at most 255/],
    [
      'ingress: [{icmps: [{fields: [{type: "256"}]}]}]',
      /fields\[0\]\.type: must be 0 to 255 or the name of a type of IPv4/,
    ],
    ['ingress: [{icmps: [{fields: [{type: PacketTooBig}]}]}]', /type: must be 0 to 255 or the name of a type of IPv4/],
    ['ingress: [{icmps: [{fields: [{type: Echo, family: IPv6}]}]}]', /type: must be .* type of IPv6, such as/],
    ['ingress: [{icmps: [{fields: [{type: 1, family: IPv5}]}]}]', /family: must be one of IPv4, IPv6/],
    ['ingress: [{icmps: [{fields: [{}]}]}]', /fields\[0\]\.type: is required/],
    [
      'ingress: [{toPorts: [{ports: [{port: "80"}]}], icmps: [{fields: [{type: 8}]}]}]',
      /ingress\[0\]\.icmps: cannot be combined with toPorts/,
    ],
    ['egressDeny: [{toPorts: [{}], icmps: [{}]}]', /egressDeny\[0\]\.icmps: cannot be combined with toPorts/],
    [rules('rules: {}'), /rules: must have exactly one of http, dns and kafka/],
    [rules('rules: {http: [{}], kafka: [{}]}'), /rules: must have exactly one of http, dns and kafka/],
    [rules('rules: {l7proto: r2d2, l7: [{cmd: READ}]}'), /rules\.l7proto: is not supported/],
    [rules('rules: {l7: [{cmd: READ}]}'), /rules\.l7: is not supported/],
    [rules('rules: {http: [{}]}', 'ingress', 'UDP'), /ports\[0\]\.protocol: must be TCP with http rules, not UDP/],
    [rules('rules: {http: [{}]}', 'ingress', 'ANY'), /ports\[0\]\.protocol: must be TCP with http rules, not ANY/],
    [rules('rules: {dns: [{matchName: a}]}', 'egress', 'SCTP'), /protocol: must be TCP, UDP, ANY with dns rules/],
    [rules('rules: {dns: [{matchName: a}]}'), /rules\.dns: is only for egress/],
    ['egress: [{toPorts: [{rules: {dns: [{matchName: a}]}}]}]', /toPorts\[0\]\.ports: is required with DNS rules/],
    [
      'egress: [{toPorts: [{ports: [{port: "53", endPort: 54, protocol: UDP}], rules: {dns: [{matchName: a}]}}]}]',
      /endPort: cannot be used with DNS rules/,
    ],
    [
      'egress: [{toPorts: [{ports: [{port: "0", protocol: TCP}], rules: {http: [{}]}}]}]',
      /ports\[0\]\.port: cannot be "0" with http rules/,
    ],
    [
      rules('serverNames: [a], rules: {http: [{}]}'),
      /serverNames: cannot be combined with rules unless terminatingTLS/,
    ],
    [
      rules('serverNames: [a], originatingTLS: {secret: {name: s}}'),
      /serverNames: cannot be combined with originatingTLS unless terminatingTLS/,
    ],
    [
      rules('terminatingTLS: {secret: {name: s}}, rules: {kafka: [{}]}'),
      /terminatingTLS: can only be combined with http rules/,
    ],
    [
      rules('originatingTLS: {secret: {name: s}}, rules: {dns: [{matchName: a}]}', 'egress'),
      /originatingTLS: can only be combined with http rules/,
    ],
    [rules('serverNames: []'), /serverNames: must have at least 1 item/],
    [rules('serverNames: ["a b"]'), /serverNames\[0\]: must be a DNS name/],
    [rules('listener: {name: l, envoyConfig: {name: e}}'), /listener: is only for egress/],
    [
      rules('listener: {name: l, envoyConfig: {name: e}}, rules: {http: [{}]}', 'egress'),
      /listener: cannot be combined with rules/,
    ],
    [
      rules('listener: {name: l, envoyConfig: {name: e}, priority: 101}', 'egress'),
      /listener\.priority: must be at most 100/,
    ],
    [rules('terminatingTLS: {}'), /terminatingTLS\.secret: is required/],
    [rules('rules: {http: [{path: "/("}]}'), /http\[0\]\.path: must be a regular expression/],
    [
      rules('rules: {http: [{host: "a(?!b)"}]}'),
      /http\[0\]\.host: must be a regular expression of RE2: it has a look ahead/,
    ],
    [
      rules('rules: {http: [{method: "(a)\\\\1"}]}'),
      /http\[0\]\.method: must be a regular expression of RE2: it has a reference to a group/,
    ],
    ...['a b: c d', ': x', 'a:', 'a:b', 'a: ', 'a:  ', 'a b', ' a', 'a : b', 'a: b\\u0001', 'ä'].map(
      (text): [string, RegExp] => [
        rules(`rules: {http: [{headers: ["${text}"]}]}`),
        /http\[0\]\.headers\[0\]: must be ("Name" or "Name: value"; a name has no spaces|printable characters)/,
      ],
    ),
    [rules('rules: {http: [{headerMatches: [{name: "a b"}]}]}'), /name: must be the name of a header, without spaces/],
    [rules('rules: {http: [{headerMatches: [{name: "a:"}]}]}'), /name: must be the name of a header, without spaces/],
    [rules('rules: {http: [{headerMatches: [{name: a, value: "b\\n"}]}]}'), /value: must be printable characters/],
    ...['shop', '^shop/.*', 'items|carts', '^$', '|', 'a+/b', '(?i)shop'].map((text): [string, RegExp] => [
      rules(`rules: {http: [{path: "${text}"}]}`),
      /http\[0\]\.path: matches no request: every path begins with \/; write "\//,
    ]),
    [
      rules('rules: {http: [{headerMatches: [{name: a, mismatch: PASS}]}]}'),
      /mismatch: must be one of LOG, ADD, DELETE, REPLACE/,
    ],
    [rules('rules: {http: [{headerMatches: [{value: a}]}]}'), /headerMatches\[0\]\.name: is required/],
    [rules('rules: {kafka: [{role: produce, apiKey: fetch}]}'), /kafka\[0\]\.apiKey: cannot be combined with role/],
    [rules('rules: {kafka: [{role: eat}]}'), /kafka\[0\]\.role: must be produce or consume/],
    [rules('rules: {kafka: [{apiKey: eat}]}'), /kafka\[0\]\.apiKey: must be the name of a Kafka API key/],
    [
      rules('rules: {kafka: [{apiVersion: "32768"}]}'),
      /kafka\[0\]\.apiVersion: must be a whole number in quotes, at most 32767/,
    ],
    [rules('rules: {kafka: [{topic: "a b"}]}'), /kafka\[0\]\.topic: must be letters, digits/],
    [rules('rules: {dns: [{}]}', 'egress'), /dns\[0\]: must have either matchName or matchPattern/],
    [
      rules('rules: {dns: [{matchName: a, matchPattern: b}]}', 'egress'),
      /dns\[0\]: must have either matchName or matchPattern/,
    ],
    [
      rules('rules: {dns: [{matchName: "*.a"}]}', 'egress'),
      /matchName: must be a DNS name; with \* it is a matchPattern/,
    ],
    [rules('rules: {dns: [{matchPattern: "a..b"}]}', 'egress'), /matchPattern: must be a DNS name/],
    ...[
      'rules: {http: [{}]}',
      'serverNames: [a]',
      'listener: {name: l, envoyConfig: {name: e}}',
      'terminatingTLS: {secret: {name: s}}',
      'originatingTLS: {secret: {name: s}}',
    ].flatMap((text): [string, RegExp][] => [
      [rules(text, 'ingressDeny'), /ingressDeny\[0\]\.toPorts\[0\]\.\w+: cannot stand in a rule that denies/],
      [rules(text, 'egressDeny'), /egressDeny\[0\]\.toPorts\[0\]\.\w+: cannot stand in a rule that denies/],
    ]),
    [
      'ingressDeny: [{fromEntities: [all], authentication: {mode: required}}]',
      /authentication: cannot stand in a rule that denies/,
    ],
    [
      'egressDeny: [{toFQDNs: [{matchName: a.example}]}]',
      /egressDeny\[0\]\.toFQDNs: cannot stand in a rule that denies/,
    ],
    [
      'ingress: [{authentication: {mode: maybe}}]',
      /authentication\.mode: must be one of disabled, required, test-always-fail/,
    ],
  ]
  for (const [text, want] of cases)
    await t.test(text, () => assert.match(refused(`spec: {endpointSelector: {}, ${text}}`).join('\n'), want))
})

test('HTTP and Kafka rules cannot be for nodes', () => {
  const spec = (rule: string): string => `spec: {nodeSelector: {}, ${rule}}`
  const cases: readonly (readonly [string, RegExp])[] = [
    [
      'ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{}]}}]}]',
      /ingress\[0\]\.toPorts\[0\]\.rules/,
    ],
    [
      'egress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{}]}}]}]',
      /egress\[0\]\.toPorts\[0\]\.rules/,
    ],
  ]
  for (const [rule, want] of cases) assert.match(refused(spec(rule), { clusterwide: true }).join(), want)
  valid(spec('egress: [{toPorts: [{ports: [{port: "53"}], rules: {dns: [{matchPattern: "*"}]}}]}]'), {
    clusterwide: true,
    warnings: 1,
  })
})

test('regular expressions in the words of RE2', () => {
  for (const text of ['(?i)get|post', '(?P<name>/a)/b', '/[[:alpha:]]+', '\\\\Qa(b\\\\E', '/a\\\\.b', '(?i:x)'])
    valid(`spec: {endpointSelector: {}, ingress: [{toPorts: [${L7_PORT}rules: {http: [{host: "${text}"}]}}]}]}`)
})

test('paths that some request has', () => {
  for (const text of [
    '/',
    '/.*',
    '^/a$',
    '.*',
    '(/a|/b)',
    '[/]a',
    '\\\\/a',
    '\\\\Q/a|b\\\\E',
    '/a|/b',
    '(?i)/a',
    'a*/b',
    'a?/b',
    '',
  ])
    valid(`spec: {endpointSelector: {}, ingress: [{toPorts: [${L7_PORT}rules: {http: [{path: "${text}"}]}}]}]}`)
  const some = `spec: {endpointSelector: {}, ingress: [{toPorts: [${L7_PORT}rules: {http: [{path: "/a(b|c)|d[|]"}]}}]}]}`
  valid(some, { warnings: 1 })
})
