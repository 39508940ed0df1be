// NetworkPolicy v1: each field that is refused, by its path.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatProblem } from '../../../manifests/index.ts'
import { read } from './testing/read-network-policy.ts'

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
