// What is different where TLS ends at HAProxy, or begins there: how it listens, which names
// of servers a client may have asked for, and how servers are spoken to. Certificates are
// files that are read at its start: a process has those of one TLS context and no others.

import type { TlsContextFiles } from './options.ts'
import { quoted, strong } from './words.ts'

const OLDEST = 'ssl-min-ver TLSv1.2'

/** Behind the socket of `bind`. */
export function bindWords({ terminating }: TlsContextFiles): string {
  if (!terminating) return ''
  const { certificate, trustedCa } = terminating
  const asksForCertificate = trustedCa === undefined ? '' : ` ca-file ${quoted(trustedCa)} verify required`
  return ` ssl crt ${quoted(certificate)} alpn h2,http/1.1 ${OLDEST}${asksForCertificate}`
}

/**
 * Rules of HTTP may limit the names that clients ask for in their ClientHello. Whoever asked for another one is reset at its
 * first request, whatever that is.
 */
export function serverNameRules(map: string): string[] {
  const named = (answer: 'e' | 'i'): string => `var(txn.${answer}),concat("?"),map_str(${map}) -m found`
  return [
    `acl named_egress ${named('e')}`,
    `acl named_ingress ${named('i')}`,
    'http-request lua.inner_server_name if named_egress or named_ingress',
    'http-request set-var(txn.ne) int(1) if !named_egress',
    'http-request set-var(txn.ni) int(1) if !named_ingress',
    'acl right_for_egress var(txn.ne) -m found',
    'acl right_for_ingress var(txn.ni) -m found',
    'http-request set-var(txn.er) int(-1) if !right_for_egress',
    'http-request set-var(txn.er) int(0) if !right_for_ingress right_for_egress',
    'http-request set-var(txn.ir) int(-1) if !right_for_ingress',
    'http-request set-var(txn.ir) int(0) if !right_for_egress right_for_ingress',
    'http-request set-var-fmt(txn.q) "%[method]:%[pathq]#" if !right_for_egress or !right_for_ingress',
    'http-request silent-drop if !right_for_egress or !right_for_ingress',
  ]
}

/** Of a host, not of an address: there is a label at the end that is no number. */
const NAME = String.raw`^(?:[a-z0-9_-]+\.)*[a-z0-9_-]*[a-z_-][a-z0-9_-]*$`

/** Of a name of a host (RFC 1035, 3.1). OpenSSL asks for no longer one, and HAProxy verifies the name alone that was asked for. */
const NAME_LENGTHS = '1:253'

/**
 * The name that a server has to show a certificate of: without one, nothing could be verified. Of a backend, as the rules of
 * the frontend end where they allow a request.
 */
const originRules = ({ terminating }: TlsContextFiles): string[] => [
  'http-request set-var(txn.sni) req.fhdr(host),host_only,lower',
  ...(terminating ? ['http-request set-var(txn.sni) ssl_fc_sni,lower if { ssl_fc_has_sni }'] : []),
  `http-request set-var(txn.why) str(name) if !{ var(txn.sni) -m reg ${strong(NAME)} } or !{ var(txn.sni) -m len ${NAME_LENGTHS} }`,
  'http-request return status 502 content-type text/plain string "No name of a server to verify\\r\\n" if { var(txn.why) -m str name }',
  'http-after-response set-var(txn.why) str(peer) if { ssl_bc_err -m int gt 0 }',
]

/** Lines that name the server of requests of HTTP/1.1, and of HTTP/2. */
export function contextServers(context: TlsContextFiles): {
  readonly http1: string[]
  readonly http2: string[]
} {
  const { originating } = context
  if (!originating)
    return {
      http1: ['server original 0.0.0.0'],
      // Inside of TLS clients speak HTTP/2 wherever they can; a server without TLS speaks it where it has to.
      http2: [
        'acl grpc req.hdr(content-type) -m beg application/grpc',
        'use-server http2 if grpc',
        'use-server http1 unless grpc',
        'server http2 0.0.0.0 proto h2',
        'server http1 0.0.0.0',
      ],
    }
  const { trustedCa, certificate } = originating
  const server = (protocols: string): string =>
    [
      'server original 0.0.0.0 ssl verify required',
      `ca-file ${quoted(trustedCa)} sni var(txn.sni) alpn ${protocols} ${OLDEST}`,
      // A session that is taken up again shows no certificate.
      'no-ssl-reuse',
      ...(certificate === undefined ? [] : [`crt ${quoted(certificate)}`]),
    ].join(' ')
  const rules = originRules(context)
  return { http1: [...rules, server('http/1.1')], http2: [...rules, server('h2,http/1.1')] }
}
