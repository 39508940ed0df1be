// Whatever is thrown at a running agent, manifests and requests alike, it stays up,
// stays small, disturbs nobody who has no part in it, and afterwards does exactly what
// it is told. Another seed for every run; AXONEME_SEED repeats one.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { nodePaths } from '../../src/sandbox/index.ts'
import { podManifest } from '../sandbox/support.ts'
import { Conversation } from './conversation.ts'
import { FlowLog } from './flows.ts'
import { clusterManifests, POD_KEYS, PORTS, policySet } from './random-policies.ts'
import { SocketHost } from './sockets.ts'
import { NEEDS_ROOT, namespaceManifest, podAt, startCluster, type TestCluster, until } from './support.ts'
import { cellTexts, tablesByFunction } from './tables.ts'

const ROUNDS = 1000
/** Between two looks at the agent. */
const BATCH = 20
const MAX_RSS_BYTES = 350 * 2 ** 20
const MAX_GROWTH_BYTES = 100 * 2 ** 20
const seed = Number(process.env['AXONEME_SEED'] ?? Math.floor(Math.random() * 2 ** 31)) | 0

const PIECES = [
  '{',
  '}',
  '[',
  ']',
  ': ',
  '- ',
  '"',
  '\n---\n',
  '\t',
  '&a ',
  '*a',
  '<<: ',
  '!!binary ',
  '\0',
  '\uFEFF',
  '__proto__',
  'null',
  '-1',
  '1e999',
  '0.0.0.0/0',
  '::ffff:1.2.3.4/96',
  'kind: List',
  'namespace: ""',
  'endPort: 65536',
  'x'.repeat(300),
]

const valid = fc
  .oneof(
    policySet,
    fc.constantFrom(
      [namespaceManifest('x', { team: 'three' })],
      [namespaceManifest('new', { stage: 'test' })],
      [podAt('x/guest', ['10.244.1.30', 'fd00:10:244::30'], { labels: { app: 'web' }, command: ['sleep', '1000000'] })],
      [podAt('y/guest', ['10.244.1.10'], { labels: { app: 'db' }, command: ['sleep', '1000000'] })],
      [podManifest('z/guest', { labels: { host: '', app: 'db' }, command: ['sleep', '1000000'] })],
    ),
  )
  .map(objects => objects.map(object => JSON.stringify(object, undefined, 1)).join('\n---\n'))

const mutated = fc
  .tuple(valid, fc.array(fc.tuple(fc.nat(), fc.nat(20), fc.constantFrom(...PIECES)), { minLength: 1, maxLength: 5 }))
  .map(([text, changes]) =>
    changes.reduce((text, [at, remove, piece]) => {
      const place = at % (text.length + 1)
      return text.slice(0, place) + piece + text.slice(place + remove)
    }, text),
  )

type Round =
  | { readonly kind: 'write'; readonly file: string; readonly text: string }
  | { readonly kind: 'remove'; readonly file: string }
  | { readonly kind: 'request'; readonly bytes: string }

const file = fc.constantFrom('one.yaml', 'two.yaml', 'three.json', 'below/four.yaml', 'no-manifest.txt')
const round: fc.Arbitrary<Round> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('write' as const), file, text: mutated }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('write' as const), file, text: valid }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('write' as const), file, text: fc.string({ unit: 'binary' }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), file }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('request' as const), bytes: request() }) },
)

function request(): fc.Arbitrary<string> {
  const method = fc.constantFrom('GET', 'POST', 'DELETE', 'PUT', 'PATCH')
  const target = fc.constantFrom(
    '/v1/status',
    '/v1/tables/%',
    '/v1/tables/%2e%2e',
    '/v1/endpoints',
    '/v1/endpoints/x',
    '/v1/flows?last=-1',
    '/v1/flows?last=1e99&pod=%00',
    '//',
    '/v1',
  )
  const body = fc.oneof(
    fc.json(),
    fc.string(),
    fc.constant(
      '{"containerId":"x","netns":"/proc/1/ns/net","interface":"eth0","pod":{"namespace":"x","name":"nobody"}}'.replace(
        '/proc/1/ns/net',
        '/dev/null',
      ),
    ),
  )
  return fc.tuple(method, target, body).map(([method, target, body]) => {
    const bytes = Buffer.byteLength(body)
    return `${method} ${target} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\ncontent-length: ${bytes}\r\n\r\n${body}`
  })
}

/** Comes before every random policy: those of the cluster may well select whom the test calls undisturbed. */
const SAFE_AMONG_THEMSELVES = {
  apiVersion: 'policy.networking.k8s.io/v1alpha2',
  kind: 'ClusterNetworkPolicy',
  metadata: { name: 'safe' },
  spec: {
    tier: 'Admin',
    priority: 0,
    subject: { namespaces: { matchLabels: { 'kubernetes.io/metadata.name': 'safe' } } },
    ingress: [acceptSafe('from')],
    egress: [acceptSafe('to')],
  },
}

function acceptSafe(peers: 'from' | 'to'): object {
  return {
    action: 'Accept',
    [peers]: [{ namespaces: { matchLabels: { 'kubernetes.io/metadata.name': 'safe' } } }],
  }
}

test(`${ROUNDS} rounds of nonsense, seed ${seed}`, { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'e2e-fuzz')
  await cluster.enforce('cluster', ...clusterManifests())
  await cluster.enforce('safe', podManifest('safe/client'), podManifest('safe/server'), SAFE_AMONG_THEMSELVES)
  await cluster.untilReady(...POD_KEYS, 'safe/client', 'safe/server')
  const flows = await FlowLog.follow(t, cluster)
  const hosts = {
    client: await SocketHost.inPod(t, cluster, 'safe/client'),
    server: await SocketHost.inPod(t, cluster, 'safe/server'),
  }
  const [address = ''] = (await cluster.pod('safe/server'))?.addresses ?? []
  const undisturbed = await Conversation.open(hosts, flows, 'TCP', address, 7000)
  const { pid, memoryBytes } = await cluster.agent.status()
  let largest = memoryBytes

  const rounds = fc.sample(round, { numRuns: ROUNDS, seed })
  for (let at = 0; at < rounds.length; at += BATCH) {
    for (const step of rounds.slice(at, at + BATCH)) await play(cluster, step)
    const status = await cluster.agent.status()
    assert.equal(status.pid, pid, `seed ${seed}: the agent ended before round ${at + BATCH}`)
    assert.ok(status.ready)
    largest = Math.max(largest, status.memoryBytes)
    await undisturbed.arrives('client')
    await undisturbed.arrives('server')
  }
  const mebibytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`
  t.diagnostic(`seed ${seed}: ${mebibytes(memoryBytes)} at first, ${mebibytes(largest)} at most`)
  assert.ok(
    largest < MAX_RSS_BYTES && largest - memoryBytes < MAX_GROWTH_BYTES,
    `the agent grew to ${mebibytes(largest)}`,
  )

  // Afterwards it does what it is told.
  for (const name of ['one.yaml', 'two.yaml', 'three.json', 'below', 'no-manifest.txt'])
    fs.rmSync(path.join(cluster.paths.objects, name), { recursive: true, force: true })
  const kept = new Set([...POD_KEYS, 'safe/client', 'safe/server'])
  await cluster.client.waitForPods(pods => pods.every(pod => kept.has(`${pod.namespace}/${pod.name}`)), {
    timeoutMs: 60_000,
  })
  const [policies = []] = fc.sample(policySet, { numRuns: 1, seed })
  await cluster.enforce('cluster', ...clusterManifests(), ...policies)
  await cluster.untilReady(...kept)
  const isError = ({ severity }: { readonly severity: string }): boolean => severity === 'error'
  await until('no error to be left', async () => !(await cluster.agent.status()).problems.some(isError))
  for (const family of [4, 6] as const) {
    const [computed, measured] = await tablesByFunction(cluster, PORTS, family)
    assert.deepEqual(cellTexts(measured), cellTexts(computed), `seed ${seed}: ${JSON.stringify(policies)}`)
  }
})

async function play(cluster: TestCluster, step: Round): Promise<void> {
  if (step.kind === 'request') return await send(nodePaths(cluster.paths, 'node1').agentSocket, step.bytes)
  const target = path.join(cluster.paths.objects, step.file)
  if (step.kind === 'remove') fs.rmSync(target, { force: true })
  else {
    fs.mkdirSync(path.dirname(target), { recursive: true })
    fs.writeFileSync(target, step.text)
  }
}

/** Sends bytes and waits for the end of the answer, whatever it is. */
function send(socketPath: string, bytes: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const socket = net.connect(socketPath, () => socket.write(bytes))
  socket
    .on('error', reject)
    .on('close', () => resolve())
    .resume()
  return promise
}
