// Network devices: create, change, delete, list. Functions here only describe a request
// or a question; a NetlinkSocket carries it out in its own namespace. Offloads (GRO,
// TSO, checksums) are left as the kernel sets them.

import { isIPv6 } from 'node:net'
import {
  bridgeData,
  LINK_DELETE,
  LINK_FLAG,
  LINK_GET,
  LINK_NEW,
  LINK_SET,
  linkMessage,
  SKIP_STATISTICS,
  vethData,
  vxlanData,
} from './link-message.ts'
import { FLAG, type Message } from './message.ts'
import type { Query, Request } from './netlink-socket.ts'

export type Link = {
  readonly index: number
  readonly name: string
  /** Driver, such as `veth`, `bridge` or `vxlan`; undefined for loopback and hardware. */
  readonly kind: string | undefined
  readonly mac: string | undefined
  readonly mtu: number
  /** Administratively up (IFF_UP). */
  readonly up: boolean
  /** What it stands on is up too, such as the other end of a veth pair (IFF_LOWER_UP). */
  readonly carrier: boolean
  /** The kernel has acted on that (IFF_RUNNING). It does so a little later, and drops what is sent before. */
  readonly running: boolean
  /** IFF_*, all of them. */
  readonly flags: number
  /** Index of the bridge that it is a port of. */
  readonly master: number | undefined
  /** Index of the other end of a veth pair, in its own namespace: this one unless `peerNamespaceId` says otherwise. */
  readonly peerIndex: number | undefined
  readonly peerNamespaceId: number | undefined
  readonly alias: string | undefined
  readonly vxlan: { readonly id: number; readonly port: number; readonly collectMetadata: boolean } | undefined
}

/** By descriptor (a `Namespace`), or that of a process. */
export type NamespaceReference = { readonly fd: number } | { readonly pid: number }

export type LinkReference = { readonly index: number } | { readonly name: string }

type NewLink = {
  readonly name: string
  /** Chosen by the kernel unless given. A known index lets later requests of the same send refer to the link. */
  readonly index?: number
  readonly mac?: string
  readonly mtu?: number
  readonly up?: boolean
  readonly master?: number
  /** Where the link goes; the socket's namespace unless given. */
  readonly namespace?: NamespaceReference
}

export type LinkSpec = NewLink &
  (
    | { readonly kind: 'dummy' }
    // The kernel cannot bring the peer up yet: it is made first, while it has no other end. It takes the peer's index only
    // where the link's own is given too.
    | { readonly kind: 'veth'; readonly peer: Omit<NewLink, 'master' | 'up'> }
    | {
        readonly kind: 'bridge'
        readonly spanningTree?: boolean
        readonly vlanFiltering?: boolean
        readonly multicastSnooping?: boolean
      }
    | ({ readonly kind: 'vxlan' } & VxlanSpec)
  )

export type VxlanSpec = {
  /** Network identifier; not with `collectMetadata`, where every packet brings its own. */
  readonly id?: number
  /** Leave tunnel parameters to each packet's metadata (`external`): set by BPF or a route. */
  readonly collectMetadata?: boolean
  /** UDP; 4789 unless given. */
  readonly port?: number
  readonly local?: string
  readonly remote?: string
  readonly underlyingIndex?: number
  readonly ttl?: number
  /** Learn where a MAC address is from packets; false unless given. */
  readonly learning?: boolean
  /** Receive and send IPv6 packets without a UDP checksum too. */
  readonly udpZeroChecksum6?: boolean
}

export type LinkChange = {
  readonly up?: boolean
  readonly mtu?: number
  readonly mac?: string
  /** 0 takes it out of its bridge. */
  readonly master?: number
  /** A note of up to 255 bytes, which the kernel keeps with the link. */
  readonly alias?: string
  readonly promiscuous?: boolean
  readonly transmitQueueLength?: number
  readonly namespace?: NamespaceReference
}

export function createLink(spec: LinkSpec): Request {
  const body = linkMessage.encode({
    ...newLinkFields(spec),
    master: spec.master,
    kindInfo: { kind: spec.kind, data: encodeKind(spec) },
  })
  const peer = spec.kind === 'veth' ? ` with peer ${spec.peer.name}` : ''
  return {
    operation: `create ${spec.kind} ${spec.name}${peer}`,
    type: LINK_NEW,
    flags: FLAG.create | FLAG.exclusive,
    body,
  }
}

export function setLink(link: LinkReference, change: LinkChange): Request {
  const { up, promiscuous, namespace, ...attributes } = change
  const { flags, changedFlags } = flagBits({ up, promiscuous })
  const body = linkMessage.encode({ ...refer(link), flags, changedFlags, ...attributes, ...namespaceFields(namespace) })
  return { operation: `set ${describe(link)}: ${Object.keys(change).join(', ')}`, type: LINK_SET, flags: 0, body }
}

/** The kernel of 5.15 renames a link only while it is down; from 6.2 on also while up. */
export function renameLink(index: number, name: string): Request {
  return {
    operation: `rename link ${index} to ${name}`,
    type: LINK_SET,
    flags: 0,
    body: linkMessage.encode({ index, name }),
  }
}

/** Deleting one end of a veth pair deletes both. */
export function deleteLink(link: LinkReference): Request {
  return { operation: `delete ${describe(link)}`, type: LINK_DELETE, flags: 0, body: linkMessage.encode(refer(link)) }
}

/** For `NetlinkSocket.get`. */
export function linkOf(link: LinkReference): Query<Link> {
  const body = linkMessage.encode({ ...refer(link), extendedMask: SKIP_STATISTICS })
  return { operation: `get ${describe(link)}`, type: LINK_GET, flags: 0, body, decode: decodeLink }
}

/** For `NetlinkSocket.list`. */
export function allLinks(): Query<Link> {
  const body = linkMessage.encode({ extendedMask: SKIP_STATISTICS })
  return { operation: 'list links', type: LINK_GET, flags: 0, body, decode: decodeLink }
}

/** @throws NetlinkFormatError */
export function decodeLink({ body }: Message): Link {
  const fields = linkMessage.decode(body)
  const kind = fields.kindInfo?.kind
  const vxlan = kind === 'vxlan' ? vxlanData.decode(fields.kindInfo?.data ?? Buffer.alloc(0)) : undefined
  return {
    index: fields.index,
    name: fields.name ?? '',
    kind,
    mac: fields.mac,
    mtu: fields.mtu ?? 0,
    up: (fields.flags & LINK_FLAG.up) !== 0,
    carrier: (fields.flags & LINK_FLAG.lowerUp) !== 0,
    running: (fields.flags & LINK_FLAG.running) !== 0,
    flags: fields.flags,
    master: fields.master,
    peerIndex: fields.peerIndex || undefined,
    peerNamespaceId: fields.peerNamespaceId,
    alias: fields.alias,
    vxlan: vxlan && { id: vxlan.id ?? 0, port: vxlan.port ?? 0, collectMetadata: vxlan.collectMetadata ?? false },
  }
}

function newLinkFields(link: NewLink) {
  const { flags, changedFlags } = flagBits({ up: link.up })
  const { index = 0, name, mac, mtu } = link
  return { index, flags, changedFlags, name, mac, mtu, ...namespaceFields(link.namespace) }
}

function encodeKind(spec: LinkSpec): Buffer | undefined {
  if (spec.kind === 'veth') return vethData.encode({ peer: newLinkFields(spec.peer) })
  if (spec.kind === 'bridge') {
    const { spanningTree, vlanFiltering, multicastSnooping } = spec
    return bridgeData.encode({ spanningTree, vlanFiltering, multicastSnooping })
  }
  return spec.kind === 'vxlan' ? encodeVxlan(spec) : undefined
}

function encodeVxlan(spec: VxlanSpec): Buffer | undefined {
  const { id, underlyingIndex, ttl, udpZeroChecksum6 } = spec
  return vxlanData.encode({
    id,
    underlyingIndex,
    ttl,
    port: spec.port ?? 4789,
    learning: spec.learning ?? false,
    collectMetadata: spec.collectMetadata || undefined,
    udpZeroChecksum6Transmit: udpZeroChecksum6,
    udpZeroChecksum6Receive: udpZeroChecksum6,
    [isIPv6(spec.local ?? '') ? 'local6' : 'local']: spec.local,
    [isIPv6(spec.remote ?? '') ? 'remote6' : 'remote']: spec.remote,
  })
}

function flagBits(wanted: { up?: boolean | undefined; promiscuous?: boolean | undefined }) {
  let flags = 0
  let changedFlags = 0
  for (const name of ['up', 'promiscuous'] as const) {
    if (wanted[name] === undefined) continue
    changedFlags |= LINK_FLAG[name]
    if (wanted[name]) flags |= LINK_FLAG[name]
  }
  return { flags, changedFlags }
}

function namespaceFields(namespace: NamespaceReference | undefined) {
  if (!namespace) return {}
  return 'fd' in namespace ? { namespaceFd: namespace.fd } : { namespacePid: namespace.pid }
}

const refer = (link: LinkReference) => ('index' in link ? { index: link.index } : { name: link.name })

const describe = (link: LinkReference): string => ('index' in link ? `link ${link.index}` : `link ${link.name}`)
