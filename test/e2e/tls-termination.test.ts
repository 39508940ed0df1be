// TLS that ends at the node's proxy and begins there again, from manifests as Cilium's
// documentation has them to what both ends see: requests inside of TLS are judged, the
// server's certificate is verified, Secrets change, and without one nothing passes.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import readline from 'node:readline'
import { type TestContext, test } from 'node:test'
import { Namespace, withNamespace } from '../../src/net/index.ts'
import { nodePaths } from '../../src/sandbox/index.ts'
import type { PolicyStatus } from '../../src/tables/index.ts'
import { makeAuthority, makeSigned } from '../proxy/certificates.ts'
import type { HttpsCommand, HttpsResult } from '../proxy/https-client-program.ts'
import type { Had, HttpsServer, Reached } from '../proxy/https-server-program.ts'
import { podManifest } from '../sandbox/support.ts'
import { axoneme } from './command-line.ts'
import { FlowLog } from './flows.ts'
import { readyProxy } from './l7.ts'
import { NameClient, serveNames } from './names.ts'
import { plugIn } from './outside.ts'
import { serverPod } from './services.ts'
import { NEEDS_ROOT, startCluster, type TestCluster, until } from './support.ts'

const CLUSTER = 'tls-termination'
const CLIENT = 'shop/client'
const VISITOR = 'shop/visitor'
const WEB = 'shop/web'
const DNS = 'kube-system/names'
const OUTSIDE = ['172.30.0.77', 'fd00:172:30::77'] as const
const PORT = 8443
/** The first of the addresses, for an hour. */
const HOST = 'a0.t3600.data.example'

const POLICY = {
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'to-data', namespace: 'shop' },
  spec: {
    endpointSelector: { matchLabels: { app: 'client' } },
    egress: [
      {
        toEndpoints: [{ matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'kube-system', app: 'dns' } }],
        toPorts: [{ ports: [{ port: '53', protocol: 'ANY' }], rules: { dns: [{ matchPattern: '*' }] } }],
      },
      {
        toFQDNs: [{ matchName: HOST }],
        toPorts: [
          {
            ports: [{ port: String(PORT), protocol: 'TCP' }],
            terminatingTLS: {
              secret: { namespace: 'shop', name: 'data-shown' },
              certificate: 'tls.crt',
              privateKey: 'tls.key',
            },
            originatingTLS: { secret: { namespace: 'shop', name: 'data-trusted' }, trustedCA: 'ca.crt' },
            rules: { http: [{ method: 'GET', path: '/products' }] },
          },
        ],
      },
    ],
  },
}

/** At the receiving end, and of a server that knows nothing of TLS. */
const TO_WEB = {
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'web', namespace: 'shop' },
  spec: {
    endpointSelector: { matchLabels: { app: 'web' } },
    ingress: [
      {
        fromEndpoints: [{ matchLabels: { app: 'visitor' } }],
        toPorts: [
          {
            ports: [{ port: '8080', protocol: 'TCP' }],
            terminatingTLS: { secret: { name: 'data-shown' } },
            serverNames: [HOST],
            rules: { http: [{ path: '/hostname' }] },
          },
        ],
      },
    ],
  },
}

const secret = (name: string, items: Readonly<Record<string, string>>) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { namespace: 'shop', name },
  data: Object.fromEntries(Object.entries(items).map(([key, file]) => [key, fs.readFileSync(file, 'base64')])),
})
const shown = (name: string) => secret('data-shown', { 'tls.crt': `${name}.crt`, 'tls.key': `${name}.key` })
const trusted = (name: string) => secret('data-trusted', { 'ca.crt': `${name}.crt` })

/** A program beside the proxy's tests, in a network, that answers each line with a line. */
function startIn(t: TestContext, inside: Namespace, program: string, ...args: string[]) {
  const file = path.join(import.meta.dirname, '../proxy', program)
  // spawn() forks before it returns, so the child is born in the namespace.
  const child = withNamespace(inside, () =>
    spawn(process.execPath, [file, ...args], { stdio: ['pipe', 'pipe', 'inherit'] }),
  )
  t.after(() => child.kill('SIGKILL'))
  const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<string> => (await lines.next()).value as string
  const ask = async <Answer>(question: object): Promise<Answer> => {
    child.stdin.write(`${JSON.stringify(question)}\n`)
    return JSON.parse(await next()) as Answer
  }
  return { next, ask }
}

async function podNetwork({ client }: TestCluster, pod: string): Promise<Namespace> {
  const [namespace = '', name = ''] = pod.split('/')
  return Namespace.ofProcess((await client.pod(namespace, name)).pid)
}

test('TLS that ends at the proxy', { skip: NEEDS_ROOT }, async t => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-e2e-tls-'))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  const file = (name: string): string => path.join(folder, name)
  for (const name of ['inner', 'later', 'outer']) makeAuthority(file(name))
  makeSigned(file('first'), file('inner'), HOST)
  makeSigned(file('second'), file('later'), HOST)
  makeSigned(file('server'), file('outer'), HOST)

  const cluster = await startCluster(t, CLUSTER)
  const outside = await plugIn(t, cluster, 'data', OUTSIDE)
  const servers: HttpsServer[] = [{ port: PORT, certificate: file('server') }]
  const server = startIn(t, outside, 'https-server-program.ts', JSON.stringify(servers))
  await server.next()
  await cluster.enforce(
    'pods',
    podManifest(CLIENT, { labels: { app: 'client' } }),
    podManifest(DNS, { labels: { app: 'dns' } }),
    podManifest(VISITOR, { labels: { app: 'visitor' } }),
    serverPod(WEB, { labels: { app: 'web' } }),
  )
  await cluster.enforce('shown', shown(file('first')))
  await cluster.enforce('trusted', trusted(file('outer')))
  await cluster.enforce('policy', POLICY)
  await cluster.untilReady(CLIENT, DNS, VISITOR, WEB)
  await readyProxy(cluster)
  await serveNames(t, cluster, DNS, OUTSIDE)
  const own = (await cluster.pod(CLIENT))?.addresses ?? []
  const dns = (await cluster.pod(DNS))?.addresses.find(address => !address.includes(':')) ?? ''
  const names = await NameClient.start(t, cluster, CLIENT, dns)
  for (const family of [4, 6] as const) await names.until({ name: HOST, family, port: PORT }, 'connected')
  using inClient = await podNetwork(cluster, CLIENT)
  const client = startIn(t, inClient, 'https-client-program.ts')

  const asks = (address: string, paths: readonly string[], more: Partial<HttpsCommand> = {}): Promise<HttpsResult> =>
    client.ask({
      id: 0,
      address,
      port: PORT,
      protocol: 'http1',
      tls: { serverName: HOST, authority: file('inner') },
      requests: paths.map(one => ({ path: one, host: HOST })),
      ...more,
    } satisfies HttpsCommand)
  const statuses = ({ answers, error }: HttpsResult) => error ?? answers.map(({ status }) => status).join(' ')
  const becomes = async (what: string, isSo: (result: HttpsResult) => boolean): Promise<HttpsResult> => {
    let last: HttpsResult | undefined
    await until(what, async () => isSo((last = await asks(OUTSIDE[0], ['/products']))))
    return last as HttpsResult
  }
  const had = (): Promise<Had> => server.ask({})
  const status = async (): Promise<PolicyStatus | undefined> => {
    const all: PolicyStatus[] = JSON.parse(
      (await axoneme(['policy', 'get', '-o', 'json', '--sandbox', CLUSTER])).stdout,
    )
    return all.find(({ name }) => name === 'to-data')
  }
  const untilState = (state: PolicyStatus['state']) =>
    until(`the policy to be ${state}`, async () => (await status())?.state === state)

  await t.test('requests are judged inside, and reach the server by TLS, from the pod', async () => {
    await becomes('an answer', result => statuses(result) === '200')
    for (const address of OUTSIDE)
      for (const protocol of ['http1', 'http2'] as const) {
        const result = await asks(address, ['/products', '/orders', '/products'], { protocol })
        assert.equal(statuses(result), '200 403 200', `${address} ${protocol}`)
        assert.equal(result.trusted, true, 'the client sees the certificate of the Secret')
        const reached = JSON.parse(result.answers[0]?.body ?? '') as Reached
        assert.equal(reached.serverName, HOST)
        assert.ok(own.includes(reached.address), `${reached.address} is the client's`)
      }
    await untilState('enforced')
  })

  await t.test('flows tell of requests inside of TLS', async () => {
    const log = await FlowLog.follow(t, cluster)
    const sinceMs = Date.now()
    await asks(OUTSIDE[0], ['/products', '/orders'])
    for (const [one, verdict] of Object.entries({ '/products': 'FORWARDED', '/orders': 'DROPPED' }))
      await log.next(
        `the flow of ${one}`,
        flow => flow.l7?.http?.url === `https://${HOST}${one}` && flow.verdict === verdict,
        sinceMs,
      )
  })

  await t.test('what is no TLS, and names that the server has no certificate for, get nothing from it', async () => {
    await had()
    const without = await client.ask<HttpsResult>({
      id: 0,
      address: OUTSIDE[0],
      port: PORT,
      protocol: 'http1',
      requests: [{ path: '/products', host: HOST }],
    } satisfies HttpsCommand)
    assert.notEqual(statuses(without), '200')
    const strange = await asks(OUTSIDE[0], ['/products'], {
      tls: { serverName: 'other.example', authority: file('inner') },
    })
    assert.match(statuses(strange), /^50[23]$/)
    assert.equal((await had()).requests, 0)
  })

  await t.test('it ends in front of a pod that speaks plain HTTP', async () => {
    await cluster.enforce('web', TO_WEB)
    using inVisitor = await podNetwork(cluster, VISITOR)
    const visitor = startIn(t, inVisitor, 'https-client-program.ts')
    const asksWeb = (address: string, serverName: string): Promise<HttpsResult> =>
      visitor.ask({
        id: 0,
        address,
        port: 8080,
        protocol: 'http1',
        tls: { serverName, authority: file('inner') },
        requests: ['/hostname', '/other'].map(one => ({ path: one, host: serverName })),
      } satisfies HttpsCommand)
    for (const address of (await cluster.pod(WEB))?.addresses ?? []) {
      await until('an answer', async () => statuses(await asksWeb(address, HOST)) === '200 403')
      const { trusted, answers } = await asksWeb(address, HOST)
      assert.deepEqual([trusted, answers[0]?.body.trim()], [true, 'web'])
      assert.equal(statuses(await asksWeb(address, 'other.example')), 'ECONNRESET', 'another name than the rule has')
    }
  })

  await t.test('another certificate is shown once the Secret has it', async () => {
    await cluster.enforce('shown', shown(file('second')))
    await becomes('the new certificate to be shown', result => statuses(result) === '200' && result.trusted === false)
    const result = await asks(OUTSIDE[0], ['/products', '/orders'], {
      tls: { serverName: HOST, authority: file('later') },
    })
    assert.deepEqual([statuses(result), result.trusted], ['200 403', true])
  })

  await t.test('a server whose authority is not trusted any more is not spoken to', async () => {
    await had()
    await cluster.enforce('trusted', trusted(file('inner')))
    await becomes('a refusal', result => /^50[23]$/.test(statuses(result)))
    await had()
    assert.match(statuses(await asks(OUTSIDE[0], ['/products'])), /^50[23]$/)
    assert.equal((await had()).requests, 0)
    await cluster.enforce('trusted', trusted(file('outer')))
    await becomes('an answer again', result => statuses(result) === '200')
  })

  await t.test('without the Secret nothing passes, and the policy says why', async () => {
    await had()
    await cluster.enforce('shown')
    await becomes('nothing to be answered', ({ answers }) => answers.length === 0)
    await untilState('failing')
    const problems = (await status())?.problems.map(({ message }) => message) ?? []
    assert.ok(
      problems.some(text =>
        /egress\[1\]\.toPorts\[0\]\.terminatingTLS: Secret shop\/data-shown: is not there/.test(text),
      ),
      problems.join('\n'),
    )
    await had()
    assert.equal((await asks(OUTSIDE[0], ['/products'])).answers.length, 0)
    assert.equal((await had()).requests, 0)
    await cluster.enforce('shown', shown(file('first')))
    await becomes('an answer again', result => statuses(result) === '200')
    await untilState('enforced')
    assert.deepEqual((await status())?.problems, [])
  })

  await t.test('no table, log or journal has a key', async () => {
    const tables = await cluster.agent.tables()
    const texts = await Promise.all(tables.map(async ({ name }) => JSON.stringify(await cluster.agent.table(name))))
    for (const name of fs.readdirSync(cluster.paths.logs))
      texts.push(fs.readFileSync(path.join(cluster.paths.logs, name), 'utf8'))
    texts.push(fs.readFileSync(path.join(nodePaths(cluster.paths, 'node1').folder, 'agent.journal'), 'latin1'))
    for (const name of ['first', 'second']) {
      const [, line = ''] = fs.readFileSync(`${file(name)}.key`, 'utf8').split('\n')
      assert.ok(line.length > 40)
      const forms = [line, Buffer.from(line).toString('base64').slice(0, 40)]
      for (const form of forms) for (const text of texts) assert.ok(!text.includes(form))
    }
  })
})
