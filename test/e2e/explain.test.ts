// `policy explain` against a running sandbox: it answers as it does from files, and the
// objects that it offers, applied, let the real connection pass, or stop it, and change
// no other that they do not tell of.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { parseAllDocuments } from 'yaml'
import type { Explanation, PodReach } from '../../src/policy/index.ts'
import { axoneme, outputOf } from './command-line.ts'
import { denyAll, networkPolicy } from './policies.ts'
import { NEEDS_ROOT, namespaceManifest, podAt, startCluster, type TestCluster, until } from './support.ts'

const NAME = 'e2e-explain'
const PORTS = '80/TCP,81/TCP,80/UDP'

const ports = [80, 81].flatMap(containerPort =>
  ['TCP', 'UDP'].map(protocol => ({ containerPort, protocol, name: `p${containerPort}-${protocol.toLowerCase()}` })),
)
const pod = (key: string, host: number, app: string) =>
  podAt(key, [`10.244.1.${host}`, `fd00:10:244::${host}`], { labels: { app }, ports })

const PODS = ['shop/front', 'shop/store', 'shop/store-2', 'other/guest']
const OBJECTS = {
  'pods.yaml': [
    namespaceManifest('shop', { team: 'one' }),
    namespaceManifest('other'),
    pod('shop/front', 10, 'front'),
    pod('shop/store', 11, 'store'),
    pod('shop/store-2', 12, 'store'),
    pod('other/guest', 13, 'guest'),
  ],
  'policies.yaml': [
    denyAll('shop', ['ingress']),
    denyAll('other', ['egress']),
    networkPolicy('shop/store', {
      podSelector: { matchLabels: { app: 'store' } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: 'front' } } }], ports: [{ port: 'p80-tcp' }] }],
    }),
  ],
} as const

function writeFiles(t: TestContext): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-explain-'))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  for (const [name, objects] of Object.entries(OBJECTS))
    fs.writeFileSync(path.join(folder, name), objects.map(object => JSON.stringify(object)).join('\n---\n'))
  return folder
}

const live = (...args: readonly string[]): Promise<string> => outputOf('policy', 'explain', ...args, '--sandbox', NAME)

/** Verdicts of real connections, by ends and port. */
async function measured(cluster: TestCluster): Promise<Map<string, string>> {
  const rows = await cluster.probe(PORTS)
  return new Map(rows.map(({ from, to, port, protocol, verdict }) => [`${from} ${to} ${port}/${protocol}`, verdict]))
}

test('explain, live', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, NAME)
  const folder = writeFiles(t)
  await outputOf('apply', '-f', folder, '--sandbox', NAME)
  await cluster.untilReady(...PODS)
  await cluster.agent.settled()

  await t.test('what the agent says is what files say', async () => {
    const questions = [
      ['other/guest', 'shop/store', 'p80-tcp'],
      ['shop/front', 'shop/store', '80/TCP'],
      ['shop/front', 'world', '443/TCP'],
      ['2001:db8::1', 'shop/store', '128/ICMPv6'],
      ['--pod', 'other/guest'],
    ]
    for (const question of questions) {
      const [said, read] = await Promise.all([
        live(...question, '-o', 'json'),
        outputOf('policy', 'explain', ...question, '-f', folder, '-o', 'json'),
      ])
      const [answer, expected] = [said, read].map(text => JSON.parse(text) as Explanation | PodReach)
      assert.deepEqual(withoutNodes(answer), expected, question.join(' '))
    }
    const nodes = JSON.parse(await live('--pod', 'shop/store', '-o', 'json')) as PodReach
    const [own] = nodes.ingress.groups.filter(({ peers }) => peers.some(({ kind }) => kind === 'own-node'))
    assert.deepEqual(own?.answers, [{ ports: ['everything'], verdict: 'allowed' }])
  })

  await t.test('what it offers lets the connection pass, and stops it, and no other', async () => {
    const ask = ['other/guest', 'shop/store', '80/TCP']
    for (const [before, after] of [
      ['denied', 'allowed'],
      ['allowed', 'denied'],
    ]) {
      const verdicts = await measured(cluster)
      assert.equal(verdicts.get('other/guest shop/store 80/TCP'), before)
      const { change } = JSON.parse(await live(...ask, '-o', 'json')) as Explanation
      assert.ok(change.possible)
      const yaml = await live(...ask, '--change')
      assert.deepEqual(
        parseAllDocuments(yaml).map(document => document.toJS() as unknown),
        change.objects,
      )
      const { code, stderr } = await axoneme(['apply', '-f', '-', '--sandbox', NAME], yaml)
      assert.equal(code, 0, stderr)
      await enforced(cluster, change.objects)
      const changed = [...(await measured(cluster))]
        .filter(([cell, verdict]) => verdicts.get(cell) !== verdict)
        .map(cell => cell.join(' '))
      const told = change.also.filter(({ family }) => family === 4).map(({ from, to }) => `${from} ${to} 80/TCP`)
      assert.deepEqual(
        changed.sort(),
        ['other/guest shop/store 80/TCP', ...told].map(cell => `${cell} ${after}`).sort(),
      )
      assert.deepEqual(told, ['other/guest shop/store-2 80/TCP'])
    }
  })

  await t.test('flows of drops are explained as they were judged', async () => {
    const flows = await outputOf('observe', '--verdict', 'DROPPED', '--last', '5', '-o', 'json', '--sandbox', NAME)
    const { code, stdout, stderr } = await axoneme(
      ['policy', 'explain', '--flow', '-', '-o', 'json', '--sandbox', NAME],
      flows,
    )
    assert.equal(code, 0, stderr)
    const answers = stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as Explanation)
    assert.equal(answers.length, flows.trimEnd().split('\n').length)
    assert.deepEqual(new Set(answers.map(({ verdict, notes }) => `${verdict} ${notes.join()}`)), new Set(['denied ']))
  })
})

/** Without the node, of which files say nothing. */
function withoutNodes(answer: Explanation | PodReach | undefined): unknown {
  if (!answer || !('addresses' in answer)) return answer
  const side = ({ groups, ...rest }: PodReach['ingress']) => ({
    ...rest,
    groups: groups.flatMap(({ peers, answers }) => {
      const others = peers.filter(({ kind }) => kind !== 'own-node')
      return others.length > 0 ? [{ peers: others, answers }] : []
    }),
  })
  return { ...answer, ingress: side(answer.ingress), egress: side(answer.egress) }
}

/** Waits until the agent has all of the objects, and the kernel what follows from them. */
async function enforced({ agent }: TestCluster, objects: readonly object[]): Promise<void> {
  const names = objects.map(object => (object as { metadata: { name: string } }).metadata.name)
  await until(`the agent to have ${names.join(', ')}`, async () => {
    const { policies } = await agent.cluster()
    return names.every(name => policies.some(({ ref }) => ref.name === name))
  })
  await agent.settled()
}
