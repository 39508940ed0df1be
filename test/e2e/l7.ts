// What the tests of rules about what is said share: policies with such rules, a client
// that asks from inside a pod, and the processes of a node's proxy.

import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'
import type { TestContext } from 'node:test'
import { ProxyClient, type ProxyStatus } from '../../src/api/index.ts'
import { Namespace, withNamespace } from '../../src/net/index.ts'
import { nodePaths } from '../../src/sandbox/index.ts'
import type { Asked, ClientCommand, Loaded } from './l7-client-program.ts'
import { type TestCluster, until } from './support.ts'

const PROGRAM = path.join(import.meta.dirname, 'l7-client-program.ts')

/** Requests that may be made to port 8080 of the pods with a label `app`, by pods with another. */
export const httpPolicy = (key: string, to: string, from: string, ...rules: readonly object[]) => {
  const [namespace, name] = key.split('/')
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { namespace, name },
    spec: {
      endpointSelector: { matchLabels: { app: to } },
      ingress: [
        {
          fromEndpoints: [{ matchLabels: { app: from } }],
          toPorts: [{ ports: [{ port: '8080', protocol: 'TCP' }], rules: { http: rules } }],
        },
      ],
    },
  }
}

type AskOptions = Omit<Extract<ClientCommand, { op: 'ask' }>, 'op' | 'url'>

export class L7Client {
  readonly #send: (line: string) => void
  readonly #lines: AsyncIterator<string>

  private constructor(send: (line: string) => void, lines: AsyncIterator<string>) {
    this.#send = send
    this.#lines = lines
  }

  static async start(t: TestContext, cluster: TestCluster, pod: string): Promise<L7Client> {
    const [namespace = '', name = ''] = pod.split('/')
    using inside = Namespace.ofProcess((await cluster.client.pod(namespace, name)).pid)
    const home = String(fs.statSync('/proc/self/ns/net').ino)
    const child = withNamespace(inside, () =>
      spawn(process.execPath, [PROGRAM, home], { stdio: ['pipe', 'pipe', 'inherit'] }),
    )
    t.after(() => child.kill('SIGKILL'))
    const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    return new L7Client(line => child.stdin.write(`${line}\n`), lines)
  }

  /** What is answered, in short: the status, or why there was none. */
  async status(url: string, options: AskOptions = {}): Promise<number | string> {
    const answered = await this.ask(url, options)
    return 'status' in answered ? answered.status : answered.error
  }

  ask(url: string, options: AskOptions = {}): Promise<Asked> {
    return this.#command<Asked>({ op: 'ask', url, ...options })
  }

  async load(url: string, atATime: number): Promise<void> {
    await this.#command({ op: 'load', url, atATime })
  }

  stop(): Promise<Loaded> {
    return this.#command<Loaded>({ op: 'stop' })
  }

  async #command<Answer>(command: ClientCommand): Promise<Answer> {
    this.#send(JSON.stringify(command))
    const { value, done } = await this.#lines.next()
    if (done) throw new Error('the client ended')
    return JSON.parse(value) as Answer
  }
}

export const proxyOf = (cluster: TestCluster): ProxyClient =>
  new ProxyClient(nodePaths(cluster.paths, 'node1').proxySocket)

/** The proxy's status once it is ready, and another process than before where one is named. */
export async function readyProxy(cluster: TestCluster, before = 0): Promise<ProxyStatus> {
  let found: ProxyStatus | undefined
  await until('the proxy to be ready', async () => {
    const status = await proxyOf(cluster)
      .status()
      .catch(() => undefined)
    if (status?.ready && status.pid !== before) found = status
    return found !== undefined
  })
  return found as ProxyStatus
}

export function pidOf(status: ProxyStatus, server: string): number {
  const pid = status.servers.find(({ name }) => name === server)?.pid
  if (!pid) throw new Error(`${server} does not run`)
  return pid
}
