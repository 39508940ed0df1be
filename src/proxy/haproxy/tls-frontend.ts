// HAProxy's configuration for TLS that passes unopened: a connection is held until its
// ClientHello is there, judged by the name in it, and then passed on byte for byte, or
// reset. What begins otherwise, or does not come in time, is reset too. Names are looked
// up by server-name.lua; which rules count, the kernel says.

import { PROXY_ANSWER } from '../../http/index.ts'
import { connectionText, JUDGED_FIELDS, MOST_LINE_BYTES } from './log-line.ts'
import type { KernelAnswers, ListeningDescriptors } from './options.ts'

/** Clients send it at once; what is lost on the way comes again after one, two, four seconds. */
const HELLO_DELAY = '10s'

/** A line for a connection when it stands, or is refused; src/observe/tls-record.ts reads it. */
const TLS_LOG_FORMAT = `'{"tls":[${[...JUDGED_FIELDS, '"%[var(txn.n)]"'].join(',')}]}'`

type TlsFrontendOptions = {
  readonly sockets: ListeningDescriptors
  readonly answers: KernelAnswers
  readonly logged: boolean
  /** Rules that bound what one client may take of all connections. */
  readonly share: readonly string[]
}

export const tlsFrontend = ({ sockets: { ipv4, ipv6 }, answers, logged, share }: TlsFrontendOptions): string[] => [
  'frontend tls',
  'mode tcp',
  `bind fd@${ipv4}`,
  `bind fd@${ipv6}`,
  'option logasap',
  ...(logged
    ? [
        `tcp-request session set-var-fmt(sess.c) ${connectionText()}`,
        `log ring@requests len ${MOST_LINE_BYTES} local0`,
        `log-format ${TLS_LOG_FORMAT}`,
        `error-log-format ${TLS_LOG_FORMAT}`,
      ]
    : []),
  ...share,
  `tcp-request inspect-delay ${HELLO_DELAY}`,
  ...(logged ? [`tcp-request content set-var-fmt(sess.c) ${connectionText(answers)}`] : []),
  `tcp-request content set-var(txn.e) ${answers.egressSet}`,
  `tcp-request content set-var(txn.i) ${answers.ingressSet}`,
  // Without rules in a direction, it allows.
  `tcp-request content set-var(txn.er) int(0) if { var(txn.e) -m int ${PROXY_ANSWER} }`,
  `tcp-request content set-var(txn.ir) int(0) if { var(txn.i) -m int ${PROXY_ANSWER} }`,
  'acl by_egress var(txn.er) -m int ge 0',
  'acl by_ingress var(txn.ir) -m int ge 0',
  'tcp-request content accept if by_egress by_ingress',
  'acl handshake req.payload(0,1) -m bin 16',
  'acl whole req.payload_lv(3,2) -m found',
  // Waits for the rest of what begins as a handshake does; then everything above is asked once more.
  'tcp-request content set-var(txn.why) str(form) if !handshake or !whole',
  'tcp-request content lua.server_name if !{ var(txn.why) -m found }',
  'tcp-request content silent-drop if { var(txn.why) -m found } or !by_egress or !by_ingress',
  'default_backend unopened',
]

/** To where the client wanted to go, from its own address. */
export const TLS_BACKEND: readonly string[] = [
  'backend unopened',
  'mode tcp',
  'source 0.0.0.0 usesrc clientip',
  'server original 0.0.0.0',
]
