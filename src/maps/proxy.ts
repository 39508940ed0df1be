// bpf/lib/proxy-kind.h and bpf/lib/proxy.h: who judges what is said on a connection,
// and where the sockets are found that listen for it.

import { type EnumTable, enumeration } from './layout.ts'

export const proxyKindShape = enumeration('proxy_kind', 'PROXY_', ['NONE', 'HTTP', 'TLS', 'HTTPS', 'DNS', 'KAFKA'])
/** `NONE`: the connection is direct. */
export type ProxyKind = (typeof proxyKindShape.names)[number]

export const proxyMarkShape = enumeration('proxy_mark', 'MARK_', ['TO_PROXY', 'BOUNCED', 'FROM_PROXY', 'MASK'])
export const proxySocketShape = enumeration('proxy_socket', 'PROXY_SOCKET_', ['IPV6', 'UDP', 'KIND'])

type SocketEnums = {
  readonly proxyKind: EnumTable<ProxyKind>
  readonly proxySocket: EnumTable<(typeof proxySocketShape.names)[number]>
}

/** Index in `proxy_sockets` of the socket that listens. */
export function proxySocketIndex(
  { proxyKind, proxySocket }: SocketEnums,
  kind: ProxyKind,
  protocol: 'tcp' | 'udp',
  family: 4 | 6,
): number {
  const { KIND, UDP, IPV6 } = proxySocket.number
  return proxyKind.number[kind] * KIND + (protocol === 'udp' ? UDP : 0) + (family === 6 ? IPV6 : 0)
}
