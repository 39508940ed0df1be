// Runs the load of services (bench/svcload.c): backends that say who they are, and their clients, as children in network
// namespaces and, where programs of sockets are to act on them, in control groups.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { type Namespace, withNamespace, writeSysctl } from '../../src/net/index.ts'
import { BUILD_FOLDER } from './load.ts'

const SVCLOAD = path.join(BUILD_FOLDER, 'svcload')

/** Where backends listen, by TCP and UDP. */
export const BACKEND_PORT = 5010
/** As many processes that connect; the machine has few CPUs, and one process alone leaves them idle. */
const CONNECTING_PROCESSES = 4

/** Somebody who asks services. */
export type ServiceClient = {
  readonly namespace: Namespace
  /** Folder of the control group that it belongs to. */
  readonly cgroup?: string
}

export type Destination = { readonly address: string; readonly port: number }

/** A backend that answers with its letter. */
export async function startBackend(namespace: Namespace, letter: string): Promise<Disposable> {
  // What is left of closed connections would refuse a client's port that comes again behind another node port: after
  // thousands of connections in a second one in ten would wait for a second.
  writeSysctl(namespace, 'net/ipv4/tcp_max_tw_buckets', '0')
  const args = ['serve', String(BACKEND_PORT), letter]
  const child = withNamespace(namespace, () => spawn(SVCLOAD, args, { stdio: ['ignore', 'pipe', 'inherit'] }))
  await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(() => Promise.reject(new Error('a backend ended at once'))),
  ])
  return { [Symbol.dispose]: () => child.kill('SIGKILL') }
}

/** @returns the letters that so many flows hear, in order. @throws Error when one is not answered */
export async function askLetters(
  { namespace, cgroup }: ServiceClient,
  to: Destination,
  protocol: 'tcp' | 'udp',
  count: number,
): Promise<string[]> {
  const args = ['letters', to.address, String(to.port), String(count), cgroup ?? '-', protocol]
  return (await outputOf(namespace, args)).split('')
}

/** Makes a machine outside compute its checksums, as behind a real wire: XDP sees packets before anybody else would. */
export async function computeChecksums(namespace: Namespace, device: string): Promise<void> {
  await outputOf(namespace, ['compute-checksums', device])
}

/** Latencies of one after the other, or flows a second of several at once. */
export type ServiceMode = 'connect' | 'rr' | 'udp' | 'crr' | 'udp-new'

export type ServiceLoad = {
  readonly mode: ServiceMode
  readonly client: ServiceClient
  readonly to: Destination
  readonly seconds: number
  readonly signal: AbortSignal
}

/** `perSecond` of several at once; percentiles in µs, of one after the other. */
export type ServiceSample = { readonly perSecond: number; readonly p50: number; readonly p99: number }

/** @throws Error when a request is not answered */
export async function runServiceLoad({ mode, client, to, seconds, signal }: ServiceLoad): Promise<ServiceSample> {
  const more = mode === 'crr' || mode === 'udp-new' ? [String(CONNECTING_PROCESSES)] : []
  const args = [mode, to.address, String(to.port), String(seconds), client.cgroup ?? '-', ...more]
  const output = await outputOf(client.namespace, args, signal)
  const result = JSON.parse(output) as Record<string, number>
  const { per_second: perSecond = Number.NaN, p50_us: p50 = Number.NaN, p99_us: p99 = Number.NaN } = result
  return { perSecond, p50, p99 }
}

async function outputOf(namespace: Namespace, args: readonly string[], signal?: AbortSignal): Promise<string> {
  const stop = signal ? ({ signal, killSignal: 'SIGKILL' } as const) : {}
  const child = withNamespace(namespace, () => spawn(SVCLOAD, args, { stdio: ['ignore', 'pipe', 'inherit'], ...stop }))
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit') as Promise<[number | null]>])
  if (code !== 0) throw new Error(`svcload ${args.join(' ')} ended with ${code}`)
  return output
}

/** The process that connects again and again; ends when it is disposed of. */
export function spawnFollower(client: ServiceClient, to: Destination, intervalMicros: number): ChildProcess {
  const args = ['follow', to.address, String(to.port), String(intervalMicros), client.cgroup ?? '-']
  return withNamespace(client.namespace, () => spawn(SVCLOAD, args, { stdio: ['pipe', 'pipe', 'inherit'] }))
}
