// The supervisor's contract with the servers that are children of it (DNS, Kafka): both
// sides of it, and the child's half as code. A child is started with its listening
// sockets as descriptors, told by which rule sets to judge, and says when it does. It
// ends with the supervisor. What it serves is its own business: ./dns, ./kafka.

import net from 'node:net'
import type { L7RuleSet } from '../policy/index.ts'
import type { L7Event } from '../tables/index.ts'
import type { DnsOptions } from './dns/options.ts'
import { linesOf } from './lines.ts'
import type { Use } from './need.ts'

/** The descriptors that a child is started with. They are its to use and not to close. */
export const CHILD_DESCRIPTORS = {
  /** Both ways, a line of JSON a message: `ToChild` and `FromChild`. */
  control: 3,
  /** To the supervisor, a line of JSON an event: `L7EventLine`. */
  events: 4,
  /** Listening, not blocking, transparent; connections and questions of every pod arrive at them. */
  tcp4: 5,
  tcp6: 6,
  /** Only of those that serve datagrams. */
  udp4: 7,
  udp6: 8,
} as const

/** What a child is told first. */
export type ChildStart = {
  /** Folder of the pinned maps of the datapath, for `PinDirectory.open`. */
  readonly bpf: string
  /** A folder of its own, which outlives it. */
  readonly state: string
  /** Unix socket of the node's agent, which may be away; absent where nobody told it. */
  readonly agentSocket?: string
  /** For the DNS server, where it is not as usual. */
  readonly dns?: Partial<DnsOptions>
}

/** The rule sets to judge by from now on: all of them, or what is to be changed of those that are there. */
export type RuleSetChange = {
  readonly whole: boolean
  readonly add: readonly L7RuleSet[]
  readonly remove: readonly number[]
}

/** A rule set that a child cannot judge by: by its number all is denied. */
export type RuleSetFailure = { readonly number: number; readonly error: string }

export type ToChild =
  | { readonly type: 'start'; readonly start: ChildStart }
  | { readonly type: 'rule-sets'; readonly revision: number; readonly change: RuleSetChange }

export type FromChild =
  /** It serves; the first rule sets may come. */
  | { readonly type: 'ready' }
  /** What begins from now on is judged by the rule sets of this revision. */
  | { readonly type: 'applied'; readonly revision: number; readonly failures: readonly RuleSetFailure[] }
  /** Counters of its own, every few seconds, for status, and what it does. */
  | { readonly type: 'counts'; readonly counts: Readonly<Record<string, number>>; readonly use?: Use }

/** What a child makes of itself. */
export type ChildServer = {
  /** In force when it returns, or resolves. @returns the sets that it cannot judge by */
  apply(change: RuleSetChange): readonly RuleSetFailure[] | Promise<readonly RuleSetFailure[]>
  counts?(): Readonly<Record<string, number>>
  /** Without it, the server is in use as long as it runs. */
  use?(): Use
}

/** Takes an event to the supervisor. Never blocks: where the supervisor is too slow, events are counted instead. */
export type EmitEvent = (event: L7Event) => void

const MAX_WAITING_EVENT_BYTES = 4 << 20
const COUNTS_INTERVAL_MS = 2_000

/**
 * The whole life of a child: `serve` makes its server once the supervisor has said where everything is. The process
 * ends when the supervisor goes, with whatever it was doing, and with an error that `serve` or `apply` throw.
 */
export function serveAsChild(serve: (start: ChildStart, emit: EmitEvent) => ChildServer | Promise<ChildServer>): void {
  const control = new net.Socket({ fd: CHILD_DESCRIPTORS.control, readable: true, writable: true })
  const send = (message: FromChild): void => void control.write(`${JSON.stringify(message)}\n`)
  // Without its supervisor nobody would end it, or tell it of new rules.
  control.on('close', () => process.exit(0))
  control.on('error', () => process.exit(1))
  void follow(control, send, start => serve(start, eventWriter()))
}

async function follow(
  control: net.Socket,
  send: (message: FromChild) => void,
  serve: (start: ChildStart) => ChildServer | Promise<ChildServer>,
): Promise<void> {
  let server: ChildServer | undefined
  for await (const line of linesOf(control)) {
    try {
      server = await answer(JSON.parse(line) as ToChild, server, send, serve)
    } catch (error) {
      // Told here: leaving the loop closes the pipe, and with it the process ends.
      console.error(error)
      process.exit(1)
    }
  }
}

async function answer(
  message: ToChild,
  server: ChildServer | undefined,
  send: (message: FromChild) => void,
  serve: (start: ChildStart) => ChildServer | Promise<ChildServer>,
): Promise<ChildServer> {
  if (message.type === 'rule-sets') {
    if (!server) throw new Error('rule sets came before the start')
    const failures = await server.apply(message.change)
    send({ type: 'applied', revision: message.revision, failures })
    return server
  }
  const started = await serve(message.start)
  send({ type: 'ready' })
  if (started.counts || started.use) {
    const tell = (): void => {
      const use = started.use?.()
      send({ type: 'counts', counts: started.counts?.() ?? {}, ...(use && { use }) })
    }
    setInterval(tell, COUNTS_INTERVAL_MS).unref()
  }
  return started
}

/**
 * Events of one turn of the event loop go in one write: by themselves, each would cost as much as what it tells of. What
 * was lost is told as soon as there is room again, whether or not another event comes.
 */
function eventWriter(): EmitEvent {
  const stream = new net.Socket({ fd: CHILD_DESCRIPTORS.events, readable: false, writable: true })
  stream.on('error', () => process.exit(1))
  let missed = 0
  let lines = ''
  const write = (): void => {
    stream.write(lines)
    lines = ''
  }
  const add = (line: string): void => {
    if (lines === '') setImmediate(write)
    if (missed > 0) lines += `{"missed":${missed}}\n`
    missed = 0
    lines += line
  }
  stream.on('drain', () => {
    if (missed > 0) add('')
  })
  return event => {
    if (stream.writableLength + lines.length > MAX_WAITING_EVENT_BYTES) missed++
    else add(`${JSON.stringify(event)}\n`)
  }
}
