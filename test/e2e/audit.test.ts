// Policies that are tried out, with real connections: what only they deny passes and is
// told as AUDIT with the policy, in flows and on the command line; once they are
// enforced, the same connections are cut. By the annotation of a policy and of a
// namespace. Beside it the log text of rules, in what passes and in what is dropped.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Flow } from '../../src/observe/index.ts'
import { podManifest } from '../sandbox/support.ts'
import { outputOf } from './command-line.ts'
import { Conversation } from './conversation.ts'
import { FlowLog, isDropped } from './flows.ts'
import { networkPolicy } from './policies.ts'
import { SocketHost } from './sockets.ts'
import { NEEDS_ROOT, namespaceManifest, startCluster } from './support.ts'

const NAME = 'e2e-audit'
const AUDIT = { 'policy.axoneme.io/audit': 'true' }

const annotated = <Manifest extends { readonly metadata: object }>(manifest: Manifest, annotations: object) => ({
  ...manifest,
  metadata: { ...manifest.metadata, annotations },
})

const closed = networkPolicy('shop/closed', { podSelector: { matchLabels: { app: 'web' } }, ingress: [] })

/** Denies clients on one port, and says so; opens another, and says that. */
const withTexts = (denied: number, allowed: number) =>
  [
    { name: 'no-clients', log: 'clients keep out', rules: { ingressDeny: [fromClients(denied)] } },
    { name: 'clients', log: 'clients come in', rules: { ingress: [fromClients(allowed)] } },
  ].map(({ name, log, rules }) => ({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { namespace: 'shop', name },
    spec: {
      endpointSelector: { matchLabels: { app: 'web' } },
      enableDefaultDeny: { ingress: false },
      log: { value: log },
      ...rules,
    },
  }))
const fromClients = (port: number) => ({
  fromEndpoints: [{ matchLabels: { app: 'client' } }],
  toPorts: [{ ports: [{ port: String(port), protocol: 'TCP' }] }],
})

test('policies that are tried out', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, NAME)
  await cluster.enforce(
    'pods',
    namespaceManifest('shop'),
    podManifest('shop/client', { labels: { app: 'client' } }),
    podManifest('shop/web', { labels: { app: 'web' } }),
  )
  await cluster.untilReady('shop/client', 'shop/web')
  const hosts = {
    client: await SocketHost.inPod(t, cluster, 'shop/client'),
    server: await SocketHost.inPod(t, cluster, 'shop/web'),
  }
  const flows = await FlowLog.follow(t, cluster)
  const addresses = (await cluster.pod('shop/web'))?.addresses ?? []
  let port = 7000
  const open = async (): Promise<Conversation[]> =>
    await Promise.all(
      addresses.flatMap(address =>
        (['TCP', 'UDP'] as const).map(protocol => Conversation.open(hosts, flows, protocol, address, ++port)),
      ),
    )
  const goesOn = async (conversations: readonly Conversation[]): Promise<void> => {
    for (const conversation of conversations) {
      await conversation.arrives('client')
      await conversation.arrives('server')
    }
  }
  const isCut = async (conversations: readonly Conversation[]): Promise<Flow[]> => {
    const drops: Flow[] = []
    for (const conversation of conversations)
      drops.push(await conversation.isCut('client'), await conversation.isCut('server'))
    return drops
  }
  /** New connections pass, and are told as what the policy would deny. */
  const isAudited = async (policy: RegExp): Promise<Conversation[]> => {
    const sinceMs = Date.now()
    const conversations = await open()
    for (const protocol of ['TCP', 'UDP']) {
      const isNew = (flow: Flow) => flow.event === 'new' && flow.protocol === protocol
      const flow = await flows.next(`a new ${protocol} connection`, isNew, sinceMs)
      const { verdict, dropReason, direction, isolatedBy } = flow
      assert.deepEqual([verdict, dropReason, direction], ['AUDIT', 'POLICY_DENIED', 'ingress'])
      assert.match(isolatedBy?.join() ?? '', policy)
    }
    return conversations
  }

  const before = await open()
  let tried: readonly Conversation[] = []

  await t.test('an audited policy cuts nothing, and tells what it would deny', async () => {
    const sinceMs = Date.now()
    await cluster.enforce('policy', annotated(closed, AUDIT))
    tried = await isAudited(/^NetworkPolicy shop\/closed \(.+:\d+\)$/)
    await goesOn([...before, ...tried])
    const drops = flows.flows.filter(flow => isDropped(flow) && Date.parse(flow.time) > sinceMs)
    assert.deepEqual(drops, [])
  })

  await t.test('observe tells it in words, and by its verdict alone', async () => {
    const lines = (await outputOf('observe', '--sandbox', NAME, '--verdict', 'audit', '--last', '50'))
      .trim()
      .split('\n')
    const wanted =
      /AUDIT \(POLICY_DENIED ingress\) {2}audited: would be denied: no rule allows it; isolated by NetworkPolicy shop\/closed \(/
    assert.ok(lines.length >= tried.length)
    for (const line of lines) assert.match(line, wanted)
    const json = await outputOf('observe', '--sandbox', NAME, '--verdict', 'AUDIT', '--last', '1', '-o', 'json')
    assert.equal((JSON.parse(json) as Flow).verdict, 'AUDIT')
    assert.match(await outputOf('bpf', 'counters', '--sandbox', NAME), /^AUDIT POLICY_DENIED +ingress +\d+ +\d+$/m)
  })

  await t.test('once it is enforced, it cuts what it only told of', async () => {
    await cluster.enforce('policy', closed)
    for (const { dropReason, isolatedBy } of await isCut([...before, ...tried])) {
      assert.equal(dropReason, 'POLICY_DENIED')
      assert.match(isolatedBy?.join() ?? '', /^NetworkPolicy shop\/closed/)
    }
  })

  await t.test('tried out again, it lets them go on', async () => {
    await cluster.enforce('policy', annotated(closed, AUDIT))
    await goesOn([...before, ...tried])
  })

  await t.test('an audited namespace: its policies are only told of, until it is enforced again', async () => {
    await cluster.enforce('policy', closed)
    await isCut(tried)
    await cluster.enforce('namespace', annotated(namespaceManifest('shop'), AUDIT))
    await cluster.enforce(
      'pods',
      podManifest('shop/client', { labels: { app: 'client' } }),
      podManifest('shop/web', { labels: { app: 'web' } }),
    )
    await goesOn(tried)
    const more = await isAudited(/^NetworkPolicy shop\/closed/)
    await cluster.enforce('namespace', namespaceManifest('shop'))
    await isCut([...tried, ...more])
  })

  await t.test('the text of a rule is in what it lets pass, in what it drops and in what it would drop', async () => {
    await cluster.enforce('policy')
    const [address = ''] = addresses
    const [denied, allowed] = [++port, ++port]
    const texts = withTexts(denied, allowed)
    await hosts.server.listen('TCP', denied)
    await hosts.server.listen('TCP', allowed)
    const flowTo = async (to: number, what: Partial<Flow>): Promise<Flow> => {
      const sinceMs = Date.now()
      hosts.client.begin('TCP', address, to)
      return await flows.next(
        `a flow to port ${to}`,
        flow => flow.destination.port === to && flow.event === what.event && flow.verdict === what.verdict,
        sinceMs,
      )
    }
    await cluster.enforce('policy', ...texts)
    assert.deepEqual((await flowTo(allowed, { event: 'new', verdict: 'FORWARDED' })).policyLog, ['clients come in'])
    const drop = await flowTo(denied, { event: 'drop', verdict: 'DROPPED' })
    assert.deepEqual([drop.dropReason, drop.policyLog], ['POLICY_DENY', ['clients keep out']])
    await cluster.enforce('policy', ...texts.map(policy => annotated(policy, AUDIT)))
    const audited = await flowTo(denied, { event: 'new', verdict: 'AUDIT' })
    assert.deepEqual([audited.dropReason, audited.policyLog], ['POLICY_DENY', ['clients keep out']])
    assert.match(audited.ingressRule?.text ?? '', /^CiliumNetworkPolicy shop\/no-clients ingressDeny\[0\]/)
  })
})
