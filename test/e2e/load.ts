// Starts the load program inside a pod's network namespace and talks to it.

import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'
import type { TestContext } from 'node:test'
import { Namespace, withNamespace } from '../../src/net/index.ts'
import type { TestCluster } from './support.ts'

const PROGRAM = path.join(import.meta.dirname, 'load-program.ts')

export type Load = {
  /** The program's next line. */
  next(): Promise<string>
  /** Sends a line; answers with the program's next line. */
  ask(line: string): Promise<string>
  /** Ends the program's input; answers with its last line. */
  finish(): Promise<string>
}

/** What `attempt` tells: how many connections there were, and what became of the others. */
export type Attempts = { readonly connected: number; readonly failures: readonly string[] }

/** @param args of load-program.ts, without HOME */
export async function startLoad(t: TestContext, cluster: TestCluster, pod: string, args: string[]): Promise<Load> {
  const [namespace = '', name = ''] = pod.split('/')
  using inside = Namespace.ofProcess((await cluster.client.pod(namespace, name)).pid)
  const home = String(fs.statSync('/proc/self/ns/net').ino)
  // spawn() forks before it returns, so the child is born in the namespace.
  const child = withNamespace(inside, () =>
    spawn(process.execPath, [PROGRAM, home, ...args], { stdio: ['pipe', 'pipe', 'inherit'] }),
  )
  t.after(() => child.kill('SIGKILL'))
  const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next()
    if (done) throw new Error(`the load program in ${pod} ended without a word`)
    return value
  }
  return {
    next,
    ask(line) {
      child.stdin.write(`${line}\n`)
      return next()
    },
    finish() {
      child.stdin.end()
      return next()
    },
  }
}

/** Connections that stay open. */
export async function holdConnections(
  t: TestContext,
  cluster: TestCluster,
  from: string,
  to: readonly [string, number],
  count: number,
) {
  const load = await startLoad(t, cluster, from, ['hold', to[0], String(to[1]), String(count)])
  const opened = await load.next()
  if (opened !== 'open') throw new Error(`connections from ${from}: ${opened}`)
  return load
}
