// Processes that make system calls on sockets for a test, each in a network namespace
// and a control group (socket-calls-program.ts), and the socket as a test holds it.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import readline from 'node:readline'
import type { Namespace } from '../../src/net/index.ts'
import { PROGRAMS } from '../../src/sandbox/paths.ts'

const PROGRAM = path.join(import.meta.dirname, 'socket-calls-program.ts')

export type Name = { readonly address: string; readonly port: number }
export type Transport = 'TCP' | 'UDP'

export type Call =
  | { readonly call: 'socket'; readonly family: 4 | 6; readonly protocol: Transport }
  /** Without a name: to none, which ends the association of a socket for datagrams. */
  | { readonly call: 'connect'; readonly fd: number; readonly to?: Name | undefined }
  | { readonly call: 'bind'; readonly fd: number; readonly name: Name }
  | { readonly call: 'listen' | 'getpeername' | 'receive' | 'close'; readonly fd: number }
  | { readonly call: 'send'; readonly fd: number; readonly text: string; readonly to?: Name | undefined }
  | { readonly call: 'serve'; readonly name: string; readonly protocol: Transport; readonly at: Name }

export type Answer =
  | { readonly error: string }
  | { readonly value: number; readonly name?: Name; readonly text?: string }

export class SocketProcess {
  readonly #child
  readonly #answers
  readonly #ended

  constructor(namespace: Namespace, cgroup: string) {
    const netns = `/proc/${process.pid}/fd/${namespace.fd}`
    const enter = ['enter', '--die-with-parent', '--cgroup', cgroup, '--netns', netns, '--']
    this.#child = spawn(PROGRAMS.podInit, [...enter, process.execPath, PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#ended = once(this.#child, 'exit')
    this.#answers = readline.createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  async call(call: Call): Promise<Answer> {
    this.#child.stdin.write(`${JSON.stringify(call)}\n`)
    const { value, done } = await this.#answers.next()
    if (done) assert.fail('the process of the sockets ended')
    return JSON.parse(value) as Answer
  }

  async open(protocol: Transport, family: 4 | 6 = 4): Promise<TestSocket> {
    const answer = await this.call({ call: 'socket', family, protocol })
    assert.ok('value' in answer, JSON.stringify(answer))
    return new TestSocket(this, answer.value)
  }

  /** Something that answers, and says who it is. */
  async serve(name: string, protocol: Transport, at: Name): Promise<void> {
    assert.deepEqual(await this.call({ call: 'serve', name, protocol, at }), { value: 0 })
  }

  /** A server of this process, unasked, to who asked last. */
  speakAgain(): void {
    this.#child.kill('SIGUSR2')
  }

  async end(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }
}

/** Every call gives `ok`, or the name of its error. */
export class TestSocket {
  readonly #process: SocketProcess
  readonly #fd: number

  constructor(process: SocketProcess, fd: number) {
    this.#process = process
    this.#fd = fd
  }

  connect(to?: Name): Promise<string> {
    return this.#outcome({ call: 'connect', fd: this.#fd, to })
  }

  bind(name: Name): Promise<string> {
    return this.#outcome({ call: 'bind', fd: this.#fd, name })
  }

  listen(): Promise<string> {
    return this.#outcome({ call: 'listen', fd: this.#fd })
  }

  send(text: string, to?: Name): Promise<string> {
    return this.#outcome({ call: 'send', fd: this.#fd, text, to })
  }

  close(): Promise<string> {
    return this.#outcome({ call: 'close', fd: this.#fd })
  }

  /** As `ADDRESS PORT`, or the name of the error. */
  async peer(): Promise<string> {
    const answer = await this.#process.call({ call: 'getpeername', fd: this.#fd })
    return 'error' in answer ? answer.error : textOf(answer.name)
  }

  /** One message and who sent it, as `TEXT from ADDRESS PORT`; without the sender for a connection. */
  async receive(): Promise<string> {
    const answer = await this.#process.call({ call: 'receive', fd: this.#fd })
    if ('error' in answer) return answer.error
    return answer.name?.port ? `${answer.text} from ${textOf(answer.name)}` : (answer.text ?? '')
  }

  /** Who answers. */
  async ask(to?: Name): Promise<string> {
    const sent = await this.send('hello', to)
    if (sent !== 'ok') return sent
    return (await this.receive()).replace(': hello', '')
  }

  async #outcome(call: Call): Promise<string> {
    const answer = await this.#process.call(call)
    return 'error' in answer ? answer.error : 'ok'
  }
}

const textOf = (name?: Name): string => (name ? `${name.address} ${name.port}` : 'nobody')
