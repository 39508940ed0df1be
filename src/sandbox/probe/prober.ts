// Measures who reaches whom: for every ordered pair of different pods and every port, a real connection from inside the
// source pod's network namespace and control group (build/pod-init opens the sockets). A cell that could not be measured
// is an error, never a verdict.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { parseIp } from '../../ip/index.ts'
import { SandboxError } from '../errors.ts'
import { PROGRAMS } from '../paths.ts'
import { podKey } from '../pods/manifest.ts'
import type { RunningPod } from '../pods/pod.ts'
import { Semaphore } from '../semaphore.ts'
import { type Port, type PortRequest, type Protocol, resolvePort } from './ports.ts'

export type Verdict = 'allowed' | 'denied'

export type ProbeResult = {
  /** `namespace/name` */
  readonly from: string
  readonly to: string
  readonly port: number
  readonly protocol: Protocol
  readonly verdict: Verdict
}

export type ProbeOptions = {
  readonly ports: readonly PortRequest[]
  /** Of the addresses; the first that both pods have unless given. */
  readonly family?: 4 | 6 | undefined
  /** Of one try. */
  readonly timeoutMs: number
  readonly tries: number
  readonly signal?: AbortSignal | undefined
}

export const PROBE_DEFAULTS = { timeoutMs: 500, tries: 2 } as const

const SOURCES_AT_ONCE = 32
const SOCKETS_PER_SOURCE = 256

/** TCP and SCTP: an answer of any kind came from the other pod. UDP: so did an answer or a "port unreachable". */
const VERDICTS: Readonly<Record<string, Verdict>> = {
  connected: 'allowed',
  answered: 'allowed',
  refused: 'allowed',
  silent: 'denied',
  unreachable: 'denied',
}

/** Without an address the two pods cannot reach each other. */
type Cell = { readonly to: RunningPod; readonly port: Port; readonly address: string | undefined }

/**
 * All pairs, in the order of pods and ports. A pod without a port of an asked name has no cell for it.
 * @throws SandboxError `not-measured`
 */
export async function probeAll(pods: readonly RunningPod[], options: ProbeOptions): Promise<ProbeResult[]> {
  const limit = new Semaphore(SOURCES_AT_ONCE)
  const perSource = pods.map(from =>
    limit.run(() =>
      probeFrom(
        from,
        pods.filter(pod => pod !== from).flatMap(to => cellsOf(from, to, options)),
        options,
      ),
    ),
  )
  return (await Promise.all(perSource)).flat()
}

function cellsOf(from: RunningPod, to: RunningPod, { ports, family }: ProbeOptions): Cell[] {
  const familyOf = (address: string) => parseIp(address)?.family
  const usable = family === undefined ? from.addresses.map(familyOf) : [family]
  const address = to.addresses.find(text => usable.includes(familyOf(text)))
  return ports.flatMap(request => {
    const port = resolvePort(request, to.manifest)
    return port ? [{ to, port, address }] : []
  })
}

async function probeFrom(from: RunningPod, cells: readonly Cell[], options: ProbeOptions): Promise<ProbeResult[]> {
  const targets = cells.flatMap(({ port, address }, id) =>
    address === undefined ? [] : [`${id} ${port.protocol.toLowerCase()} ${address} ${port.number}\n`],
  )
  const outcomes = await askPodInit(from, targets.join(''), options)
  return cells.map(({ to, port, address }, id) => {
    const measured = {
      from: podKey(from.manifest),
      to: podKey(to.manifest),
      port: port.number,
      protocol: port.protocol,
    }
    const outcome = address === undefined ? 'unreachable' : (outcomes.get(id) ?? 'no result')
    const verdict = VERDICTS[outcome]
    if (verdict) return { ...measured, verdict }
    const why = outcome === 'unsupported' ? `this kernel has no ${port.protocol}` : outcome
    const cell = `${measured.from} to ${measured.to} port ${port.number}/${port.protocol}`
    throw new SandboxError('not-measured', `cannot probe ${cell}: ${why}`)
  })
}

/** @returns outcome by the target's number */
async function askPodInit(from: RunningPod, targets: string, options: ProbeOptions): Promise<Map<number, string>> {
  const { timeoutMs, tries, signal } = options
  const place = ['--netns', from.networkNamespace, '--cgroup', from.cgroup]
  const limits = ['--timeout', String(timeoutMs), '--tries', String(tries), '--limit', String(SOCKETS_PER_SOURCE)]
  const child = spawn(PROGRAMS.podInit, ['probe', ...place, ...limits], {
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(signal && { signal }),
  })
  let output = ''
  let errors = ''
  child.stdout.on('data', (text: Buffer) => (output += text.toString()))
  child.stderr.on('data', (text: Buffer) => (errors += text.toString()))
  // A process that ends early says why on its error stream.
  child.stdin.on('error', () => {})
  child.stdin.end(targets)
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) {
    const reason = errors.trim() || `the prober ended with ${code ?? 'a signal'}`
    throw new SandboxError('not-measured', `cannot probe from ${podKey(from.manifest)}: ${reason}`)
  }
  const lines = output.split('\n').filter(Boolean)
  return new Map(lines.map(line => [Number.parseInt(line, 10), line.slice(line.indexOf(' ') + 1)]))
}
