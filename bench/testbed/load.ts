// Runs the load generator (bench/netload.c) inside network namespaces, as children that end with the benchmark.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { type Namespace, withNamespace, writeSysctl } from '../../src/net/index.ts'

export const BUILD_FOLDER = path.resolve(import.meta.dirname, '../../build')
const NETLOAD = path.join(BUILD_FOLDER, 'netload')

/** Ports of a server: discards, echoes, echoes once and closes. */
export const PORTS = { stream: 5001, rr: 5002, crr: 5003 } as const
export type Mode = keyof typeof PORTS

/** As many processes that connect; the machine has few CPUs, and one process alone leaves them idle. */
const CONNECTING_PROCESSES = 4

export class LoadServer implements Disposable {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  static async start(namespace: Namespace): Promise<LoadServer> {
    const child = withNamespace(namespace, () =>
      spawn(NETLOAD, ['serve', String(PORTS.stream)], { stdio: ['ignore', 'pipe', 'inherit'] }),
    )
    await Promise.race([
      once(child.stdout, 'data'),
      once(child, 'exit').then(() => Promise.reject(new Error('the load server ended at once'))),
    ])
    return new LoadServer(child)
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL')
  }
}

/** So that connections do not run out of ports while closed ones linger at the server. */
export function widenPorts(namespace: Namespace): void {
  writeSysctl(namespace, 'net/ipv4/ip_local_port_range', '10000 65535')
}

export type LoadOptions = {
  readonly mode: Mode
  /** Where it runs. */
  readonly namespace: Namespace
  readonly server: string
  readonly seconds: number
  readonly signal: AbortSignal
}

/** @returns Gbit/s of a stream, µs of the median request (rr), new connections a second (crr) */
export async function runLoad({ mode, namespace, server, seconds, signal }: LoadOptions): Promise<number> {
  const more = mode === 'crr' ? [String(CONNECTING_PROCESSES)] : []
  const args = [mode, server, String(PORTS[mode]), String(seconds), ...more]
  const child = withNamespace(namespace, () =>
    spawn(NETLOAD, args, { stdio: ['ignore', 'pipe', 'inherit'], signal, killSignal: 'SIGKILL' }),
  )
  const [output, [code]] = await Promise.all([text(child), once(child, 'exit') as Promise<[number | null]>])
  if (code !== 0) throw new Error(`netload ${args.join(' ')} ended with ${code}`)
  const result = JSON.parse(output) as Record<string, number>
  const { bytes = Number.NaN, count = Number.NaN, seconds: took = Number.NaN, p50_us: p50 = Number.NaN } = result
  switch (mode) {
    case 'stream':
      return (bytes * 8) / took / 1e9
    case 'rr':
      return p50
    case 'crr':
      return count / took
  }
}

async function text(child: ChildProcess): Promise<string> {
  let output = ''
  for await (const chunk of child.stdout?.setEncoding('utf8') ?? []) output += chunk as string
  return output
}
