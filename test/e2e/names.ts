// What tests of rules about names have beside a cluster: a DNS server in a pod, services
// outside at many addresses, and a pod that asks and connects.

import { type ChildProcessByStdio, spawn } from 'node:child_process'
import path from 'node:path'
import readline from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { TestContext } from 'node:test'
import { Namespace, withNamespace } from '../../src/net/index.ts'
import type { NameAttempt, NameOutcome } from './fqdn-client-program.ts'
import { type TestCluster, until } from './support.ts'

type Program = ChildProcessByStdio<Writable, Readable, null>

/** Starts a program of this folder in the network of a pod. */
async function startIn(
  t: TestContext,
  { client }: TestCluster,
  pod: string,
  [program = '', ...args]: readonly string[],
): Promise<Program> {
  const [namespace = '', name = ''] = pod.split('/')
  using inside = Namespace.ofProcess((await client.pod(namespace, name)).pid)
  // spawn() forks before it returns, so the child is born in the namespace.
  const child = withNamespace(inside, () =>
    spawn(process.execPath, [path.join(import.meta.dirname, program), ...args], { stdio: ['pipe', 'pipe', 'inherit'] }),
  )
  t.after(() => child.kill('SIGKILL'))
  return child
}

/** @param ranges the first addresses that its answers begin with, of IPv4 and IPv6 */
export async function serveNames(
  t: TestContext,
  cluster: TestCluster,
  pod: string,
  ranges: readonly string[],
): Promise<void> {
  const { stdout } = await startIn(t, cluster, pod, ['fqdn-server-program.ts', ...ranges])
  for await (const line of readline.createInterface({ input: stdout })) if (line === 'ready') return
  throw new Error(`the DNS server in ${pod} ended`)
}

/** Asks a DNS server from inside a pod, and connects to what it hears. */
export class NameClient {
  readonly #program: Program
  readonly #waiting = new Map<string, ((outcome: NameOutcome) => void)[]>()

  private constructor(program: Program) {
    this.#program = program
    readline.createInterface({ input: program.stdout }).on('line', line => {
      const outcome = JSON.parse(line) as NameOutcome
      this.#waiting.get(outcome.name)?.shift()?.(outcome)
    })
  }

  static async start(t: TestContext, cluster: TestCluster, pod: string, server: string): Promise<NameClient> {
    return new NameClient(await startIn(t, cluster, pod, ['fqdn-client-program.ts', server]))
  }

  attempt(attempt: NameAttempt): Promise<NameOutcome> {
    const { promise, resolve } = Promise.withResolvers<NameOutcome>()
    this.#waiting.set(attempt.name, [...(this.#waiting.get(attempt.name) ?? []), resolve])
    this.#program.stdin.write(`${JSON.stringify(attempt)}\n`)
    return promise
  }

  /** Asks again and again. */
  async until(attempt: NameAttempt, outcome: string): Promise<void> {
    let last = ''
    await until(`${attempt.name} to be ${outcome}`, async () => {
      last = (await this.attempt(attempt)).outcome
      return last === outcome
    }).catch((error: Error) => {
      throw new Error(`${error.message}; it is ${last}`, { cause: error })
    })
  }
}
