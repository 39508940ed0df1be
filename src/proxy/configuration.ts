// What a proxy is told at its start. A value that cannot be is refused here, with the
// option's name; what can be measured is no option.

import path from 'node:path'
import { DNS_DEFAULTS, DNS_REJECTIONS, type DnsOptions } from './dns/options.ts'
import { HTTP_EVENTS, type HttpEvents } from './haproxy/options.ts'

export type ProxyConfiguration = {
  /** Folder in a bpffs where the agent has pinned the datapath. */
  readonly bpf: string
  /** Folder for rule sets, and for what servers need at their start. */
  readonly state: string
  /** Folder of the control group that is the proxy's alone. */
  readonly cgroup: string
  /** Unix socket of the API. */
  readonly socket: string
  /** Unix socket of the node's agent, for what it is to learn; absent: it learns nothing. */
  readonly agent?: string
  readonly dns: DnsOptions
  /** Body of denials of HTTP. */
  readonly deniedBody: string
  /** Which requests of HTTP are told of. */
  readonly httpEvents: HttpEvents
  /** Headers of these that are told. In lower case. */
  readonly httpHeaders: readonly string[]
}

export type ProxyOptions = {
  readonly bpf: string
  readonly state?: string
  readonly cgroup: string
  readonly socket: string
  readonly agent?: string
  readonly dnsReject?: string
  readonly dnsWait?: string
  readonly deniedBody?: string
  readonly httpEvents?: string
  readonly httpHeaders?: string
}

/** HAProxy's sockets are in the folder; the kernel takes paths of up to 107 bytes, and HAProxy makes a longer one on the way. */
const MAX_STATE_BYTES = 70

export class ProxyConfigurationError extends Error {
  override readonly name = 'ProxyConfigurationError'
  readonly code = 'BAD_CONFIGURATION'
}

/** @throws ProxyConfigurationError naming the option */
export function proxyConfiguration(options: ProxyOptions): ProxyConfiguration {
  const state = path.resolve(options.state ?? path.dirname(options.socket))
  if (Buffer.byteLength(state) > MAX_STATE_BYTES)
    throw new ProxyConfigurationError(
      `--state ${state} is too long: sockets are in it, so it may have ${MAX_STATE_BYTES} bytes`,
    )
  return {
    bpf: path.resolve(options.bpf),
    state,
    cgroup: path.resolve(options.cgroup),
    socket: path.resolve(options.socket),
    ...(options.agent !== undefined && { agent: path.resolve(options.agent) }),
    dns: dnsOptions(options),
    deniedBody: deniedBody(options),
    httpEvents: httpEvents(options),
    httpHeaders: httpHeaders(options),
  }
}

/** It must fit into a buffer of HAProxy beside the head of the answer. */
const MOST_BODY_BYTES = 8_192

function deniedBody({ deniedBody: body = 'Access denied\r\n' }: ProxyOptions): string {
  const bytes = Buffer.byteLength(body)
  if (bytes > MOST_BODY_BYTES)
    throw new ProxyConfigurationError(`--denied-body has ${bytes} bytes and may have ${MOST_BODY_BYTES}`)
  return body
}

function httpEvents({ httpEvents: wanted = 'all' }: ProxyOptions): HttpEvents {
  const known = HTTP_EVENTS.find(name => name === wanted)
  if (!known) throw new ProxyConfigurationError(`--http-events ${wanted} is neither ${HTTP_EVENTS.join(' nor ')}`)
  return known
}

/** More than these could make a line too long (`MOST_LINE_BYTES`), and so keep a request from being told. */
const MOST_HEADERS = 16

function httpHeaders({ httpHeaders: wanted = '' }: ProxyOptions): readonly string[] {
  const names = wanted.split(',').flatMap(name => name.trim().toLowerCase() || [])
  const wrong = names.find(name => !/^[a-z0-9_-]{1,64}$/.test(name))
  if (wrong !== undefined)
    throw new ProxyConfigurationError(`--http-headers ${wrong}: a name has letters, digits, - and _, at most 64`)
  if (names.length > MOST_HEADERS)
    throw new ProxyConfigurationError(`--http-headers has ${names.length} names and may have ${MOST_HEADERS}`)
  return [...new Set(names)]
}

const MOST_WAIT_MS = 4_000

function dnsOptions({ dnsReject, dnsWait }: ProxyOptions): DnsOptions {
  const rejectWith = DNS_REJECTIONS.find(name => name === (dnsReject ?? DNS_DEFAULTS.rejectWith))
  if (!rejectWith)
    throw new ProxyConfigurationError(`--dns-reject ${dnsReject} is neither ${DNS_REJECTIONS.join(' nor ')}`)
  const teachWaitMs = dnsWait === undefined ? DNS_DEFAULTS.teachWaitMs : Number(dnsWait)
  // Resolvers ask again after 5 seconds.
  if (!Number.isInteger(teachWaitMs) || teachWaitMs < 0 || teachWaitMs > MOST_WAIT_MS)
    throw new ProxyConfigurationError(`--dns-wait ${dnsWait} is no number of milliseconds up to ${MOST_WAIT_MS}`)
  return { rejectWith, teachWaitMs }
}
