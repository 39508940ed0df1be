// A rule with a field that nobody here knows, of a newer version or misspelt, fails
// closed: without the field it might mean more than was written.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatProblem } from '../../../manifests/index.ts'
import { readPolicy } from '../read-policy.ts'
import { brief, objectOf, policyText, valid } from './testing/read-cilium.ts'

const PORT_80 = 'toPorts: [{ports: [{port: "80", protocol: TCP}]}]'
const spec = (rules: string): string => `spec: {endpointSelector: {}, ${rules}}`

const cases: readonly (readonly [name: string, rules: string, path: string])[] = [
  ['a kind of peers', `ingress: [{fromPlanets: [{}], ${PORT_80}}]`, 'ingress[0].fromPlanets'],
  ['a misspelt kind of peers', `egress: [{toEndpoint: [{}], ${PORT_80}}]`, 'egress[0].toEndpoint'],
  ['beside known peers', `ingress: [{fromEndpoints: [{}], fromtime: noon}]`, 'ingress[0].fromtime'],
  [
    'in a selector',
    'ingress: [{fromEndpoints: [{matchLabels: {a: b}, matchColours: {a: red}}]}]',
    'ingress[0].fromEndpoints[0].matchColours',
  ],
  [
    'in an item of ports',
    'ingress: [{toPorts: [{ports: [{port: "80"}], rule: {http: [{}]}}]}]',
    'ingress[0].toPorts[0].rule',
  ],
  [
    'in a port',
    'ingress: [{toPorts: [{ports: [{port: "80", protocl: UDP}]}]}]',
    'ingress[0].toPorts[0].ports[0].protocl',
  ],
  ['under a name with a dot', `ingress: [{"from.all": [], ${PORT_80}}]`, 'ingress[0]["from.all"]'],
]

for (const [name, rules, path] of cases)
  test(`not known: ${name}`, () => {
    const allowed = valid(spec(rules), { warnings: 1 })
    const section = rules.slice(0, rules.indexOf(':'))
    assert.deepEqual(brief(allowed), [{ rule: `${section}[0] allow`, peers: [], ports: 'any' }])
    assert.deepEqual(
      allowed.unenforced?.map(field => field.path),
      [`spec.${path}`],
    )
    assert.match(allowed.unenforced?.[0]?.reason ?? '', /^unknown field( \(did you mean "\w+"\?\))?$/)
    if (path.includes('.rule')) return
    const denied = valid(spec(rules.replace(section, `${section}Deny`)), { warnings: 1 })
    assert.deepEqual(brief(denied), [{ rule: `${section}Deny[0] deny`, peers: 'any', ports: 'any' }])
  })

test('it is told with what it comes to', () => {
  const read = readPolicy(objectOf(policyText(spec(`ingress: [{fromEndpoint: [{}], ${PORT_80}}]`))))
  assert.match(
    read?.problems.map(formatProblem).join() ?? '',
    /spec\.ingress\[0\]\.fromEndpoint: unknown field \(did you mean "fromEndpoints"\?\); this rule matches no traffic$/,
  )
})

test('other rules mean what they say', () => {
  const many = Array.from({ length: 11 }, (_, i) => (i === 1 ? `{colour: red, ${PORT_80}}` : `{${PORT_80}}`)).join(', ')
  const policy = valid(spec(`ingress: [${many}], colour: red`), { warnings: 2 })
  const isClosed = brief(policy).map(({ peers }) => peers !== 'any')
  assert.deepEqual(
    isClosed,
    isClosed.map((_, i) => i === 1),
  )
})

test('where too much is not known to tell all of it, no rule is trusted', () => {
  const strange = Array.from({ length: 25 }, (_, i) => `field${i}: 1`).join(', ')
  const { value } = readPolicy(objectOf(policyText(spec(`${strange}, ingress: [{${PORT_80}}]`)))) ?? {}
  assert.deepEqual(value && brief(value), [{ rule: 'ingress[0] allow', peers: [], ports: 'any' }])
})
