// Routes: add, replace, delete, list, look up (struct rtmsg, RTA_*; source:
// include/uapi/linux/rtnetlink.h). One next hop a route. Functions describe requests; a
// NetlinkSocket carries them out.

import { isIPv6 } from 'node:net'
import { cidr, type Family, ip } from '../ip/index.ts'
import { AF_INET, AF_INET6 } from './addresses.ts'
import { FLAG, type Message } from './message.ts'
import type { Query, Request } from './netlink-socket.ts'
import { attributes, type Codec, ipAddress, message, u8, u16, u32 } from './wire.ts'

export const MAIN_TABLE = 254

const ROUTE_TYPE = { unicast: 1, local: 2, blackhole: 6, unreachable: 7, prohibit: 8, throw: 9 } as const
export type RouteType = keyof typeof ROUTE_TYPE

const SCOPE = { global: 0, link: 253, host: 254 } as const
export type RouteScope = keyof typeof SCOPE

/** Who made a route (RTPROT_*): `static` marks those of administrators and programs that did not register a number. */
export const ROUTE_PROTOCOL = { kernel: 2, boot: 3, static: 4 } as const

export type RouteSpec = {
  /** A prefix, such as `10.0.0.0/8`, `::/0`; never a bare address. */
  readonly destination: string
  readonly type?: RouteType
  readonly table?: number
  /** Index of the outgoing link. */
  readonly index?: number
  /** Next hop; for an IPv4 route it may be IPv6 (RFC 8950). */
  readonly gateway?: string
  /** The gateway is on the link although no route says so. */
  readonly onLink?: boolean
  readonly preferredSource?: string
  /** Lower wins. IPv6 takes 1024 when none is given. */
  readonly metric?: number
  readonly mtu?: number
  readonly protocol?: number
  /** IPv4 only. `link` unless there is a gateway. */
  readonly scope?: RouteScope
}

export type Route = {
  readonly family: Family
  readonly destination: string
  readonly type: RouteType | number
  readonly table: number
  readonly index: number | undefined
  readonly gateway: string | undefined
  readonly onLink: boolean
  readonly preferredSource: string | undefined
  readonly metric: number
  readonly mtu: number | undefined
  readonly protocol: number
  readonly scope: RouteScope | number
  /** Several next hops, which are not listed here. */
  readonly multipath: boolean
}

const ROUTE_NEW = 24
const ROUTE_DELETE = 25
const ROUTE_GET = 26
const NEXT_HOP_ON_LINK = 4
/** RTM_F_CLONED: an entry of the route cache. */
const CACHED = 0x200

/** struct rtvia: a gateway of the other family. */
const via: Codec<string> = {
  encode: gateway => {
    const address = ipAddress.encode(gateway) ?? Buffer.alloc(0)
    return Buffer.concat([u16.encode(address.length === 4 ? AF_INET : AF_INET6) ?? Buffer.alloc(2), address])
  },
  decode: bytes => ipAddress.decode(bytes.subarray(2)),
}

const routeMessage = message(
  12,
  {
    family: [0, u8],
    destinationLength: [1, u8],
    sourceLength: [2, u8],
    typeOfService: [3, u8],
    headerTable: [4, u8],
    protocol: [5, u8],
    scope: [6, u8],
    type: [7, u8],
    flags: [8, u32],
  },
  {
    destination: [1, ipAddress],
    index: [4, u32],
    gateway: [5, ipAddress],
    metric: [6, u32],
    preferredSource: [7, ipAddress],
    metrics: [8, attributes({ mtu: [2, u32] })],
    multipath: [9, { encode: () => undefined, decode: () => true }],
    table: [15, u32],
    mark: [16, u32],
    via: [18, via],
  },
)

/** EEXIST when the table has a route with the same destination and metric. */
export function addRoute(spec: RouteSpec): Request {
  return change('add', ROUTE_NEW, FLAG.create | FLAG.exclusive, spec)
}

/** Adds the route, or takes the place of the one with the same destination, table and metric. */
export function replaceRoute(spec: RouteSpec): Request {
  return change('replace', ROUTE_NEW, FLAG.create | FLAG.replace, spec)
}

/** Deletes the first route that agrees with everything given. ESRCH when there is none. */
export function deleteRoute(spec: RouteSpec): Request {
  return change('delete', ROUTE_DELETE, 0, spec)
}

/** Without the entries of the route cache. An unknown table is an empty one. */
export function allRoutes(of: { readonly family?: Family; readonly table?: number } = {}): Query<Route> {
  const family = of.family === undefined ? 0 : FAMILY_NUMBER[of.family]
  return {
    operation: of.table === undefined ? 'list routes' : `list routes of table ${of.table}`,
    type: ROUTE_GET,
    flags: 0,
    // The kernel can filter by table too, but answers ENOENT then for a table without routes in one of the families.
    body: routeMessage.encode({ family }),
    decode: reply => {
      const route = decodeRoute(reply)
      return route && (of.table === undefined || route.table === of.table) ? route : undefined
    },
  }
}

/** The route that the kernel would take for a packet: for `NetlinkSocket.get`. A refusing route is a NetlinkError (EHOSTUNREACH ...). */
export function routeTo(address: string, options: { readonly mark?: number } = {}): Query<Route> {
  const { family } = ip(address)
  const body = routeMessage.encode({
    family: FAMILY_NUMBER[family],
    destinationLength: family === 4 ? 32 : 128,
    destination: address,
    mark: options.mark,
  })
  return {
    operation: `look up the route to ${address}`,
    type: ROUTE_GET,
    flags: 0,
    body,
    decode: reply => readRoute(reply.body),
  }
}

/** @returns undefined for a cache entry and for other families. @throws NetlinkFormatError */
export function decodeRoute({ body }: Message): Route | undefined {
  return routeMessage.decode(body).flags & CACHED ? undefined : readRoute(body)
}

const FAMILY_NUMBER: Readonly<Record<Family, number>> = { 4: AF_INET, 6: AF_INET6 }

function readRoute(body: Buffer): Route | undefined {
  const fields = routeMessage.decode(body)
  if (fields.family !== AF_INET && fields.family !== AF_INET6) return undefined
  const family = fields.family === AF_INET ? 4 : 6
  return {
    family,
    destination: `${fields.destination ?? (family === 4 ? '0.0.0.0' : '::')}/${fields.destinationLength}`,
    type: nameOf(ROUTE_TYPE, fields.type),
    table: fields.table ?? fields.headerTable,
    index: fields.index,
    gateway: fields.gateway ?? fields.via,
    onLink: (fields.flags & NEXT_HOP_ON_LINK) !== 0,
    preferredSource: fields.preferredSource,
    metric: fields.metric ?? 0,
    mtu: fields.metrics?.mtu,
    protocol: fields.protocol,
    scope: nameOf(SCOPE, fields.scope),
    multipath: fields.multipath ?? false,
  }
}

function change(verb: string, type: number, flags: number, spec: RouteSpec): Request {
  const { family, prefixLength, text } = cidr(spec.destination)
  const { gateway, table = MAIN_TABLE, type: routeType = 'unicast' } = spec
  const isOtherFamily = gateway !== undefined && isIPv6(gateway) !== (family === 6)
  const isDeletion = verb === 'delete'
  return {
    operation: `${verb} ${describe(spec)}`,
    type,
    flags,
    body: routeMessage.encode({
      family: FAMILY_NUMBER[family],
      destinationLength: prefixLength,
      destination: prefixLength === 0 ? undefined : text.slice(0, text.indexOf('/')),
      headerTable: table < 256 ? table : 0,
      table,
      // What a deletion leaves at 0, or at "nowhere" for the scope, it does not compare.
      protocol: spec.protocol ?? (isDeletion ? 0 : ROUTE_PROTOCOL.static),
      type: isDeletion && spec.type === undefined ? 0 : ROUTE_TYPE[routeType],
      scope: spec.scope === undefined && isDeletion ? SCOPE_NOWHERE : SCOPE[spec.scope ?? usualScope(spec)],
      flags: spec.onLink ? NEXT_HOP_ON_LINK : 0,
      index: spec.index,
      gateway: isOtherFamily ? undefined : gateway,
      via: isOtherFamily ? gateway : undefined,
      metric: spec.metric,
      preferredSource: spec.preferredSource,
      metrics: spec.mtu === undefined ? undefined : { mtu: spec.mtu },
    }),
  }
}

const SCOPE_NOWHERE = 255

function usualScope({ type = 'unicast', gateway }: RouteSpec): RouteScope {
  if (type === 'local') return 'host'
  return type === 'unicast' && gateway === undefined ? 'link' : 'global'
}

function describe(spec: RouteSpec): string {
  const parts = [spec.type && spec.type !== 'unicast' ? `${spec.type} route` : 'route', spec.destination]
  if (spec.gateway !== undefined) parts.push(`via ${spec.gateway}`)
  if (spec.index !== undefined) parts.push(`on link ${spec.index}`)
  if (spec.table !== undefined) parts.push(`in table ${spec.table}`)
  return parts.join(' ')
}

function nameOf<K extends string>(names: Readonly<Record<K, number>>, value: number): K | number {
  return (Object.keys(names) as K[]).find(name => names[name] === value) ?? value
}
