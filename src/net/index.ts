// Netlink: links, addresses, routes, rules, neighbours, traffic control; network
// namespaces and their settings. `create…`, `set…`, `all…` describe requests and
// questions as plain values; a NetlinkSocket, opened in a namespace, carries them out,
// many in one send.

export * from './addresses.ts'
export * from './cookie.ts'
export * from './datagram-batch.ts'
export * from './datagram-sockets.ts'
export * from './errors.ts'
export * from './foreign-sender.ts'
export { connectForeign, openForeignDatagrams } from './foreign-sockets.ts'
export { type LinkEvent, type Watch, watchLinks, watchLinksAndAddresses } from './link-events.ts'
export * from './links.ts'
export * from './namespace.ts'
export * from './neighbours.ts'
export { NetlinkSocket, type Query, type Request } from './netlink-socket.ts'
export * from './readiness.ts'
export * from './routes.ts'
export * from './rules.ts'
export { type SocketEnd } from './socket-address.ts'
export * from './sysctl.ts'
export * from './traffic-control.ts'
export { openTransparentSocket, type TransparentSocket } from './transparent-sockets.ts'
export * from './wait.ts'
