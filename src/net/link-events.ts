// News about the links of a namespace, from the kernel's multicast group. A source of
// hints for whoever keeps a picture of the links: after 'lost' it must list them anew.

import { poll } from '../sys/native.ts'
import { LINK_DELETE, LINK_NEW } from './link-message.ts'
import { decodeLink, type Link } from './links.ts'
import type { Message } from './message.ts'
import { NetlinkSocket } from './netlink-socket.ts'

export type LinkEvent =
  | { readonly kind: 'changed'; readonly link: Link }
  | { readonly kind: 'deleted'; readonly link: Link }
  /** The kernel dropped events, as this process read them too slowly. */
  | { readonly kind: 'lost' }

export const GROUP_LINK = 1
const GROUP_IPV4_ADDRESS = 5
const GROUP_IPV6_ADDRESS = 9
/** AF_BRIDGE messages of the same type speak of a bridge's port, not of the link. */
const AF_BRIDGE = 7
/** A flood of events is handled in turns, so that it cannot hold up the event loop. */
const MAX_DATAGRAMS_PER_TURN = 256

export type Watch = Disposable & { close(): void }

/**
 * Calls back for every change of a link, on the event loop, which it does not keep alive. List the links after this
 * returns, and nothing is missed.
 * @throws SystemError
 */
export function watchLinks(namespace: { readonly fd: number }, onEvent: (event: LinkEvent) => void): Watch {
  return watchGroups(namespace, [GROUP_LINK], function* (messages) {
    for (const event of messages === 'overrun' ? [LOST] : messages.map(eventOf)) if (event) yield onEvent(event)
  })
}

/** Calls back after links or their addresses have changed, once for all changes that came together; else as `watchLinks`. */
export function watchLinksAndAddresses(namespace: { readonly fd: number }, onChange: () => void): Watch {
  return watchGroups(namespace, [GROUP_LINK, GROUP_IPV4_ADDRESS, GROUP_IPV6_ADDRESS], function* () {
    yield onChange()
  })
}

/** @param handle told of each datagram; what it yields are the points where the watch may have been closed */
function watchGroups(
  namespace: { readonly fd: number },
  groups: readonly number[],
  handle: (messages: readonly Message[] | 'overrun') => Iterable<void>,
): Watch {
  const socket = NetlinkSocket.open({ namespace, groups })
  let open = true
  const poller = poll(socket.fd, () => {
    for (let i = 0; i < MAX_DATAGRAMS_PER_TURN; i++) {
      const messages = socket.receive()
      if (messages === 'empty') return
      // The callback may have closed the watch.
      for (const _ of handle(messages)) if (!open) return
    }
  })
  poller.unref()
  const close = (): void => {
    if (!open) return
    open = false
    poller.close()
    socket.close()
  }
  return { close, [Symbol.dispose]: close }
}

const LOST: LinkEvent = { kind: 'lost' }

function eventOf(message: Message): LinkEvent | undefined {
  if (message.body[0] === AF_BRIDGE) return undefined
  if (message.type === LINK_NEW) return { kind: 'changed', link: decodeLink(message) }
  if (message.type === LINK_DELETE) return { kind: 'deleted', link: decodeLink(message) }
  return undefined
}
