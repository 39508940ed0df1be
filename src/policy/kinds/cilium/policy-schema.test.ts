// The schemas of the Cilium kinds: every field of each of them takes what Cilium takes
// and refuses another type by its path; fields that Cilium took away are refused; no
// content makes a reader throw.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import * as z from 'zod'
import {
  formatPath,
  formatProblem,
  type ManifestObject,
  type Path,
  parseManifests,
  type Validation,
} from '../../../manifests/index.ts'
import { readPolicy } from '../read-policy.ts'
import { readCiliumCidrGroup } from './cidr-group.ts'
import {
  ciliumCidrGroupSchema,
  ciliumClusterwideNetworkPolicySchema,
  ciliumNetworkPolicySchema,
} from './policy-schema.ts'
import { objectOf, refused, valid } from './testing/read-cilium.ts'

const SELECTOR = {
  matchLabels: { 'k8s:app': 'a' },
  matchExpressions: [{ key: 'tier', operator: 'In', values: ['b'] }],
}
const KUBERNETES_SELECTOR = { ...SELECTOR, matchLabels: { app: 'a' } }
const SECRET = { namespace: 'shop', name: 'secret' }
const TLS = { secret: SECRET, trustedCA: 'ca.crt', certificate: 'tls.crt', privateKey: 'tls.key' }
const PORT = { port: '80', endPort: 81, protocol: 'TCP' }
const CIDR_SET = [
  { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] },
  { cidrGroupRef: 'offices' },
  { cidrGroupSelector: KUBERNETES_SELECTOR },
]
const GROUPS = [
  { aws: { labels: { a: 'b' }, region: 'north', securityGroupsIds: ['sg-1'], securityGroupsNames: ['front'] } },
]
const ICMPS = { icmps: [{ fields: [{ family: 'IPv6', type: 'EchoRequest' }] }] }
const HTTP = {
  path: '/a',
  method: 'GET',
  host: 'a',
  headers: ['X-A: b'],
  headerMatches: [{ name: 'X-C', value: 'd', secret: SECRET, mismatch: 'ADD' }],
}
const KAFKA = [{ role: 'consume', apiVersion: '1', clientID: 'c', topic: 't' }, { apiKey: 'fetch' }]
const NAMES = [{ matchName: 'a.example' }, { matchPattern: '*.example' }]
const AUTHENTICATION = { authentication: { mode: 'required' } }

const judged = [
  { ports: [PORT], terminatingTLS: TLS, originatingTLS: TLS, serverNames: ['a.example'], rules: { http: [HTTP] } },
  { ports: [PORT], rules: { kafka: KAFKA } },
]
const PEERS = {
  ingress: [
    { fromEndpoints: [SELECTOR], ...ICMPS },
    { fromCIDR: ['10.0.0.0/8'] },
    { fromCIDRSet: CIDR_SET },
    { fromEntities: ['host'] },
    { fromGroups: GROUPS },
    { fromNodes: [SELECTOR] },
  ],
  egress: [
    { toEndpoints: [SELECTOR], ...ICMPS },
    { toCIDR: ['10.0.0.0/8'] },
    { toCIDRSet: CIDR_SET },
    { toEntities: ['host'] },
    { toGroups: GROUPS },
    { toNodes: [SELECTOR] },
    {
      toServices: [
        { k8sService: { serviceName: 'db', namespace: 'shop' } },
        { k8sServiceSelector: { selector: SELECTOR, namespace: 'shop' } },
      ],
    },
  ],
}
const LISTENER = { name: 'l', priority: 1, envoyConfig: { kind: 'CiliumEnvoyConfig', name: 'e' } }

const BODY = {
  endpointSelector: SELECTOR,
  ingress: [...PEERS.ingress, { toPorts: judged, ...AUTHENTICATION }],
  ingressDeny: [...PEERS.ingress, { toPorts: [{ ports: [PORT] }] }],
  egress: [
    ...PEERS.egress,
    { toFQDNs: NAMES },
    {
      toPorts: [...judged, { ports: [PORT], listener: LISTENER }, { ports: [{ port: '53' }], rules: { dns: NAMES } }],
      ...AUTHENTICATION,
    },
  ],
  egressDeny: [...PEERS.egress, { toPorts: [{ ports: [PORT] }] }],
  enableDefaultDeny: { ingress: true, egress: false },
  labels: [{ key: 'a', value: 'b', source: 'k8s' }],
  description: 'a door',
  log: { value: 'door' },
}
const NODELESS = { endpointSelector: {}, egressDeny: [{}] }
const NODE_BODY = { nodeSelector: SELECTOR, ingress: [{}] }

type Content = Readonly<Record<string, unknown>>
type Kind = { readonly schema: z.ZodType; readonly head: Content; readonly example: Content }

const head = (kind: string): Content => ({ apiVersion: 'cilium.io/v2', kind, metadata: { name: 'web' } })
const KINDS: readonly Kind[] = [
  {
    schema: ciliumNetworkPolicySchema,
    head: head('CiliumNetworkPolicy'),
    example: { spec: BODY, specs: [NODELESS] },
  },
  {
    schema: ciliumClusterwideNetworkPolicySchema,
    head: head('CiliumClusterwideNetworkPolicy'),
    example: { spec: NODE_BODY, specs: [BODY] },
  },
  {
    schema: ciliumCidrGroupSchema,
    head: head('CiliumCIDRGroup'),
    example: { spec: { externalCIDRs: ['10.0.0.0/8', 'fd00::/8'] } },
  },
]

/** Reads content that stands where another one was parsed: only positions are of that one. */
function read(parsed: ManifestObject, content: Content): Validation<unknown> {
  const object = { ...parsed, content }
  return object.kind === 'CiliumCIDRGroup' ? readCiliumCidrGroup(object) : (readPolicy(object) ?? { problems: [] })
}

/** Every place in a value. */
function placesOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path]
  const entries: (readonly [string | number, unknown])[] = Array.isArray(value)
    ? value.map((item: unknown, i) => [i, item] as const)
    : Object.entries(value)
  return [...(path.length > 0 ? [path] : []), ...entries.flatMap(([key, item]) => placesOf(item, [...path, key]))]
}

function replaced(value: unknown, [key, ...rest]: Path, by: unknown): unknown {
  if (key === undefined) return by
  if (Array.isArray(value)) return value.map((item: unknown, i) => (i === key ? replaced(item, rest, by) : item))
  const fields = value as Content
  return { ...fields, [key]: replaced(fields[key], rest, by) }
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce((inner, key) => (inner as Content)[key], value)
}

for (const { schema, head: header, example } of KINDS) {
  const name = String(header['kind'])
  const parsed = objectOf(JSON.stringify({ ...header, ...example }))

  test(`${name}: the example is valid and has every field`, () => {
    const { value, problems } = read(parsed, parsed.content)
    assert.deepEqual(problems.filter(({ severity }) => severity === 'error').map(formatProblem), [])
    assert.ok(value)
    const shown = new Set(placesOf(example).map(path => plain(path.filter(part => typeof part === 'string').join('.'))))
    const fields = fieldsOf(z.toJSONSchema(schema, { io: 'input' }))
    assert.deepEqual(
      fields.filter(field => !shown.has(plain(field)) && !isRefused(field)),
      [],
    )
  })

  test(`${name}: each field refuses another type by its path`, () => {
    for (const path of placesOf(example)) {
      const { value, problems } = read(parsed, {
        ...header,
        ...(replaced(example, path, wrongFor(path, example)) as Content),
      })
      assert.equal(value, undefined, `${formatPath(path)} of another type is taken`)
      const errors = problems.filter(({ severity }) => severity === 'error')
      const place = formatPath(path)
      assert.ok(
        errors.some(error => (error.path ?? '').startsWith(place) && /^(expected|must|as a)/.test(error.message)),
        `${place}: ${errors.map(formatProblem).join('; ')}`,
      )
    }
  })

  test(`${name}: no content makes the reader throw`, () => {
    const places = placesOf(example)
    const mutation = fc.record({ place: fc.constantFrom(...places), by: fc.jsonValue({ maxDepth: 2 }) })
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), mutations => {
        let content: unknown = example
        for (const { place, by } of mutations) if (has(content, place)) content = replaced(content, place, by)
        const { value, problems } = read(parsed, { ...header, ...(content as Content) })
        const errors = problems.filter(({ severity }) => severity === 'error')
        assert.equal(value === undefined, errors.length > 0)
        for (const { message, line, column } of problems) assert.ok(message !== '' && line >= 1 && column >= 1)
      }),
      { numRuns: 300 },
    )
  })
}

/** `spec` and the items of `specs` have one schema. */
const plain = (field: string): string => field.replace(/^specs\./, 'spec.')

const wrongFor = (path: Path, example: Content): unknown => {
  const value = valueAt(example, path)
  if (typeof value === 'object') return 'text'
  // An ICMP type may be a number as well.
  return typeof value === 'string' && path.at(-1) !== 'type' ? 7 : { x: 1 }
}

function has(value: unknown, path: Path): boolean {
  let inner = value
  for (const key of path) {
    if (typeof inner !== 'object' || inner === null || !Object.hasOwn(inner, key)) return false
    inner = (inner as Content)[key]
  }
  return true
}

/** Fields of a JSON schema as dotted names, those of list items under the list's own name. */
function fieldsOf(schema: unknown, name = ''): string[] {
  const {
    properties = {},
    items,
    anyOf = [],
  } = schema as {
    readonly properties?: Readonly<Record<string, unknown>>
    readonly items?: unknown
    readonly anyOf?: readonly unknown[]
  }
  const inner = Object.entries(properties).flatMap(([field, type]) => {
    const path = name === '' ? field : `${name}.${field}`
    return [path, ...fieldsOf(type, path)]
  })
  return [
    ...inner,
    ...(items === undefined ? [] : fieldsOf(items, name)),
    ...anyOf.flatMap(type => fieldsOf(type, name)),
  ]
}

/** Fields that are in the schema to be refused, or that belong to the other kind or direction. */
const isRefused = (field: string): boolean =>
  /\.(fromRequires|toRequires|l7|l7proto)\b/.test(field) ||
  /Deny\.(toPorts\.(?!ports)|authentication|toFQDNs)/.test(field) ||
  /\.ingress\.toPorts\.(listener|rules\.dns)/.test(field) ||
  /^specs?\.nodeSelector/.test(field)

test('fields that Cilium took away are refused, also when they are empty', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    [
      'ingress: [{fromRequires: [{matchLabels: {a: b}}]}]',
      /ingress\[0\]\.fromRequires: is not supported: Cilium took it away/,
    ],
    ['ingress: [{fromRequires: []}]', /ingress\[0\]\.fromRequires: is not supported/],
    ['ingressDeny: [{fromRequires: [{}]}]', /ingressDeny\[0\]\.fromRequires: is not supported/],
    ['egress: [{toRequires: [{}]}]', /egress\[0\]\.toRequires: is not supported/],
    ['egressDeny: [{toRequires: [{}], toEndpoints: [{}]}]', /egressDeny\[0\]\.toRequires: is not supported/],
  ]
  for (const [rule, want] of cases) assert.match(refused(`spec: {endpointSelector: {}, ${rule}}`).join('\n'), want)
})

test('two kinds of peers in one item are refused, and so on', async t => {
  const peers = [
    ...PEERS.ingress.map(item => ['ingress', item] as const),
    ...[...PEERS.egress, { toFQDNs: NAMES }].map(item => ['egress', item] as const),
  ].map(([direction, item]) => {
    const [field, value] = Object.entries(item)[0] ?? assert.fail()
    return { direction, field, text: `${field}: ${JSON.stringify(value)}` }
  })
  for (const a of peers)
    for (const b of peers) {
      if (a.direction !== b.direction || a.field === b.field) continue
      const errors = refused(`spec: {endpointSelector: {}, ${a.direction}: [{${a.text}, ${b.text}}]}`).join('\n')
      assert.match(errors, /cannot be combined with (from|to)\w+; write two items/)
      assert.ok(errors.includes(a.field) && errors.includes(b.field), errors)
    }
  const cases: readonly (readonly [string, RegExp])[] = [
    [
      'ingress: [{fromCIDR: [10.0.0.1]}]',
      /fromCIDR\[0\]: must be a prefix; write 10\.0\.0\.1\/32 for this address alone/,
    ],
    ['ingress: [{fromCIDR: ["fd00::1"]}]', /fromCIDR\[0\]: must be a prefix; write fd00::1\/128/],
    ['ingress: [{fromCIDR: [10.0.0.0/33]}]', /fromCIDR\[0\]: must be a prefix such as 10\.0\.0\.0\/8/],
    ['ingress: [{fromCIDR: [""]}]', /fromCIDR\[0\]: must be a prefix/],
    [
      'ingress: [{fromCIDRSet: [{}]}]',
      /fromCIDRSet\[0\]: must have exactly one of cidr, cidrGroupRef and cidrGroupSelector/,
    ],
    ['ingress: [{fromCIDRSet: [{cidr: 10.0.0.0/8, cidrGroupRef: a}]}]', /fromCIDRSet\[0\]: must have exactly one of/],
    ['ingress: [{fromCIDRSet: [{cidrGroupRef: A_b}]}]', /cidrGroupRef: must be at most 253 lower-case letters/],
    [
      'ingress: [{fromCIDRSet: [{cidrGroupSelector: {matchLabels: {"k8s:a": b}}}]}]',
      /matchLabels\["k8s:a"\]: as a key must be NAME/,
    ],
    [
      'ingress: [{fromCIDRSet: [{cidr: 10.1.0.0/16, except: [10.2.0.0/24]}]}]',
      /except\[0\]: must be inside 10\.1\.0\.0\/16/,
    ],
    [
      'ingress: [{fromCIDRSet: [{cidr: 10.1.0.0/16, except: [10.0.0.0/8]}]}]',
      /except\[0\]: must be inside 10\.1\.0\.0\/16/,
    ],
    ['ingress: [{fromCIDRSet: [{cidr: 10.1.0.0/16, except: ["fd00::/64"]}]}]', /except\[0\]: must be inside/],
    ['ingress: [{fromEntities: [World]}]', /fromEntities\[0\]: must be one of all, world.*did you mean "world"/],
    [
      'ingress: [{fromEndpoints: [{matchLabels: {"team:a": b}}]}]',
      /matchLabels\["team:a"\]: as a key must begin with one of k8s:, any:/,
    ],
    ['ingress: [{fromEndpoints: [{matchLabels: {"cidr:10.0.0.0": ""}}]}]', /as a key must be cidr: and a prefix/],
    ['ingress: [{fromEndpoints: [{matchLabels: {"cidrgroup:A": ""}}]}]', /as a key must be cidrgroup: and the name/],
    ['ingress: [{fromEndpoints: [{matchLabels: {"fqdn:a b": ""}}]}]', /as a key must be fqdn: and a DNS name/],
    ['ingress: [{fromEndpoints: [{matchLabels: {"k8s:-a": b}}]}]', /as a key must be NAME or PREFIX\/NAME/],
    ['ingress: [{fromEndpoints: [{matchLabels: {a: "b c"}}]}]', /matchLabels\.a: must be empty or at most 63 letters/],
    [
      'ingress: [{fromEndpoints: [{matchExpressions: [{key: a, operator: In}]}]}]',
      /values: must be given with the operator In/,
    ],
    [
      'ingress: [{fromEndpoints: [{matchExpressions: [{key: a, operator: Exists, values: [b]}]}]}]',
      /values: must be left out/,
    ],
    [
      'ingress: [{fromEndpoints: [{matchExpressions: [{key: a, operator: Is}]}]}]',
      /operator: must be one of In, NotIn/,
    ],
    ['egress: [{toServices: [{}]}]', /toServices\[0\]: must have either k8sService or k8sServiceSelector/],
    [
      'egress: [{toServices: [{k8sService: {serviceName: a}, k8sServiceSelector: {selector: {}}}]}]',
      /toServices\[0\]: must have either k8sService or k8sServiceSelector/,
    ],
    ['egress: [{toServices: [{k8sService: {namespace: a}}]}]', /k8sService\.serviceName: is required/],
    ['egress: [{toGroups: [{}]}]', /toGroups\[0\]\.aws: is required/],
    ['egress: [{toFQDNs: [{}]}]', /toFQDNs\[0\]: must have either matchName or matchPattern/],
    ['ingress: [{}], enableDefaultDeny: {ingress: "yes"}', /enableDefaultDeny\.ingress: expected a boolean/],
  ]
  for (const [rule, want] of cases)
    await t.test(rule, () => assert.match(refused(`spec: {endpointSelector: {}, ${rule}}`).join('\n'), want))
})

test('a misspelt field is told and has no effect', () => {
  const policy = valid('spec: {endpointSelector: {}, ingress: [{fromEndpoint: [{}]}]}', { warnings: 1 })
  assert.deepEqual(policy.specs[0]?.rules[0]?.peers, [], 'an unknown field opens nothing')
})

test('a CIDR group', () => {
  const group = (spec: string, version = 'v2') =>
    parseManifests(
      `apiVersion: cilium.io/${version}\nkind: CiliumCIDRGroup\nmetadata: {name: offices, labels: {site: north}}\nspec: ${spec}`,
      'group.yaml',
    ).objects.map(readCiliumCidrGroup)[0] ?? assert.fail()
  for (const version of ['v2', 'v2alpha1']) {
    const { value, problems } = group('{externalCIDRs: ["fd00::/8", 10.1.2.3/8, 10.0.0.0/8]}', version)
    assert.deepEqual(value, {
      name: 'offices',
      labels: { site: 'north' },
      cidrs: ['10.0.0.0/8', 'fd00::/8'],
      origin: { file: 'group.yaml', line: 1 },
    })
    assert.deepEqual(
      problems.map(({ path, severity }) => `${severity} ${path ?? ''}`),
      ['warning spec.externalCIDRs[1]'],
    )
  }
  assert.deepEqual(group('{externalCIDRs: []}').value?.cidrs, [])
  assert.match(formatProblem(group('{}').problems[0] ?? assert.fail()), /spec\.externalCIDRs: is required/)
  assert.match(
    formatProblem(group('{externalCIDRs: [10.0.0.1]}').problems[0] ?? assert.fail()),
    /externalCIDRs\[0\]: must be a prefix; write/,
  )
})
