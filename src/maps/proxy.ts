// bpf/lib/proxy-kind.h and bpf/lib/proxy.h: who judges what is said on a connection,
// and where the sockets are found that listen for it.

import { type EnumTable, enumeration } from './layout.ts'

export const proxyKindShape = enumeration('proxy_kind', 'PROXY_', ['NONE', 'HTTP', 'TLS', 'HTTPS', 'DNS', 'KAFKA'])
/** `NONE`: the connection is direct. */
export type ProxyKind = (typeof proxyKindShape.names)[number]

export const proxyMarkShape = enumeration('proxy_mark', 'MARK_', [
  'TO_PROXY',
  'BOUNCED',
  'FROM_PROXY',
  'ACCEPTED',
  'MASK',
])
export const proxySocketShape = enumeration('proxy_socket', 'PROXY_SOCKET_', ['IPV6', 'UDP', 'LISTENER'])
export const proxyListenerShape = enumeration('proxy_listener', 'PROXY_LISTENER_', ['NONE', 'CONTEXT', 'CONFLICT'])
export const tlsContextShape = enumeration('tls_context', 'TLS_CONTEXT_', ['SLOTS'])

type SocketEnums = {
  readonly proxyKind: EnumTable<ProxyKind>
  readonly proxyListener: EnumTable<(typeof proxyListenerShape.names)[number]>
  readonly proxySocket: EnumTable<(typeof proxySocketShape.names)[number]>
}

/** Who listens for a kind; of HTTPS, each TLS context in its slot does. */
export type ProxyListener = Exclude<ProxyKind, 'HTTPS'> | { readonly slot: number }

/** Index in `proxy_sockets` of the socket that listens. */
export function proxySocketIndex(
  { proxyKind, proxyListener, proxySocket }: SocketEnums,
  listener: ProxyListener,
  protocol: 'tcp' | 'udp',
  family: 4 | 6,
): number {
  const { LISTENER, UDP, IPV6 } = proxySocket.number
  const number =
    typeof listener === 'string' ? proxyKind.number[listener] : proxyListener.number.CONTEXT + listener.slot
  return number * LISTENER + (protocol === 'udp' ? UDP : 0) + (family === 6 ? IPV6 : 0)
}
