// The DNS server of a node's proxy, put together: judge, teacher, and the two transports.

import { AgentClient } from '../../api/index.ts'
import type { NamesAnswer, TaughtNames } from '../../dns/index.ts'
import { Admission } from '../admission.ts'
import type { ChildServer, EmitEvent } from '../child.ts'
import type { KnownFlows } from '../known-flows.ts'
import { noCounts } from './counts.ts'
import { DatagramServer } from './datagrams.ts'
import { Exchanges } from './exchanges.ts'
import { Judge } from './judge.ts'
import { DNS_DEFAULTS, type DnsOptions } from './options.ts'
import { StandIn } from './stand-in.ts'
import { StreamServer } from './streams.ts'
import { Teacher } from './teacher.ts'

/** Descriptors of listening sockets. */
export type DnsListeners = {
  readonly udp4?: number
  readonly udp6?: number
  readonly tcp4?: number
  readonly tcp6?: number
}

export type DnsServerOptions = Partial<DnsOptions> & {
  readonly flows: Pick<KnownFlows, 'find'>
  readonly emit: EmitEvent
  /** Folder of the pinned maps, for names while the agent is away. Absent: such names wait for it. */
  readonly bpf?: string | undefined
  /** Unix socket of the agent. */
  readonly agentSocket?: string | undefined
}

/** Longer than any resolver waits for one attempt. */
const PATIENCE_MS = 10_000
const IDLE_MS = 30_000
/** Questions on their way; each has a socket. */
const OPEN_QUESTIONS = { all: 4096, each: 1024 } as const
const OPEN_CONNECTIONS = { all: 1024, each: 128 } as const

export type DnsServer = ChildServer & AsyncDisposable

/** Serves from the first rule sets on. @throws SystemError when a socket cannot be made what it must be */
export function serveDns(listeners: DnsListeners, options: DnsServerOptions): DnsServer {
  const { rejectWith, teachWaitMs } = { ...DNS_DEFAULTS, ...options }
  const counts = noCounts()
  const judge = new Judge(options.flows)
  const { agentSocket, bpf } = options
  const standIn = agentSocket && bpf ? StandIn.open(bpf, agentSocket, counts) : undefined
  const teacher = new Teacher({ tell: tellAgent(agentSocket), standIn, waitMs: teachWaitMs, counts })
  const exchanges = new Exchanges({ judge, teacher, emit: options.emit, counts, rejectWith })
  const questions = new Admission(OPEN_QUESTIONS.all, OPEN_QUESTIONS.each)
  const connections = new Admission(OPEN_CONNECTIONS.all, OPEN_CONNECTIONS.each)
  const datagrams = new DatagramServer(
    { ipv4: listeners.udp4, ipv6: listeners.udp6 },
    { exchanges, admission: questions, patienceMs: PATIENCE_MS },
  )
  const streamListeners = [listeners.tcp4, listeners.tcp6].filter(fd => fd !== undefined)
  const streams = new StreamServer(streamListeners, {
    exchanges,
    admission: connections,
    patienceMs: PATIENCE_MS,
    idleMs: IDLE_MS,
  })
  let isServing = false
  return {
    async apply(change) {
      const failures = judge.apply(change)
      // Before it knows any rules it would refuse what waits since its last process ended.
      if (!isServing) {
        isServing = true
        datagrams.start()
        await streams.start()
      }
      return failures
    },
    use: () => ({ open: questions.open + connections.open + teacher.waiting, ever: counts.questions }),
    counts: () => ({ ...counts, openQuestions: questions.open, openConnections: connections.open }),
    async [Symbol.asyncDispose]() {
      teacher[Symbol.dispose]()
      datagrams[Symbol.dispose]()
      await streams.close()
    },
  }
}

function tellAgent(
  socket: string | undefined,
): ((names: TaughtNames, signal: AbortSignal) => Promise<NamesAnswer>) | undefined {
  if (socket === undefined) return undefined
  const agent = new AgentClient(socket)
  return (names, signal) => agent.teachNames(names, signal)
}
