// The part of the demo that plays services: what is asked of them, by real clients, and what became of it. Every number
// that it shows is counted by the client that asked.

import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { SandboxClient, spawnInPod, spawnOutside } from '../sandbox/index.ts'
import type { Row, Scene, Stage } from './demo-stage.ts'

const NAMESPACE = 'store'
const CUSTOMER = 'customer'
const REPLICAS = 3
const REQUESTS = 300
const START_MS = 30_000
const POLL_MS = 50
const NODE_ADDRESS = '172.30.0.2'

type Client = 'customer' | 'outside'

/** As the client prints it (sandbox/app-clients.ts). */
type Report = {
  readonly requests: number
  readonly failed: number
  readonly errors: Readonly<Record<string, number>>
  readonly answers: Readonly<Record<string, number>>
}

export const SERVICE_SCENES: readonly Scene[] = [
  { title: 'A Service of three pods. Its cluster IP leads to all of them.', play: callService },
  { title: 'Another Service of the same pods keeps a client with one of them: session affinity.', play: keepClient },
  {
    title: 'A client outside of the cluster comes by the node port, and is seen with its own address.',
    play: callNodePort,
  },
  { title: 'All pods are replaced by the next version, under load from inside and outside.', play: replaceAll },
]

async function callService(stage: Stage): Promise<readonly Row[]> {
  await stage.axoneme(['apply', '-f', 'demo/services.yaml'])
  const client = new SandboxClient(stage.sandbox)
  const isReady = (pod: { readonly namespace: string; readonly ready: boolean }) =>
    pod.namespace === NAMESPACE && pod.ready
  const waiting = { timeoutMs: START_MS, signal: stage.signal }
  await client.waitForPods(pods => pods.filter(isReady).length === REPLICAS + 1, waiting)
  const target = await clusterIp(stage, 'web')
  await untilAnsweredBy(stage, target, REPLICAS)
  const report = await ask(stage, 'customer', target, REQUESTS)
  const want = `0 failed, ${REPLICAS} pods answer`
  return [rowOf(`customer -> ${target}, ${REQUESTS} times`, want, report, podsOf(report) === REPLICAS)]
}

async function keepClient(stage: Stage): Promise<readonly Row[]> {
  const target = await clusterIp(stage, 'desk')
  const report = await ask(stage, 'customer', target, REQUESTS)
  return [rowOf(`customer -> ${target}, ${REQUESTS} times`, '0 failed, 1 pod answers', report, podsOf(report) === 1)]
}

async function callNodePort(stage: Stage): Promise<readonly Row[]> {
  const target = await nodePort(stage)
  const report = await ask(stage, 'outside', target, REQUESTS)
  const { answers } = await ask(stage, 'outside', target, 10, '/clientip')
  const seen = [...new Set(Object.keys(answers).map(answer => answer.replace(/:\d+$/, '')))]
  const own = await outsideAddress(stage)
  return [
    rowOf(
      `outside -> ${target}, ${REQUESTS} times`,
      `0 failed, ${REPLICAS} pods answer`,
      report,
      podsOf(report) === REPLICAS,
    ),
    {
      tried: `outside -> ${target}`,
      want: `is seen as ${own}`,
      got: `is seen as ${seen.join(', ')}`,
      isRight: seen.join() === own,
    },
  ]
}

async function replaceAll(stage: Stage): Promise<readonly Row[]> {
  const client = new SandboxClient(stage.sandbox)
  const webPods = async () => (await client.status()).pods.filter(pod => pod.name.startsWith('web-'))
  const old = new Set((await webPods()).map(({ name }) => name))
  const targets = [
    ['customer', await clusterIp(stage, 'web')],
    ['outside', await nodePort(stage)],
  ] as const
  const loads = await Promise.all(
    targets.map(async ([from, target]) => await startLoad(stage, from, target, ['--timeout', '5s'])),
  )
  await stage.axoneme(['apply', '-f', 'demo/next-version.yaml'])
  const isReplaced = (pods: readonly { readonly name: string; readonly ready: boolean }[]): boolean => {
    const web = pods.filter(({ name }) => name.startsWith('web-'))
    return web.length === REPLICAS && web.every(({ name, ready }) => ready && !old.has(name))
  }
  await client.waitForPods(isReplaced, { timeoutMs: START_MS, signal: stage.signal })
  const rows: Row[] = []
  for (const [i, [from, target]] of targets.entries()) {
    const report = await loads[i]?.()
    if (!report) continue
    const all = 2 * REPLICAS
    rows.push(
      rowOf(`${from} -> ${target}, all the time`, `0 failed, ${all} pods answer`, report, podsOf(report) === all),
    )
  }
  return rows
}

const podsOf = ({ answers }: Report): number => Object.keys(answers).length

function rowOf(tried: string, want: string, report: Report, isRight: boolean): Row {
  const { requests, failed, errors, answers } = report
  const counts = Object.values(answers).toSorted((a, b) => b - a)
  const failures =
    failed > 0
      ? ` (${Object.entries(errors)
          .map(([what, count]) => `${what} ${count}`)
          .join(', ')})`
      : ''
  const pods = counts.length === 1 ? '1 pod answered' : `${counts.length} pods answered (${counts.join(', ')})`
  return { tried, want, got: `${failed} of ${requests} failed${failures}, ${pods}`, isRight: isRight && failed === 0 }
}

// ---- asking

async function untilAnsweredBy(stage: Stage, target: string, pods: number): Promise<void> {
  const deadline = performance.now() + START_MS
  for (;;) {
    const report = await ask(stage, 'customer', target, 10 * pods)
    if (report.failed === 0 && podsOf(report) === pods) return
    if (performance.now() > deadline) return // the measurement that follows tells what is wrong
    await sleep(POLL_MS, undefined, { signal: stage.signal })
  }
}

async function ask(stage: Stage, from: Client, target: string, requests: number, path = '/hostname'): Promise<Report> {
  const load = await startLoad(stage, from, target, ['--requests', String(requests), '--interval', '0'], path)
  return await load()
}

/** Starts to ask again and again, and resolves when it does. @returns ends it, and tells what became of the requests */
async function startLoad(
  { sandbox }: Stage,
  from: Client,
  target: string,
  flags: readonly string[] = [],
  path = '/hostname',
): Promise<() => Promise<Report>> {
  const client = new SandboxClient(sandbox)
  const command = ['agnhost', 'load', `http://${target}${path}`, ...flags]
  const child =
    from === 'outside'
      ? await spawnOutside(client, command, 'pipe')
      : await spawnInPod(client, { namespace: NAMESPACE, pod: CUSTOMER, command, terminal: false }, 'pipe')
  let [printed, said] = ['', '']
  const begun = Promise.withResolvers<void>()
  child.stdout?.on('data', (text: Buffer) => (printed += text.toString()))
  child.stderr?.on('data', (text: Buffer) => {
    said += text.toString()
    begun.resolve()
  })
  const closed = once(child, 'close')
  await Promise.race([begun.promise, closed])
  return async () => {
    child.stdin?.end()
    await closed
    if (!printed.startsWith('{')) throw new Error(`the client ${from} said: ${printed}${said}`)
    return JSON.parse(printed) as Report
  }
}

async function serviceOf({ sandbox }: Stage, name: string) {
  const { services } = await new SandboxClient(sandbox).status()
  const service = services.find(found => found.namespace === NAMESPACE && found.name === name)
  if (!service) throw new Error(`there is no service ${NAMESPACE}/${name}`)
  return service
}

const clusterIp = async (stage: Stage, name: string): Promise<string> =>
  `${(await serviceOf(stage, name)).clusterIps[0]}:80`

async function nodePort(stage: Stage): Promise<string> {
  const [port = ''] = (await serviceOf(stage, 'web')).ports
  return `${NODE_ADDRESS}:${/:(\d+)\//.exec(port)?.[1]}`
}

async function outsideAddress({ sandbox }: Stage): Promise<string> {
  const child = await spawnOutside(
    new SandboxClient(sandbox),
    ['ip', '-4', '-brief', 'address', 'show', 'eth0'],
    'pipe',
  )
  let printed = ''
  child.stdout?.on('data', (text: Buffer) => (printed += text.toString()))
  await once(child, 'close')
  return /(\d+\.\d+\.\d+\.\d+)\//.exec(printed)?.[1] ?? 'unknown'
}
