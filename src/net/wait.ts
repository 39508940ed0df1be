// Waiting until the kernel has caught up with a request: some of what a request begins
// ends in a work item of the kernel, after the answer. Each wait looks again whenever the
// kernel tells of a change; none polls.

import { poll } from '../sys/native.ts'
import { NetlinkError } from './errors.ts'
import { GROUP_LINK } from './link-events.ts'
import { linkOf } from './links.ts'
import { NetlinkSocket } from './netlink-socket.ts'
import { routeTo } from './routes.ts'

type WaitOptions = { readonly signal?: AbortSignal }

const GROUP_IPV4_ROUTE = 7
const GROUP_IPV6_ROUTE = 11
const ENODEV = 19

/**
 * Waits until a link passes packets. It does not at the moment when both ends of a veth pair are up: the kernel starts the
 * queue of the other end from a work item (net/core/link_watch.c), and drops what is sent before.
 * @throws NetlinkError (ENODEV) when there is no such link or it is deleted meanwhile; the reason of the signal
 */
export function whenRunning(
  namespace: { readonly fd: number },
  index: number,
  options: WaitOptions = {},
): Promise<void> {
  return waitUntil(namespace, [GROUP_LINK], options, netlink => {
    const link = netlink.get(linkOf({ index }))
    if (!link) throw new NetlinkError(`wait until link ${index} is running`, ENODEV)
    return link.running
  })
}

/**
 * Waits until the namespace takes packets to an address for its own. An IPv6 address is not so when adding it returns, even
 * without duplicate address detection: its local route follows from a work item (net/ipv6/addrconf.c).
 * @throws NetlinkError; the reason of the signal
 */
export function whenLocal(
  namespace: { readonly fd: number },
  address: string,
  options: WaitOptions = {},
): Promise<void> {
  return waitUntil(namespace, [GROUP_IPV4_ROUTE, GROUP_IPV6_ROUTE], options, netlink => {
    try {
      return netlink.get(routeTo(address))?.type === 'local'
    } catch (error) {
      if (error instanceof NetlinkError && NO_ROUTE.includes(error.code)) return false
      throw error
    }
  })
}

const NO_ROUTE: readonly string[] = ['ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL']

async function waitUntil(
  namespace: { readonly fd: number },
  groups: readonly number[],
  { signal }: WaitOptions,
  isReady: (netlink: NetlinkSocket) => boolean,
): Promise<void> {
  signal?.throwIfAborted()
  using netlink = NetlinkSocket.open({ namespace })
  using events = NetlinkSocket.open({ namespace, groups })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const look = (): void => {
    try {
      if (isReady(netlink)) resolve()
    } catch (error) {
      reject(error)
    }
  }
  const handle = poll(events.fd, () => {
    // Only that something changed matters, also when the kernel could not tell everything.
    while (events.receive() !== 'empty');
    look()
  })
  const onAbort = (): void => reject(signal?.reason)
  signal?.addEventListener('abort', onAbort)
  try {
    look()
    await promise
  } finally {
    handle.close()
    signal?.removeEventListener('abort', onAbort)
  }
}
