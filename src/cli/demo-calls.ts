// The part of the demo that plays rules for what is said: requests of HTTP, calls of gRPC, names outside of the cluster.
// Real clients in pods ask real servers; what is expected of each request stands here, from the manifests in demo/.

import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { AgentClient } from '../api/index.ts'
import { nodePaths, SandboxClient, sandboxPaths, spawnOutside } from '../sandbox/index.ts'
import { DemoClient } from './demo-client.ts'
import type { Row, Scene, Stage } from './demo-stage.ts'

const NAMESPACE = 'bookshop'
const PODS = 6
const START_MS = 30_000
const POLL_MS = 20
/** Of the data API outside, and of something else there that nobody is told of. */
const [DATA, UNTOLD] = ['172.30.0.200', '172.30.0.201']
const DATA_NAME = 'data.example.com'
const OTHER_NAME = 'tracker.example.com'

/** Made anew for each demo: the connections of its web pod stay open from one scene to the next. */
export function callScenes(): readonly Scene[] {
  let web: DemoClient | undefined
  const webOf = async ({ sandbox }: Stage): Promise<DemoClient> =>
    (web ??= await DemoClient.start(sandbox, NAMESPACE, 'web'))
  const observe = ['observe', '--type', 'l7', '--last', '1']
  return [
    {
      title: 'API calls, not just ports: the web pod of a bookshop may GET /products, but not DELETE them.',
      play: async stage => await callHttp(stage, webOf),
      questions: [
        [...observe, '--pod', `${NAMESPACE}/web`, '--http-method', 'DELETE'],
        ['policy', 'explain', `${NAMESPACE}/web`, `${NAMESPACE}/catalogue`, '8080/TCP', '--http', 'DELETE /products/1'],
      ],
    },
    {
      title: 'gRPC, method by method: the stock is counted, but nothing is taken away (status 7: permission denied).',
      play: async stage => await callGrpc(stage, await webOf(stage)),
    },
    {
      title: 'The rules change while a connection is open: its next request is judged by the new ones.',
      play: async stage => {
        const client = await webOf(stage)
        try {
          return await changeRules(stage, client)
        } finally {
          client.close()
        }
      },
    },
    {
      title: 'A data API outside, for one pod by its name alone and only to read, for another by its address alone.',
      play: goOutside,
      questions: [['fqdn'], [...observe, '--dns-query', OTHER_NAME]],
    },
  ]
}

async function callHttp(stage: Stage, webOf: (stage: Stage) => Promise<DemoClient>): Promise<readonly Row[]> {
  await stage.axoneme(['apply', '-f', 'demo/bookshop.yaml', '-f', 'demo/bookshop-calls.yaml'])
  const isReady = ({ namespace, ready }: { readonly namespace: string; readonly ready: boolean }): boolean =>
    (namespace === NAMESPACE || namespace === 'kube-system') && ready
  const waiting = { timeoutMs: START_MS, signal: stage.signal }
  await new SandboxClient(stage.sandbox).waitForPods(pods => pods.filter(isReady).length === PODS, waiting)
  await untilInForce(stage, 'demo/bookshop-calls.yaml', 2)
  const web = await webOf(stage)
  const url = `http://${await addressOf(stage, 'catalogue')}:8080`
  const request = async (method: string, path: string, want: string): Promise<Row> =>
    await web.row(`-> catalogue: ${method} ${path}`, { http: url + path, method, connection: 'http' }, want)
  return [
    await request('GET', '/products', '200'),
    await request('DELETE', '/products/1', '403, same connection'),
    await request('GET', '/products/1', '200, same connection'),
    await request('GET', '/admin', '403, same connection'),
  ]
}

async function callGrpc(stage: Stage, web: DemoClient): Promise<readonly Row[]> {
  const grpc = `${await addressOf(stage, 'stock')}:9090`
  const call = async (method: string, want: string): Promise<Row> =>
    await web.row(`-> stock: ${method}`, { grpc, method, connection: 'grpc' }, want)
  return [
    await call('/bookshop.Stock/Count', 'status 0'),
    await call('/bookshop.Stock/Remove', 'status 7, same connection'),
    await call('/bookshop.Stock/Count', 'status 0, same connection'),
  ]
}

async function changeRules(stage: Stage, web: DemoClient): Promise<readonly Row[]> {
  const url = `http://${await addressOf(stage, 'catalogue')}:8080`
  const request = async (when: string, method: string, path: string, status: number): Promise<Row> => {
    const question = { http: url + path, method, connection: 'http' }
    return await web.row(`-> catalogue, ${when}: ${method} ${path}`, question, `${status}, same connection`)
  }
  const before = [
    await request('before', 'DELETE', '/products/1', 403),
    await request('before', 'POST', '/orders', 200),
  ]
  await stage.axoneme(['apply', '-f', 'demo/bookshop-editor.yaml'])
  await untilInForce(stage, 'demo/bookshop-editor.yaml', 1)
  return [
    ...before,
    await request('after', 'DELETE', '/products/1', 200),
    await request('after', 'POST', '/orders', 403),
  ]
}

async function goOutside(stage: Stage): Promise<readonly Row[]> {
  const stopServing = await serveOutside(stage)
  await stage.axoneme(['apply', '-f', 'demo/bookshop-outside.yaml'])
  await untilInForce(stage, 'demo/bookshop-outside.yaml', 2)
  const clients = await Promise.all(
    ['reports', 'backup'].map(async pod => await DemoClient.start(stage.sandbox, NAMESPACE, pod)),
  )
  const [reports, backup] = clients as [DemoClient, DemoClient]
  const get = async (client: DemoClient, host: string, want: string): Promise<Row> =>
    await client.row(`-> http://${host}:8080: GET /rates`, { http: `http://${host}:8080/rates` }, want)
  try {
    // Both pods at once: each has its own denials to wait for.
    const rows = await Promise.all([
      (async () => [
        await get(reports, DATA, 'denied'),
        await reports.row(`asks DNS for ${OTHER_NAME}`, { name: OTHER_NAME }, 'EREFUSED'),
        await get(reports, DATA_NAME, '200'),
        await reports.row(
          `-> http://${DATA_NAME}:8080: DELETE /rates`,
          { http: `http://${DATA_NAME}:8080/rates`, method: 'DELETE' },
          '403',
        ),
        await get(reports, UNTOLD, 'denied'),
      ])(),
      (async () => [
        await get(backup, DATA, '200'),
        await get(backup, UNTOLD, 'denied'),
        await backup.row(`asks DNS for ${DATA_NAME}`, { name: DATA_NAME }, 'denied'),
      ])(),
    ])
    return rows.flat()
  } finally {
    for (const client of clients) client.close()
    stopServing()
  }
}

/** Serves at both addresses outside, and waits until it does. @returns ends it */
async function serveOutside({ sandbox }: Stage): Promise<() => void> {
  const client = new SandboxClient(sandbox)
  for (const address of [DATA, UNTOLD]) {
    const child = await spawnOutside(client, ['ip', 'address', 'add', `${address}/24`, 'dev', 'eth0'], 'inherit')
    await once(child, 'exit')
  }
  const server = await spawnOutside(client, ['agnhost', 'netexec', '--udp-port', '-1'], 'ignore')
  for (let waitedMs = 0; waitedMs < START_MS; waitedMs += POLL_MS) {
    const probe = await spawnOutside(client, ['agnhost', 'connect', `${UNTOLD}:8080`], 'ignore')
    const [code] = (await once(probe, 'exit')) as [number | null]
    if (code === 0) break
    await sleep(POLL_MS)
  }
  return () => void server.kill()
}

/** Resolves when the agent has so many policies of a file in force. */
async function untilInForce({ sandbox, signal }: Stage, file: string, count: number): Promise<void> {
  const agent = new AgentClient(nodePaths(sandboxPaths(sandbox), 'node1').agentSocket)
  const deadline = performance.now() + START_MS
  for (;;) {
    const policies = await agent.policies()
    const ours = policies.filter(({ origin, state }) => origin.file === file && state === 'enforced')
    if (ours.length === count) break
    if (performance.now() > deadline) throw new Error(`${file} is not in force; \`axoneme policy get\` says why`)
    await sleep(POLL_MS, undefined, { signal })
  }
  await agent.settled(signal)
}

async function addressOf({ sandbox }: Stage, pod: string): Promise<string> {
  const { addresses } = await new SandboxClient(sandbox).pod(NAMESPACE, pod)
  const address = addresses.find(found => !found.includes(':'))
  if (address === undefined) throw new Error(`${NAMESPACE}/${pod} has no address`)
  return address
}
