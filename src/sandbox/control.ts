// What the sandbox's daemon can be asked on its socket, declared once for both sides: status, how to enter a pod, probe.

import { z } from 'zod'
import { ApiError, type Route } from '../api/server.ts'
import { pause } from './backoff.ts'
import { SandboxError } from './errors.ts'
import type { NodeProcessState } from './node-process.ts'
import { podKey } from './pods/manifest.ts'
import type { PodStatus, RunningPod } from './pods/pod.ts'
import { parsePorts } from './probe/ports.ts'
import { PROBE_DEFAULTS, type ProbeResult, probeAll } from './probe/prober.ts'
import type { ServiceStatus } from './services/controller.ts'

const SETTLE_TIMEOUT_MS = 30_000
const SETTLE_POLL_MS = 20

type NodeProcessStatus = NodeProcessState & { readonly socket: string; readonly restarts: number }

export type NodeStatus = {
  readonly name: string
  readonly addresses: readonly string[]
  readonly agent: NodeProcessStatus
  readonly proxy: NodeProcessStatus
}

export type SandboxStatus = {
  readonly name: string
  readonly pid: number
  readonly startedAt: string
  /** Folder of the object store. */
  readonly objects: string
  readonly nodes: readonly NodeStatus[]
  readonly pods: readonly PodStatus[]
  readonly services: readonly ServiceStatus[]
}

/** How to run a command inside a pod. */
export type PodEntry = {
  readonly pid: number
  readonly cgroup: string
  readonly addresses: readonly string[]
  readonly containers: readonly {
    readonly name: string
    readonly environment: Readonly<Record<string, string>>
    readonly directory: string
    readonly uid: number
    readonly gid: number
  }[]
}

export const probeRequest = z.strictObject({
  /** As `parsePorts` takes it. */
  ports: z.string(),
  family: z.union([z.literal(4), z.literal(6)]).optional(),
  timeoutMs: z.number().int().min(1).max(60_000).default(PROBE_DEFAULTS.timeoutMs),
  tries: z.number().int().min(1).max(10).default(PROBE_DEFAULTS.tries),
})

export type ProbeRequest = z.input<typeof probeRequest>

export type ProbeAnswer = {
  readonly results: readonly ProbeResult[]
  /** Pods that do not run, so that nothing was measured from or to them. */
  readonly skipped: readonly string[]
}

/** Where a command outside of the cluster runs. */
export type OutsideEntry = {
  readonly cgroup: string
  /** File of the network namespace, as long as the daemon lives. */
  readonly networkNamespace: string
}

/** What the routes need of the daemon. */
export type Daemon = {
  readonly status: () => SandboxStatus
  readonly runningPods: () => readonly RunningPod[]
  /** Whether pods are on their way up or down. */
  readonly settling: () => boolean
  readonly outside: () => Promise<OutsideEntry>
}

export function controlRoutes(daemon: Daemon): Route[] {
  return [
    { method: 'GET', path: /\/v1\/status/, answer: () => daemon.status() },
    {
      method: 'GET',
      path: /\/v1\/pods\/([^/]+)\/([^/]+)/,
      answer: ({ parameters: [namespace = '', name = ''] }) => answering(() => entryOf(daemon, namespace, name)),
    },
    { method: 'POST', path: /\/v1\/outside/, answer: () => daemon.outside() },
    { method: 'POST', path: /\/v1\/probe/, answer: ({ body, signal }) => answering(() => probe(daemon, body, signal)) },
  ]
}

function entryOf(daemon: Daemon, namespace: string, name: string): PodEntry {
  const isIt = (pod: { namespace: string; name: string }) => pod.namespace === namespace && pod.name === name
  const running = daemon.runningPods().find(({ manifest }) => isIt(manifest))
  if (running) {
    const { pid, cgroup, addresses, plan } = running
    const containers = [...plan.containers, ...plan.initContainers].map(
      ({ name: container, environment, directory, uid, gid }) => ({
        name: container,
        environment,
        directory,
        uid,
        gid,
      }),
    )
    return { pid, cgroup, addresses, containers }
  }
  const status = daemon.status().pods.find(isIt)
  if (!status) throw new SandboxError('not-found', `there is no pod ${namespace}/${name} in this sandbox`)
  const why = [status.reason, status.message].filter(Boolean).join(': ')
  throw new SandboxError('not-running', `pod ${namespace}/${name} is ${status.phase}${why ? ` (${why})` : ''}`)
}

async function probe(daemon: Daemon, body: unknown, signal: AbortSignal): Promise<ProbeAnswer> {
  const parsed = probeRequest.safeParse(body)
  if (!parsed.success) throw new SandboxError('invalid', z.prettifyError(parsed.error))
  const { ports, ...options } = parsed.data
  await untilSettled(daemon, signal)
  const running = daemon.runningPods()
  const isRunning = (pod: PodStatus) =>
    running.some(({ manifest }) => manifest.namespace === pod.namespace && manifest.name === pod.name)
  const skipped = daemon
    .status()
    .pods.filter(pod => !isRunning(pod))
    .map(({ namespace, name }) => `${namespace}/${name}`)
  const pods = running.toSorted((a, b) => (podKey(a.manifest) < podKey(b.manifest) ? -1 : 1))
  return { results: await probeAll(pods, { ...options, ports: parsePorts(ports), signal }), skipped }
}

/** Who has just applied pods and probes wants to know about them. A pod that stays away is left out in the end. */
async function untilSettled(daemon: Daemon, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + SETTLE_TIMEOUT_MS
  while (daemon.settling() && performance.now() < deadline) if (!(await pause(SETTLE_POLL_MS, signal))) return
}

const HTTP_STATUS: Readonly<Partial<Record<SandboxError['code'], number>>> = {
  invalid: 400,
  'not-found': 404,
  'not-running': 409,
}

/** An expected error keeps its code on the way to the command. */
async function answering<T>(body: () => T | Promise<T>): Promise<T> {
  try {
    return await body()
  } catch (error) {
    if (!(error instanceof SandboxError)) throw error
    throw new ApiError(HTTP_STATUS[error.code] ?? 500, error.code, error.message, error)
  }
}
