// Visibility without restriction: what a pod's annotation says, and what is told of one
// that cannot be.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseManifests } from '../../manifests/index.ts'
import { readVisibility } from './visibility-annotation.ts'

const pod = (...annotations: readonly (readonly [string, string])[]) => {
  const lines = annotations.map(([name, value]) => `    ${name}: ${JSON.stringify(value)}`)
  const text = `apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  annotations:\n${lines.join('\n')}\n`
  const [object] = parseManifests(text, 'web.yaml').objects
  assert.ok(object)
  return readVisibility(object)
}

const OURS = 'policy.axoneme.io/visibility'
const CILIUM = 'policy.cilium.io/proxy-visibility'

const textsOf = (text: string, name = OURS): string[] =>
  pod([name, text]).visibility.map(
    ({ direction, protocol, port, parser }) => `${direction} ${port}/${protocol} ${parser}`,
  )

test('ports that are to be seen', () => {
  assert.deepEqual(textsOf('<Egress/53/UDP/DNS>,<Ingress/80/TCP/HTTP>', CILIUM), [
    'egress 53/17 dns',
    'ingress 80/6 http',
  ])
  assert.deepEqual(textsOf(' <egress/53/ANY/dns> , <Egress/443/tcp/TLS>,<Egress/9092/TCP/Kafka>'), [
    'egress 53/6 dns',
    'egress 53/17 dns',
    'egress 443/6 tls',
    'egress 9092/6 kafka',
  ])
  assert.deepEqual(pod([OURS, '']), { visibility: [], problems: [] })
  const both = pod([OURS, '<Ingress/80/TCP/HTTP>'], [CILIUM, '<Ingress/80/TCP/HTTP>,<Ingress/81/TCP/HTTP>'])
  assert.deepEqual([both.visibility.length, both.problems.length], [2, 0])
})

for (const [item, says] of [
  ['Ingress/80/TCP/HTTP', /^"Ingress\/80\/TCP\/HTTP" is passed over: it is not <DIRECTION/],
  ['<Ingress/80/TCP>', /it is not <DIRECTION/],
  ['<Both/80/TCP/HTTP>', /Both is neither Ingress nor Egress$/],
  ['<Ingress/0/TCP/HTTP>', /port 0 is not 1 to 65535$/],
  ['<Ingress/http/TCP/HTTP>', /port http is not 1 to 65535$/],
  ['<Ingress/80/SCTP/HTTP>', /SCTP is not TCP, UDP or ANY$/],
  ['<Ingress/80/TCP/SMTP>', /SMTP is not HTTP, DNS, Kafka or TLS$/],
  ['<Ingress/80/UDP/HTTP>', /HTTP is not spoken over UDP$/],
  ['<Ingress/8080/TCP/Kafka>', /^ingress port 8080 is taken for http already, not for kafka too$/],
] as const)
  test(`a warning, and the rest counts: ${item}`, () => {
    const { visibility, problems } = pod([OURS, `<Ingress/8080/TCP/HTTP>,${item}`])
    assert.deepEqual(
      visibility.map(({ port }) => port),
      [8080],
    )
    assert.deepEqual(
      problems.map(({ severity, line, file }) => [severity, line, file]),
      [['warning', 6, 'web.yaml']],
    )
    assert.match(problems[0]?.message ?? '', says)
  })

test('there is an end to it', () => {
  const items = Array.from({ length: 70 }, (_, i) => `<Ingress/${1000 + i}/TCP/HTTP>`)
  const { visibility, problems } = pod([OURS, items.join()])
  assert.equal(visibility.length, 64)
  assert.match(problems[0]?.message ?? '', /^names more than 64 ports/)
})
