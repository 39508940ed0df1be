// Sight of what is said on connections, from the request of a pod to the line that a user
// reads: allowed, denied with the nearest rule, seen without a restriction, and told
// after the agent was away. The same requests are explained before they are made.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { message } from '../../src/dns/testing/messages.ts'
import { Namespace, withNamespace } from '../../src/net/index.ts'
import type { Flow } from '../../src/observe/index.ts'
import { podManifest } from '../sandbox/support.ts'
import { axoneme, outputOf } from './command-line.ts'
import { FlowLog } from './flows.ts'
import { NEEDS_ROOT, startCluster, type TestCluster, until } from './support.ts'

const NAME = 'e2e-l7-sight'
const WEB = 'shop/web'
const API = 'shop/api'
const PORT = 8080

/** Prints the status of the answer, or the code of the error. */
const HTTP_PROGRAM = `
const [method, host, path] = process.argv.slice(1)
require('node:http')
  .request({ method, host, port: ${PORT}, path, headers: { authorization: 'Bearer secret' } }, response => {
    response.resume().on('end', () => console.log(response.statusCode))
  })
  .on('error', error => console.log(error.code))
  .end()`

/** Sends a question and prints the code of the answer. */
const DNS_PROGRAM = `
const [server, question] = process.argv.slice(1)
const socket = require('node:dgram').createSocket('udp4')
socket.on('message', answer => { console.log(answer[3] & 15); socket.close() })
setTimeout(() => { console.log('silence'); socket.close() }, 2000).unref()
socket.send(Buffer.from(question, 'base64'), 53, server)`

async function runIn({ client }: TestCluster, pod: string, args: readonly string[]): Promise<string> {
  const [namespace = '', name = ''] = pod.split('/')
  using inside = Namespace.ofProcess((await client.pod(namespace, name)).pid)
  // spawn() forks before it returns, so the child is born in the namespace.
  const child = withNamespace(inside, () =>
    spawn(process.execPath, ['-e', ...args], { stdio: ['ignore', 'pipe', 'inherit'], timeout: 10_000 }),
  )
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')])
  return output.trim()
}

const pods = (visibility?: string) => [
  podManifest(WEB, { labels: { app: 'web' } }),
  {
    ...podManifest(API, { labels: { app: 'api' }, ports: [{ containerPort: PORT }] }),
    metadata: {
      namespace: 'shop',
      name: 'api',
      labels: { app: 'api' },
      ...(visibility && { annotations: { 'policy.cilium.io/proxy-visibility': visibility } }),
    },
  },
]

const policy = {
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { namespace: 'shop', name: 'api' },
  spec: {
    endpointSelector: { matchLabels: { app: 'api' } },
    ingress: [
      { fromEndpoints: [{}], toPorts: [{ ports: [{ port: '53', protocol: 'UDP' }] }] },
      {
        fromEndpoints: [{ matchLabels: { app: 'web' } }],
        toPorts: [
          {
            ports: [{ port: String(PORT), protocol: 'TCP' }],
            rules: {
              http: [
                { method: 'GET', path: '/hostname' },
                { method: 'POST', path: '/orders' },
              ],
            },
          },
        ],
      },
    ],
  },
}

const names = {
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { namespace: 'shop', name: 'names' },
  spec: {
    endpointSelector: { matchLabels: { app: 'web' } },
    egress: [
      { toEndpoints: [{}], toPorts: [{ ports: [{ port: String(PORT), protocol: 'TCP' }] }] },
      {
        toEndpoints: [{}],
        toPorts: [{ ports: [{ port: '53', protocol: 'ANY' }], rules: { dns: [{ matchPattern: '*.example.com' }] } }],
      },
    ],
  },
}

async function started(t: TestContext) {
  const cluster = await startCluster(t, NAME)
  await cluster.enforce('pods', ...pods())
  await cluster.untilReady(WEB, API)
  const address = (await cluster.pod(API))?.addresses.find(each => !each.includes(':')) ?? ''
  const request = (method: string, path: string) => runIn(cluster, WEB, [HTTP_PROGRAM, method, address, path])
  const untilAnswered = (method: string, path: string, status: string) =>
    until(`${method} ${path} to be answered with ${status}`, async () => (await request(method, path)) === status)
  return { cluster, address, request, untilAnswered }
}

const isRequest = (method: string, path: string) => (flow: Flow) =>
  flow.l7?.http?.method === method && flow.l7.http.url.endsWith(path)

test('what is said on connections is seen and explained', { skip: NEEDS_ROOT, timeout: 300_000 }, async t => {
  const { cluster, address, request, untilAnswered } = await started(t)
  const log = await FlowLog.follow(t, cluster)
  const explained = async (what: string): Promise<string> => {
    const whole = await outputOf('policy', 'explain', WEB, API, `${PORT}/TCP`, '--http', what, '--sandbox', NAME)
    return whole.slice(0, whole.indexOf('\n\n'))
  }

  await t.test('by an annotation, without a restriction', async () => {
    await cluster.enforce('pods', ...pods('<Ingress/8080/TCP/HTTP>,<Ingress/0/TCP/HTTP>'))
    await untilAnswered('GET', '/hostname?seen=1', '200')
    const isAnswered = (flow: Flow) => isRequest('GET', '/hostname?seen=1')(flow) && flow.l7?.http?.code === 200
    const flow = await log.next('the request', isAnswered, 0)
    assert.deepEqual(
      [flow.verdict, flow.l7?.http?.code, flow.source.pod?.name, flow.destination.pod?.name],
      ['FORWARDED', 200, 'web', 'api'],
    )
    assert.ok(log.flows.some(({ verdict, proxy }) => verdict === 'REDIRECTED' && proxy === 'HTTP'))
    assert.equal(await request('DELETE', '/nothing'), '200', 'nothing is denied')
    assert.match(
      await outputOf('status', '--sandbox', NAME),
      /Pod shop\/api: .*"<Ingress\/0\/TCP\/HTTP>" is passed over: port 0 is not 1 to 65535/,
    )
  })

  await t.test('by rules: what is allowed, and what is denied with the nearest rule', async () => {
    await cluster.enforce('policy', policy)
    await untilAnswered('DELETE', '/hostname', '403')
    assert.equal(await request('GET', '/hostname'), '200')
    const allowed = await log.next(
      'the allowed request',
      flow => {
        return isRequest('GET', '/hostname')(flow) && flow.ingressRule?.field === 'rules.http[0]'
      },
      0,
    )
    assert.match(
      allowed.ingressRule?.text ?? '',
      /^CiliumNetworkPolicy shop\/api ingress\[1\].*\(.*policy\.yaml:\d+\)$/,
    )
    const denied = await log.next(
      'the denied request',
      flow => {
        return isRequest('DELETE', '/hostname')(flow) && flow.verdict === 'DROPPED'
      },
      0,
    )
    assert.deepEqual(
      [denied.direction, denied.l7?.http?.code, denied.l7?.nearestRule?.field, denied.l7?.nearestRule?.because],
      ['ingress', 403, 'rules.http[0]', [{ part: 'method', wants: 'GET', has: 'DELETE' }]],
    )
    assert.doesNotMatch(JSON.stringify(log.flows), /Bearer secret/)
  })

  await t.test('the command line filters and prints them', async () => {
    const lines = await outputOf(
      'observe',
      '--type',
      'l7',
      '--http-method',
      'delete',
      '--http-status',
      '4+',
      '--sandbox',
      NAME,
    )
    assert.match(
      lines,
      /l7 +TCP shop\/web:\d+ -> shop\/api:8080 +http-request DROPPED \(HTTP\/1\.1 DELETE .*\/hostname → 403.*the nearest: .*method: wants GET; it is DELETE/,
    )
    assert.equal(await outputOf('observe', '--protocol', 'kafka', '--sandbox', NAME), '')
    const bad = await axoneme(['observe', '--http-path', '(', '--sandbox', NAME])
    assert.deepEqual([bad.code, /http-path is no regular expression/.test(bad.stderr)], [1, true])
    assert.match(await outputOf('status', '--sandbox', NAME), /requests +\d+ seen, 0 lost \(.*http \d+ DROPPED/)
  })

  await t.test('explained as they are judged', async () => {
    assert.match(await explained('GET /hostname'), /^GET \/hostname: allowed\n .*rules\.http\[0\]/)
    assert.match(await explained('DELETE /hostname'), /^DELETE \/hostname: denied\n[^]*method: wants GET; it is DELETE/)
    const flow = log.flows.findLast(each => isRequest('DELETE', '/hostname')(each) && each.verdict === 'DROPPED')
    const { stdout } = await axoneme(['policy', 'explain', '--flow', '-', '--sandbox', NAME], JSON.stringify(flow))
    assert.match(stdout, /^DELETE \/hostname at .*: denied\n/)
  })

  await t.test('questions of DNS, too', async () => {
    await cluster.enforce('names', names)
    const question = Buffer.from(message({ questions: [{ name: 'evil.example.org' }] })).toString('base64')
    const ask = () => runIn(cluster, WEB, [DNS_PROGRAM, address, question])
    await until('the question to be refused', async () => (await ask()) === '5')
    const flow = await log.next('the question', ({ l7 }) => l7?.dns?.query === 'evil.example.org.', 0)
    assert.deepEqual(
      [flow.verdict, flow.direction, flow.l7?.dns?.rcode, flow.protocol],
      ['DROPPED', 'egress', 5, 'UDP'],
    )
    const line = await outputOf('observe', '--dns-query', 'evil', '--last', '1', '--sandbox', NAME)
    assert.match(
      line,
      /dns-request DROPPED \(A evil\.example\.org\. → REFUSED.*wants \*\.example\.com; it is evil\.example\.org/,
    )
  })

  await t.test('what is asked while the agent is away is told afterwards', async () => {
    const { pid } = await cluster.agent.status()
    process.kill(pid, 'SIGKILL')
    assert.equal(await request('DELETE', '/while-away'), '403')
    await until('another agent', async () => {
      const status = await cluster.agent.status().catch(() => undefined)
      return status !== undefined && status.pid !== pid && status.ready
    })
    await until('the request to be told', async () =>
      (await outputOf('observe', '--http-path', '^/while-away$', '--sandbox', NAME)).includes('DROPPED'),
    )
  })
})
