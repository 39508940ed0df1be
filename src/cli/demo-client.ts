// A client in a pod of the demo: it stays there with its connections open, and asks what it is told to ask.

import type { ChildProcess } from 'node:child_process'
import readline from 'node:readline'
import { type Question, type Said, SandboxClient, spawnInPod } from '../sandbox/index.ts'
import type { Row } from './demo-stage.ts'

/** Nobody answers a connection that is denied: so long is waited for an answer that is not to come, and for others. */
const TIMEOUT_MS = { denied: 500, other: 5_000 } as const
const DENIED = 'denied'

export class DemoClient {
  readonly #pod: string
  readonly #process: ChildProcess
  readonly #lines: AsyncIterator<string>
  /** The client's port of each named connection, as it was when it was last used. */
  readonly #ports = new Map<string, number>()

  private constructor(pod: string, child: ChildProcess) {
    this.#pod = pod
    this.#process = child
    if (!child.stdout) throw new Error(`the client in ${pod} has no output`)
    this.#lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  }

  static async start(sandbox: string, namespace: string, pod: string): Promise<DemoClient> {
    const options = { namespace, pod, command: ['agnhost', 'talk'], terminal: false }
    return new DemoClient(pod, await spawnInPod(new SandboxClient(sandbox), options, ['pipe', 'pipe', 'inherit']))
  }

  /** @param want of `happened` */
  async row(tried: string, question: Question, want: string): Promise<Row> {
    const timeoutMs = want === DENIED ? TIMEOUT_MS.denied : TIMEOUT_MS.other
    const said = await this.#ask({ timeoutMs, ...question })
    const got = this.#happened(question, said)
    return { tried: `${this.#pod} ${tried}`, want, got, isRight: got === want }
  }

  close(): void {
    this.#process.stdin?.end()
  }

  async #ask(question: Question): Promise<Said> {
    this.#process.stdin?.write(`${JSON.stringify(question)}\n`)
    const { value, done } = await this.#lines.next()
    if (done) throw new Error(`the client in ${this.#pod} ended`)
    return JSON.parse(value) as Said
  }

  #happened(question: Question, said: Said): string {
    if ('error' in said) return said.error === 'timed out' || said.error === 'ETIMEOUT' ? DENIED : said.error
    if ('addresses' in said) return said.addresses.join(', ')
    const status = 'grpc' in question ? `status ${said.status}` : String(said.status)
    const { connection } = question as { readonly connection?: string }
    if (connection === undefined) return status
    const before = this.#ports.get(connection)
    this.#ports.set(connection, said.port)
    if (before === undefined) return status
    return before === said.port ? `${status}, same connection` : `${status}, another connection`
  }
}
