// HAProxy's one configuration, as text. It is the same for the life of a process: which
// rules there are stands in maps, and which of them a connection is judged by the kernel
// says (bpf/proxy.bpf.c), for each request. Whatever fails, fails closed: an answer that
// is missing, a set that is not there, Lua that breaks off, all end in a denial.

import { AMBIGUOUS_PATH, EGRESS_ANSWER, PROXY_ANSWER } from '../../http/index.ts'
import {
  connectionText,
  HANDSHAKE_LOG_FORMAT,
  headerVariable,
  httpsLogFormat,
  logFormat,
  MOST_LINE_BYTES,
} from './log-line.ts'
import type { HaproxyOptions, KernelAnswers, ListeningDescriptors, TlsContextFiles } from './options.ts'
import { clientTables, shareRules, streamRules } from './shares.ts'
import { bindWords, contextServers, serverNameRules } from './tls-context.ts'
import { TLS_BACKEND, tlsFrontend } from './tls-frontend.ts'
import { quoted, strong } from './words.ts'

/** Maps that the configuration names; each is a file, perhaps empty, when HAProxy starts. */
export const HAPROXY_MAPS = ['http-programs', 'http-rules', 'server-names'] as const

/** What comes with the package, beside this file. */
export const HAPROXY_FILES = ['judge.lua', 'server-name.lua'] as const

const KERNEL_ANSWERS: KernelAnswers = {
  onlySet: 'fc_rttvar(us)',
  egressSet: 'fc_unacked',
  ingressSet: 'fc_sacked',
  openerIdentity: 'fc_lost',
  responderIdentity: 'fc_retrans',
  egressRule: 'fc_fackets',
  ingressRule: 'fc_reordering',
  service: 'fc_rtt(us)',
}

export function haproxyConfiguration(options: HaproxyOptions): string {
  const sections = [globalSection(options), options.logSocket ? ringSection(options.logSocket) : [], defaultsSection()]
  const { http, tls } = options.sockets
  sections.push(httpFrontend(http, options), ...httpBackends(options))
  if (tls)
    sections.push(
      tlsFrontend({
        sockets: tls,
        answers: options.tlsAnswers ?? KERNEL_ANSWERS,
        logged: options.logSocket !== undefined,
        share: shareRules(options),
      }),
      [...TLS_BACKEND],
    )
  sections.push(...clientTables(options.maxConnections))
  return `${sections
    .filter(section => section.length > 0)
    .map(([title, ...lines]) => [title, ...lines.map(line => `  ${line}`)].join('\n'))
    .join('\n\n')}\n`
}

const globalSection = ({ runtimeSocket, maxConnections, threads, files, maps }: HaproxyOptions): string[] => [
  'global',
  `stats socket ${quoted(runtimeSocket)} mode 600 level admin`,
  'stats timeout 1h',
  ...(threads === undefined ? [] : [`nbthread ${threads}`]),
  `maxconn ${maxConnections}`,
  // A stream's window bounds what waits here of a body.
  'tune.h2.initial-window-size 1048576',
  'tune.h2.max-concurrent-streams 100',
  // Arguments of a script do not reach it in each thread.
  `setenv AXONEME_HTTP_PROGRAMS ${quoted(`${maps}/http-programs.map`)}`,
  `setenv AXONEME_SERVER_NAMES ${quoted(`${maps}/server-names.map`)}`,
  ...HAPROXY_FILES.map(file => `lua-load-per-thread ${quoted(`${files}/${file}`)}`),
]

/** A ring: whoever reads the lines may be slow or away, and costs no more than this. */
const ringSection = (socket: string): string[] => [
  'ring requests',
  'format raw',
  `maxlen ${MOST_LINE_BYTES}`,
  'size 4194304',
  'timeout connect 1s',
  'timeout server 24h',
  `server supervisor ${quoted(`unix@${socket}`)} log-proto legacy`,
]

/** A watch or a WebSocket may be silent for hours, and ends by TCP's keep-alive where its other end is gone. */
const defaultsSection = (): string[] => [
  'defaults',
  'mode http',
  'option dontlognull',
  'option http-ignore-probes',
  'option http-no-delay',
  'option clitcpka',
  'option srvtcpka',
  'http-reuse never',
  // More would be descriptors that nobody counts (shares.ts).
  'max-session-srv-conns 1',
  'retries 0',
  'timeout connect 30s',
  'timeout http-request 60s',
  'timeout http-keep-alive 24h',
  'timeout client 24h',
  'timeout server 24h',
  'timeout tunnel 24h',
  'timeout client-fin 60s',
  'timeout server-fin 60s',
]

/** Before TLS has come about, if it is to: that it has not is told too. */
const logRules = ({ terminating }: TlsContextFiles, headers: readonly string[]): string[] => [
  `tcp-request connection set-var-fmt(sess.c) ${connectionText()}`,
  `log ring@requests len ${MOST_LINE_BYTES} local0`,
  `log-format ${terminating ? httpsLogFormat(headers) : logFormat(headers)}`,
  `error-log-format ${terminating ? HANDSHAKE_LOG_FORMAT : logFormat(headers)}`,
]

/** To where the client wanted to go, from its own address. */
function httpBackends(options: HaproxyOptions): string[][] {
  const { http1, http2 } = options.tlsContext ? contextServers(options.tlsContext) : SERVERS
  const source = 'source 0.0.0.0 usesrc clientip'
  return [
    ['backend http1', source, ...http1],
    ['backend http2', ...streamRules(options), source, ...http2],
  ]
}

const SERVERS = { http1: ['server original 0.0.0.0'], http2: ['server original 0.0.0.0 proto h2'] } as const

/** No header has them (RFC 9110, 5.5), and programs in C end at the first of them. */
const CONTROL_CHARACTER = String.raw`[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]`

/**
 * Heads that Lua looks at more closely: two hosts, bodies of unsaid length and what could hide one, other protocols,
 * and a `Connection` that says more than whether it stays open, which HAProxy has taken out.
 */
const HEADS_OF_INTEREST = [
  CONTROL_CHARACTER,
  String.raw`(?:^|\n)(?:host:[\s\S]*\nhost|transfer[-_]encoding|content_length|upgrade|http2-settings|connection):`,
].join('|')

function httpFrontend({ ipv4, ipv6 }: ListeningDescriptors, options: HaproxyOptions): string[] {
  const answers = options.answers ?? KERNEL_ANSWERS
  const { tlsContext: context = {} } = options
  return [
    'frontend http',
    ...[ipv4, ipv6].map(descriptor => `bind fd@${descriptor}${bindWords(context)}`),
    ...(options.logSocket === undefined ? [] : logRules(context, options.toldHeaders ?? [])),
    ...shareRules(options),
    ...formRules(),
    ...(options.logSocket === undefined ? [] : toldRules(options.toldHeaders ?? [])),
    ...kernelRules(answers),
    ...(options.logSocket === undefined ? [] : connectionRules(answers)),
    ...(context.terminating ? serverNameRules(`${options.maps}/server-names.map`) : []),
    ...setRules(`${options.maps}/http-rules.map`),
    ...answerRules(options),
    // What a server answers was allowed. To write a line is a third of what a request takes of HAProxy's own time.
    ...(options.told === 'denied'
      ? ['http-response set-log-level silent if !{ var(txn.told) -m found } !{ var(txn.tried) -m found }']
      : []),
    'use_backend http2 if { fc_http_major 2 }',
    'default_backend http1',
  ]
}

// Each rule and each condition costs a tenth of a microsecond for every request: those that
// decide most requests come first, and what is asked seldom stands behind what is not.

/** What is no request that all servers read alike is refused, whatever the rules are. */
const formRules = (): string[] => [
  'acl http2 fc_http_major 2',
  'acl whole_server method OPTIONS',
  'http-request set-var(txn.why) str(target) if !{ url -m beg / } !http2 !{ url -m str * }',
  'http-request set-var(txn.why) str(target) if !{ pathq -m beg / } !whole_server',
  'http-request set-var(txn.why) str(connect) if METH_CONNECT',
  'http-request set-var(txn.why) str(version) if !{ req.ver 1.1 } !http2 !{ req.ver 1.0 }',
  // Taken back by Lua when the headers are in order.
  `http-request set-var(txn.why) str(headers) if { req.hdrs -m reg ${strong(HEADS_OF_INTEREST)} }`,
  'http-request lua.shape if { var(txn.why) -m str headers }',
  // Since HTTP/1.1 a request without a host is none (RFC 9112, 3.2).
  'http-request set-var(txn.why) str(host) if !{ req.hdr(host) -m found } !{ req.ver 1.0 }',
]

/** `txn.e` and `txn.i`: what the kernel says of both directions. Of most connections one answer says it. */
const kernelRules = (answers: KernelAnswers): string[] => [
  `http-request set-var(txn.k) ${answers.onlySet}`,
  `acl only var(txn.k) -m int ge ${PROXY_ANSWER}`,
  `acl only_egress var(txn.k) -m int ge ${EGRESS_ANSWER}`,
  `http-request set-var(txn.i) var(txn.k) if only !only_egress`,
  `http-request set-var(txn.e) int(${PROXY_ANSWER}) if { var(txn.i) -m found }`,
  `http-request set-var(txn.e) var(txn.k),sub(${EGRESS_ANSWER - PROXY_ANSWER}) if only_egress`,
  `http-request set-var(txn.i) int(${PROXY_ANSWER}) if only_egress`,
  `http-request set-var(txn.e) ${answers.egressSet} if !only`,
  `http-request set-var(txn.i) ${answers.ingressSet} if !only`,
]

function setRules(map: string): string[] {
  const lookup = (of: string): string => `concat(":",txn.${of}),map_beg_int(${map},-1)`
  const both = 'http-request set-var(txn.v) var(txn.er),or(txn.ir)'
  return [
    'http-request set-var-fmt(txn.q) "%[method]:%[pathq]#"',
    // Without rules in a direction, it allows.
    `http-request set-var(txn.er) int(0) if { var(txn.e) -m int ${PROXY_ANSWER} }`,
    `http-request set-var(txn.ir) int(0) if { var(txn.i) -m int ${PROXY_ANSWER} }`,
    `http-request set-var(txn.er) var(txn.e),${lookup('q')} if !{ var(txn.er) -m found }`,
    `http-request set-var(txn.ir) var(txn.i),${lookup('q')} if !{ var(txn.ir) -m found }`,
    // Negative when one of them is.
    both,
    'acl allowed var(txn.v) -m int ge 0',
    'acl by_egress var(txn.er) -m int ge 0',
    'acl by_ingress var(txn.ir) -m int ge 0',
    `acl ambiguous pathq -m reg ${strong(AMBIGUOUS_PATH)}`,
    'acl free var(txn.v) -m int 0',
    'http-request set-var(txn.why) str(path) if ambiguous !free',
    'acl refused var(txn.why) -m found',
    'http-request allow if allowed !refused',
    // Rules for any method.
    'http-request set-var-fmt(txn.a) ":%[pathq]#" if !allowed',
    `http-request set-var(txn.er) var(txn.e),${lookup('a')} if !by_egress`,
    `http-request set-var(txn.ir) var(txn.i),${lookup('a')} if !by_ingress`,
    // As text: compared as a number with a negative one, everything is less in HAProxy 2.6.
    'http-request lua.judge if { var(txn.er) -m str -- -2 } or { var(txn.ir) -m str -- -2 }',
    'http-request lua.try if !by_egress or !by_ingress or { var(txn.why) -m str path }',
  ]
}

/** What of a request its line tells, however it ends. */
const toldRules = (headers: readonly string[]): string[] => [
  'http-request set-var(txn.t) date(0,us)',
  'http-request set-var(txn.h) req.fhdr(host)',
  ...headers.map((name, place) => `http-request set-var(${headerVariable(place)}) req.fhdr(${name})`),
  'http-response set-var(txn.l) date(0,us),sub(txn.t)',
]

/** Who speaks with whom does not change; which rule of policy brought a set is asked when the set is another. */
const connectionRules = (answers: KernelAnswers): string[] => [
  `http-request set-var-fmt(sess.c) ${connectionText(answers)} if !{ var(sess.e),sub(txn.e) -m int 0 } or !{ var(sess.i),sub(txn.i) -m int 0 }`,
  'http-request set-var(sess.e) var(txn.e)',
  'http-request set-var(sess.i) var(txn.i)',
]

function answerRules({ deniedBody, logSocket }: HaproxyOptions): string[] {
  const body = deniedBody ? `file ${quoted(deniedBody)}` : 'string "Access denied\\r\\n"'
  return [
    'http-request return status 400 content-type text/plain string "Bad request\\r\\n" if refused',
    'acl grpc req.hdr(content-type) -m beg application/grpc',
    'http-request set-var(txn.d) str(grpc) if !by_egress grpc or !by_ingress grpc',
    'http-request return status 200 hdr grpc-status 7 hdr grpc-message "access denied" if { var(txn.d) -m found }',
    'http-after-response set-header content-type application/grpc if { var(txn.d) -m found }',
    // HAProxy 2.6 resets a stream whose body has not come yet behind the answer, which some clients then never show (curl 7.88).
    'acl short_body req.fhdr(content-length),length -m int 1:4',
    'http-request wait-for-body time 5s if http2 short_body !by_egress or http2 short_body !by_ingress',
    `http-request return status 403 content-type text/plain ${body} if !by_egress or !by_ingress`,
    // Only a request to change to WebSocket makes a tunnel of a connection.
    'http-response deny deny_status 502 if { status 101 } !{ var(txn.ws) -m found }',
    ...(logSocket ? ['http-response set-var(txn.g) res.hdr(grpc-status)'] : []),
  ]
}
