// What users get wrong: each mistake is told with its place, in `axoneme status` and
// where the object is applied; what was good before stays in force, and nobody else
// notices. What cannot be enforced denies.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { podManifest, runInPod } from '../sandbox/support.ts'
import { axoneme } from './command-line.ts'
import { denyAll, networkPolicy } from './policies.ts'
import { NEEDS_ROOT, namespaceManifest, podAt, startCluster, until } from './support.ts'

const NAME = 'e2e-bad'
const ONE_PORT = { ports: [{ containerPort: 8080 }] }
/** More than a policy map has room for: peers times ports. */
const PEERS = 270
const PORTS = 250
const MAX_ENTRIES = 65_536

const allow = (name: string, ingress: readonly object[]) =>
  networkPolicy(`default/${name}`, { podSelector: {}, ingress })

test('bad input', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, NAME)
  const fileOf = (file: string) => path.join(cluster.paths.objects, `${file}.yaml`)
  const statusText = async () => (await axoneme(['status', '--sandbox', NAME])).stdout
  /** Writes text as it is. */
  const write = (file: string, text: string): void => {
    const fresh = path.join(cluster.paths.objects, `.${file}.new`)
    fs.writeFileSync(fresh, text)
    fs.renameSync(fresh, fileOf(file))
  }
  /** The problem that the agent reports, once it does. */
  const problem = async (isIt: (text: string) => boolean): Promise<string> => {
    let found: string | undefined
    await until('the agent to report a problem', async () => {
      found = (await cluster.agent.status()).problems.map(({ severity, text }) => `${severity} ${text}`).find(isIt)
      return found !== undefined
    })
    return found ?? ''
  }
  const noProblems = () =>
    until('no problem to be left', async () => (await cluster.agent.status()).problems.length === 0)
  const verdict = async (from: string, to: string, family: 4 | 6 = 4): Promise<string | undefined> =>
    (await cluster.probe('8080/TCP', family)).find(
      cell => cell.from === `default/${from}` && cell.to === `default/${to}`,
    )?.verdict

  await cluster.enforce(
    'pods',
    podManifest('default/a', { labels: { app: 'a' } }),
    podManifest('default/b', { labels: { app: 'b' }, ...ONE_PORT }),
  )
  await cluster.enforce('policy', denyAll('default', ['ingress']))
  await cluster.untilReady('default/a', 'default/b')
  assert.equal(await verdict('a', 'b'), 'denied')

  await t.test('YAML that is none: file, line and column; the last good policy stays in force', async () => {
    write(
      'policy',
      'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: deny-all\n   labels: {a: b}\n',
    )
    const text = await problem(text => text.includes('policy.yaml'))
    assert.match(text, /^error .*policy\.yaml:4:9: /)
    assert.match(await statusText(), /error +.*policy\.yaml:4:9: /)
    assert.equal(await verdict('a', 'b'), 'denied')
    const applied = await axoneme(['apply', '--sandbox', NAME, '-f', fileOf('policy')])
    assert.equal(applied.code, 1)
    assert.match(applied.stderr, /policy\.yaml:4:9: error: /)
  })

  await t.test('an invalid object: the path of the field; the last good policy stays in force', async () => {
    const invalid = { ...denyAll('default', ['ingress']) }
    Object.assign(invalid.spec, { ingress: [{ ports: [{ port: 70_000 }] }] })
    write('policy', JSON.stringify(invalid))
    const text = await problem(text => text.includes('70000'))
    assert.match(
      text,
      /^error .*policy\.yaml:1:\d+: NetworkPolicy default\/deny-all: spec\.ingress\[0\]\.ports\[0\]\.port: /,
    )
    await cluster.agent.settled()
    assert.equal(await verdict('a', 'b'), 'denied')
    await cluster.enforce('policy', denyAll('default', ['ingress']))
    await noProblems()
  })

  await t.test('an unknown field: a warning, with the field that may have been meant', async () => {
    await cluster.enforce('other', allow('typo', [{ form: [] }]))
    const text = await problem(text => text.includes('form'))
    assert.match(text, /^warning .*other\.yaml:1:\d+: NetworkPolicy default\/typo: spec\.ingress\[0\]\.form: .*"from"/)
    cluster.remove('other')
    await noProblems()
  })

  await t.test('one object in two files: the first one stays in force', async () => {
    await cluster.enforce('second', networkPolicy('default/deny-all', { podSelector: {}, ingress: [{}] }))
    const text = await problem(text => text.includes('second.yaml'))
    assert.match(text, /NetworkPolicy default\/deny-all: .*policy\.yaml:1/)
    assert.equal(await verdict('a', 'b'), 'denied')
    cluster.remove('policy')
    await noProblems()
    await cluster.agent.settled()
    assert.equal(await verdict('a', 'b'), 'allowed', 'the second one takes its place')
    cluster.remove('second')
    await cluster.enforce('policy', denyAll('default', ['ingress']))
  })

  await t.test('a pod with the address of another: refused by name, and the other is undisturbed', async () => {
    const [address = ''] = (await cluster.pod('default/b'))?.addresses ?? []
    await cluster.enforce('policy')
    await cluster.enforce('thief', podAt('default/thief', [address]))
    assert.match(await problem(text => text.includes(address)), /^error .*pod default\/thief.*pod default\/b keeps it/)
    const waiting = await cluster.until('default/thief', pod => pod.message?.includes(address) ?? false)
    assert.equal(waiting.ready, false)
    assert.deepEqual(waiting.addresses, [])
    // Not by probe, which would wait for the pod that is on its way.
    const reached = await runInPod(cluster, 'default/a', ['agnhost', 'connect', `${address}:8080`])
    assert.equal(reached.code, 0, reached.stderr)
    cluster.remove('thief')
    await cluster.untilGone('default/thief')
    await noProblems()
  })

  await t.test('labels that look like internal ones give no rights', async () => {
    const labels = {
      host: '',
      'reserved.host': '',
      world: '',
      'io.kubernetes.pod.namespace': 'trusted',
      'io.cilium.k8s.namespace.labels.trust': 'yes',
      'io.cilium.k8s.policy.serviceaccount': 'admin',
    }
    await cluster.enforce(
      'forger',
      namespaceManifest('trusted', { trust: 'yes' }),
      podManifest('default/forger', { labels }),
      allow('trusted', [
        { from: [{ namespaceSelector: { matchLabels: { trust: 'yes' } } }] },
        { from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'trusted' } } }] },
      ]),
    )
    await cluster.untilReady('default/forger')
    assert.equal(await verdict('forger', 'b'), 'denied')
    const warning = await problem(text => text.includes('serviceaccount'))
    assert.match(warning, /^warning .*forger\.yaml:\d+:\d+: Pod default\/forger: metadata\.labels\["io\.cilium/)
    cluster.remove('forger')
    await cluster.untilGone('default/forger')
    await noProblems()

    write('forger', JSON.stringify(podManifest('default/forger', { labels: { 'reserved:host': '' } })))
    assert.match(
      await problem(text => text.includes('forger')),
      /^error .*metadata\.labels\["reserved:host"\]: label key /,
    )
    assert.equal(await cluster.pod('default/forger'), undefined)
    cluster.remove('forger')
    await noProblems()
  })

  await t.test(
    'a policy with more entries than a map has room for: its pods are denied, and nobody else is',
    async () => {
      const from = Array.from({ length: PEERS }, (_, i) => ({ ipBlock: { cidr: `10.${i >> 8}.${i & 255}.0/24` } }))
      // Every other one, so that no range takes them together.
      const ports = Array.from({ length: PORTS }, (_, i) => ({ port: 1000 + 2 * i }))
      await cluster.enforce('big', podManifest('default/big', { labels: { app: 'big' }, ...ONE_PORT }))
      await cluster.untilReady('default/big')
      assert.equal(await verdict('a', 'big'), 'allowed')
      const selector = { podSelector: { matchLabels: { app: 'big' } } }
      await cluster.enforce(
        'policy',
        networkPolicy('default/too-much', { ...selector, ingress: [{ from, ports }, {}] }),
      )
      const failures = async () => (await cluster.agent.status()).reconcilers.flatMap(({ failed }) => failed)
      // While it is tried again it is pending for a moment.
      let failure = ''
      await until('the policy to fail', async () => {
        failure = (await failures())[0]?.error ?? ''
        return failure !== ''
      })
      assert.match(failure, new RegExp(`^policy map \\d+ needs \\d+ entries and has room for ${MAX_ENTRIES}`))
      assert.match(failure, /NetworkPolicy default\/too-much$/)
      await until('the status to tell', async () => /policy map \d+ needs \d+ entries/.test(await statusText()))
      assert.deepEqual(
        [await verdict('a', 'big'), await verdict('big', 'a'), await verdict('a', 'b'), await verdict('b', 'a')],
        ['denied', 'denied', 'allowed', 'allowed'],
      )
      await cluster.enforce('policy')
      await until('nothing to fail', async () => (await failures()).length === 0)
      assert.equal(await verdict('a', 'big'), 'allowed')
    },
  )
})
