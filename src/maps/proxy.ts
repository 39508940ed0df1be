// bpf/lib/proxy-kind.h: who judges what is said on a connection.

import { enumeration } from './layout.ts'

export const proxyKindShape = enumeration('proxy_kind', 'PROXY_', ['NONE', 'HTTP', 'TLS', 'HTTPS', 'DNS', 'KAFKA'])
/** `NONE`: the connection is direct. */
export type ProxyKind = (typeof proxyKindShape.names)[number]
