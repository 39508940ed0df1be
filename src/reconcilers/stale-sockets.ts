// Sockets of the node's own processes that are connected to a backend that is gone. The
// kernel would let them send to it for ever: nothing on the way says that nobody is there.
// Datagrams of pods are translated one by one and need none of this.

import type { BpfMap } from '../bpf/index.ts'
import type { Backend, SocketPrograms } from '../maps/index.ts'
import { connectedDatagramSockets, destroyDatagramSocket, NetlinkError, type NetlinkSocket } from '../net/index.ts'

export type StaleSocketsOptions = {
  /** Of the protocol NETLINK_SOCK_DIAG, in the node's namespace. */
  readonly netlink: Pick<NetlinkSocket, 'list' | 'attempt'>
  /** What each socket was given for the frontend it asked for. */
  readonly given: Pick<SocketPrograms['maps']['datagram_frontends'], 'get'>
  readonly backends: Pick<BpfMap<number, Backend>, 'get'>
}

/** What a kernel says that was built without it. */
const UNSUPPORTED: readonly string[] = ['ENOENT', 'EOPNOTSUPP', 'EPROTONOSUPPORT']

/**
 * Ends the connections of sockets that were given a backend which is gone: their programs get ECONNABORTED, and find another
 * one when they connect again. A socket that named the address itself is left alone.
 * @returns how many; 'unsupported' by a kernel without CONFIG_INET_UDP_DIAG or CONFIG_INET_DIAG_DESTROY
 * @throws NetlinkError
 */
export function destroyStaleSockets({ netlink, given, backends }: StaleSocketsOptions): number | 'unsupported' {
  try {
    const stale = ([4, 6] as const)
      .flatMap(family => netlink.list(connectedDatagramSockets(family)))
      .filter(({ cookie, remote, remotePort }) => {
        const frontend = given.get({ socket: cookie, name: { address: { bytes: remote }, port: remotePort } })
        return frontend !== undefined && !backends.get(frontend.backend)
      })
    const failures = netlink.attempt(stale.map(destroyDatagramSocket)).filter(error => error !== undefined)
    const [failure] = failures.filter(({ code }) => code !== 'ENOENT') // closed meanwhile
    if (failure) throw failure
    return stale.length - failures.length
  } catch (error) {
    if (error instanceof NetlinkError && UNSUPPORTED.includes(error.code)) return 'unsupported'
    throw error
  }
}
