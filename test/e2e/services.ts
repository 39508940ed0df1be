// What the tests of services share: pods that tell their name, Services as manifests, and a client that asks for a
// service from anywhere and counts what it is answered.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import * as cgroup from '../../src/sandbox/cgroup.ts'
import { spawnInPod, spawnOutside } from '../../src/sandbox/exec.ts'
import { PROGRAMS } from '../../src/sandbox/paths.ts'
import { finish, podManifest } from '../sandbox/support.ts'
import { type TestCluster, until } from './support.ts'

export const HTTP_PORT = 8080
export const UDP_PORT = 8081
/** Both of them, as a Service declares them. */
export const PORTS = [
  { name: 'http', port: 80, targetPort: HTTP_PORT },
  { name: 'names', port: 81, targetPort: UDP_PORT, protocol: 'UDP' },
]

/** Who asks: a pod by its key, a process of the node itself, a machine outside of the cluster. */
export type Asker = 'node' | 'outside' | `${string}/${string}`

/** As the client prints it (src/sandbox/app-clients.ts). */
export type LoadReport = {
  readonly requests: number
  readonly failed: number
  readonly errors: Readonly<Record<string, number>>
  readonly answers: Readonly<Record<string, number>>
  readonly longestMs: number
}

type ServerOptions = {
  readonly labels?: Readonly<Record<string, string>>
  readonly args?: readonly string[]
  readonly ports?: readonly object[]
  readonly container?: object
  readonly spec?: object
}

/** A pod that tells its name by HTTP and UDP, and is ready when it does. */
export function serverPod(key: string, options: ServerOptions = {}) {
  const { labels = {}, args = [], ports, container = {}, spec = {} } = options
  const port = Number(args[args.indexOf('--http-port') + 1] ?? HTTP_PORT) || HTTP_PORT
  const main = {
    name: 'c',
    image: 'agnhost',
    args: ['netexec', ...args],
    ...(ports && { ports }),
    readinessProbe: { httpGet: { path: '/healthz', port }, periodSeconds: 1 },
    ...container,
  }
  return podManifest(key, { labels, spec: { containers: [main], ...spec } })
}

export function serviceManifest(key: string, spec: object = {}, metadata: object = {}) {
  const [namespace, name] = key.split('/')
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { namespace, name, ...metadata },
    spec: { selector: { app: name }, ports: [{ port: 80, targetPort: HTTP_PORT }], ...spec },
  }
}

type Admitted = {
  readonly spec: {
    readonly clusterIPs?: readonly string[]
    readonly ports?: readonly { readonly port: number; readonly nodePort?: number }[]
    readonly healthCheckNodePort?: number
  }
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip: string }[] } }
}

/** The Service with what it was given. */
export async function admittedService(cluster: TestCluster, key: string): Promise<Admitted> {
  const file = path.join(cluster.paths.cluster, `Service_${key.replace('/', '_')}.yaml`)
  await until(`service ${key} to be admitted`, () => fs.existsSync(file))
  return JSON.parse(fs.readFileSync(file, 'utf8').replace(/^#.*\n/, '')) as Admitted
}

/** `10.96.0.1:80`, `[fd00::1]:80` */
export const hostPort = (address: string | undefined, port: number | undefined): string => {
  assert.ok(address && port)
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

/** `HOST:PORT` of the service's cluster IP of a family. */
export async function clusterAddress(cluster: TestCluster, key: string, port = 80, family: 4 | 6 = 4): Promise<string> {
  const { spec } = await admittedService(cluster, key)
  return hostPort(
    spec.clusterIPs?.find(address => address.includes(':') === (family === 6)),
    port,
  )
}

/** A program beside the agent: in the network and the control group of the node. */
async function spawnOnNode({ agent, paths }: TestCluster, args: readonly string[]): Promise<ChildProcess> {
  const { pid } = await agent.status()
  const group = cgroup.create(path.join(cgroup.cgroupRoot(), paths.cgroupName, 'node1/host'))
  const place = ['--die-with-parent', '--cgroup', group, '--netns', `/proc/${pid}/ns/net`]
  const app = path.join(paths.podFiles, 'app.mjs')
  return spawn(PROGRAMS.podInit, ['enter', ...place, '--', process.execPath, app, ...args], { stdio: 'pipe' })
}

async function spawnClient(cluster: TestCluster, from: Asker, args: readonly string[]): Promise<ChildProcess> {
  if (from === 'node') return await spawnOnNode(cluster, args)
  if (from === 'outside') return await spawnOutside(cluster.client, ['agnhost', ...args], 'pipe')
  const [namespace = '', pod = ''] = from.split('/')
  const command = ['agnhost', ...args]
  return await spawnInPod(cluster.client, { namespace, pod, command, terminal: false }, 'pipe')
}

export type Question = {
  readonly protocol?: 'http' | 'tcp' | 'udp'
  /** Default 1. */
  readonly requests?: number
  /** Of HTTP. */
  readonly path?: string
  readonly flags?: readonly string[]
}

function loadArguments(
  target: string,
  { protocol = 'http', path: page = '/hostname', flags = [] }: Question,
): string[] {
  const what = protocol === 'http' ? [`http://${target}${page}`] : [target, '--protocol', protocol]
  return ['load', ...what, ...flags]
}

/** Asks some times and tells what became of it. */
export async function ask(
  cluster: TestCluster,
  from: Asker,
  target: string,
  question: Question = {},
): Promise<LoadReport> {
  const count = ['--requests', String(question.requests ?? 1)]
  const child = await spawnClient(cluster, from, [...loadArguments(target, question), ...count])
  const { stdout, stderr } = await finish(child)
  if (!stdout.startsWith('{')) throw new Error(`the client in ${from} said: ${stdout}${stderr}`)
  return JSON.parse(stdout) as LoadReport
}

/** Asks until all requests are answered by exactly these. */
export async function untilAnswered(
  cluster: TestCluster,
  from: Asker,
  target: string,
  by: readonly string[],
  question: Question = {},
): Promise<void> {
  const requests = question.requests ?? (by.length > 1 ? 20 * by.length : 3)
  let last: LoadReport | undefined
  const isSo = async (): Promise<boolean> => {
    last = await ask(cluster, from, target, { ...question, requests })
    return last.failed === 0 && JSON.stringify(Object.keys(last.answers).sort()) === JSON.stringify([...by].sort())
  }
  await until(`${target} to be answered to ${from} by ${by.join(', ')}`, isSo).catch((error: Error) => {
    throw new Error(`${error.message}; last: ${JSON.stringify(last)}`)
  })
}

/** Asks until it is refused at once, in the words of the socket. */
export async function untilRefused(
  cluster: TestCluster,
  from: Asker,
  target: string,
  question: Question = {},
): Promise<void> {
  let last: LoadReport | undefined
  const patient = { ...question, flags: [...(question.flags ?? []), '--timeout', '5s'] }
  const isSo = async (): Promise<boolean> => {
    last = await ask(cluster, from, target, patient)
    return last.errors['ECONNREFUSED'] === 1
  }
  await until(`${target} to refuse ${from}`, isSo).catch((error: Error) => {
    throw new Error(`${error.message}; last: ${JSON.stringify(last)}`)
  })
}

export type RunningLoad = { readonly finish: () => Promise<LoadReport> }

/** Asks again and again until it is told to finish. Resolves when it has begun. */
export async function startAsking(
  cluster: TestCluster,
  from: Asker,
  target: string,
  question: Question = {},
): Promise<RunningLoad> {
  // A packet that is sent again is no failed request.
  const flags = ['--timeout', '5s', ...(question.flags ?? [])]
  const child = await spawnClient(cluster, from, loadArguments(target, { ...question, flags }))
  const collected = { stdout: '', stderr: '' }
  child.stdout?.on('data', (text: Buffer) => (collected.stdout += text.toString()))
  child.stderr?.on('data', (text: Buffer) => (collected.stderr += text.toString()))
  const closed = once(child, 'close')
  await until(`the client in ${from} to begin`, () => collected.stderr.includes('asking') || child.exitCode !== null)
  return {
    finish: async () => {
      child.stdin?.end()
      await closed
      if (!collected.stdout.startsWith('{')) throw new Error(`the client in ${from} said: ${collected.stderr}`)
      return JSON.parse(collected.stdout) as LoadReport
    },
  }
}

/** What a load must have come to. */
export function assertNoneFailed(report: LoadReport, atLeast = 50): void {
  assert.deepEqual(report.errors, {}, JSON.stringify(report))
  assert.ok(report.requests >= atLeast, `only ${report.requests} requests were made: that proves little`)
}
